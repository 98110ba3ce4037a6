//! Dashboards forget their tags, and have none when asked. AWS keeps those of the creation, and lets them be changed like those of
//! alarms.
//!
//! Only the CBOR protocol is corrected: it is the one the SDKs speak to CloudWatch.

use std::collections::BTreeMap;

use async_trait::async_trait;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::{Call, Correction, Memory};
use crate::error::Error;
use crate::message::{Request, Response};

/// What stands in a dashboard's ARN before its name.
const KIND: &str = ":dashboard/";

type Tags = BTreeMap<String, String>;

/// See the module. Remembers the tags of each dashboard by its name, which is unique in an account.
#[derive(Default)]
pub(super) struct DashboardTags {
    tags: Memory<Tags>,
}

/// What the calls say, as far as it concerns tags.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Input {
    #[serde(rename = "ResourceARN")]
    arn: String,
    dashboard_name: String,
    dashboard_names: Vec<String>,
    tags: Vec<Tag>,
    tag_keys: Vec<String>,
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    key: String,
    value: String,
}

/// The answer to `ListTagsForResource`.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct List {
    tags: Vec<Tag>,
}

#[async_trait]
impl Correction for DashboardTags {
    fn id(&self) -> &'static str {
        "dashboard-tags"
    }

    fn operations(&self) -> &'static [&'static str] {
        &[
            "monitoring:DeleteDashboards",
            "monitoring:ListTagsForResource",
            "monitoring:PutDashboard",
            "monitoring:TagResource",
            "monitoring:UntagResource",
        ]
    }

    async fn request(&self, call: &Call<'_>, request: &mut Request) -> Result<Option<Response>, Error> {
        let Some(input) = input(request) else { return Ok(None) };
        Ok(self.answer(call.name(), input))
    }

    async fn response(&self, call: &Call<'_>, _: &mut Response) -> Result<(), Error> {
        match (call.name(), input(call.original)) {
            ("PutDashboard", Some(input)) if self.tags.get(&input.dashboard_name).is_none() => {
                self.tags.set(input.dashboard_name, map(input.tags));
            }
            ("DeleteDashboards", Some(input)) => input.dashboard_names.iter().for_each(|name| self.tags.forget(name)),
            _ => {}
        }
        Ok(())
    }
}

impl DashboardTags {
    /// The answer to a call about the tags of a dashboard that exists.
    fn answer(&self, operation: &str, input: Input) -> Option<Response> {
        let (_, name) = input.arn.split_once(KIND)?;
        let mut tags = self.tags.get(name)?;
        match operation {
            "TagResource" => tags.extend(map(input.tags)),
            "UntagResource" => tags.retain(|key, _| !input.tag_keys.contains(key)),
            _ => {
                let tags = tags.into_iter().map(|(key, value)| Tag { key, value }).collect();
                return Some(Response::cbor_document(StatusCode::OK, &List { tags }));
            }
        }
        self.tags.set(name, tags);
        Some(Response::cbor_document(StatusCode::OK, &BTreeMap::<String, String>::new()))
    }
}

fn input(request: &Request) -> Option<Input> {
    ciborium::from_reader(request.body.as_ref()).ok()
}

fn map(tags: Vec<Tag>) -> Tags {
    tags.into_iter().map(|tag| (tag.key, tag.value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(key: &str, value: &str) -> Tag {
        Tag { key: key.to_owned(), value: value.to_owned() }
    }

    fn input(tags: Vec<Tag>, tag_keys: &[&str]) -> Input {
        let arn = "arn:aws:cloudwatch::000000000000:dashboard/east".to_owned();
        Input { arn, tags, tag_keys: tag_keys.iter().map(|key| (*key).to_owned()).collect(), ..Input::default() }
    }

    #[test]
    fn tags_are_set_taken_off_and_listed() {
        let correction = DashboardTags::default();
        assert!(
            correction.answer("ListTagsForResource", input(Vec::new(), &[])).is_none(),
            "there is no such dashboard"
        );
        correction.tags.set("east", map(vec![tag("team", "payments"), tag("cost", "1")]));
        correction.answer("TagResource", input(vec![tag("team", "cards")], &[])).expect("it is there");
        correction.answer("UntagResource", input(Vec::new(), &["cost"])).expect("it is there");
        let answer = correction.answer("ListTagsForResource", input(Vec::new(), &[])).expect("it is there");
        let document: ciborium::Value = ciborium::from_reader(answer.body.as_ref()).unwrap();
        let listed = document.deserialized::<serde_json::Value>().unwrap();
        assert_eq!(listed, serde_json::json!({ "Tags": [{ "Key": "team", "Value": "cards" }] }));
    }
}
