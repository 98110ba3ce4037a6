//! The emulator takes any tags. AWS has rules, of which each service has its own: Route 53 keeps ten tags of a zone or health check, and IAM
//! takes two keys that differ in case alone for one.
//!
//! The proxy refuses what AWS refuses. The words of Route 53 are not verified; its API's reference names the code alone.

use async_trait::async_trait;
use axum::http::{Method, StatusCode};
use std::collections::{BTreeMap, BTreeSet};
use xmltree::{Element, XMLNode};

use super::{Call, Correction};
use crate::error::Error;
use crate::message::{Form, Request, Response, XmlExt};
use crate::refusal::refusal;

/// See the module.
pub(super) struct TagRules;

/// How many tags Route 53 keeps of one zone or health check.
const MOST: usize = 10;

#[async_trait]
impl Correction for TagRules {
    fn id(&self) -> &'static str {
        "tag-rules"
    }

    fn operations(&self) -> &'static [&'static str] {
        &["iam:CreatePolicy", "iam:CreateRole", "iam:TagRole", "route53:ChangeTagsForResource"]
    }

    async fn request(&self, call: &Call<'_>, request: &mut Request) -> Result<Option<Response>, Error> {
        let refused = |message: String| refusal(call, StatusCode::BAD_REQUEST, "InvalidInput", &message);
        if call.operation.service == "iam" {
            let twice = same_but_for_case(&request.form());
            return Ok(twice.map(|key| {
                refused(format!("Duplicate tag keys found. Please note that Tag keys are case insensitive: {key}"))
            }));
        }
        let there = call.rest(Method::GET, request.uri.path(), None).await?;
        let Some(change) = Element::parse(request.body.as_ref()).ok() else { return Ok(None) };
        let mut keys = there.xml().map(|answer| texts(&answer, &["ResourceTagSet", "Tags"])).unwrap_or_default();
        for gone in texts(&change, &["RemoveTagKeys"]) {
            keys.remove(&gone);
        }
        keys.extend(texts(&change, &["AddTags"]));
        Ok((keys.len() > MOST).then(|| refused(format!("{} tags are too many: the limit is {MOST}.", keys.len()))))
    }
}

/// A key of the request that another one differs from in case alone.
fn same_but_for_case(form: &Form) -> Option<String> {
    let mut known = BTreeMap::new();
    let keys = form.0.iter().filter(|(name, _)| name.starts_with("Tags.member.") && name.ends_with(".Key"));
    keys.map(|(_, key)| key).find(|key| known.insert(key.to_lowercase(), ()).is_some()).cloned()
}

/// The keys in the list at this path, whose items are tags or keys.
fn texts(document: &Element, path: &[&str]) -> BTreeSet<String> {
    let list = path.iter().try_fold(document, |element, name| element.get_child(*name));
    let items = list.map(|list| list.children.as_slice()).unwrap_or_default();
    let items = items.iter().filter_map(XMLNode::as_element);
    items.filter_map(|item| item.text_of("Key").or_else(|| Some(item.get_text()?.trim().to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iam_ignores_case_in_keys() {
        let form = |keys: [&str; 2]| {
            let pairs = keys.iter().enumerate();
            Form(pairs.map(|(index, key)| (format!("Tags.member.{}.Key", index + 1), (*key).to_owned())).collect())
        };
        assert_eq!(same_but_for_case(&form(["Owner", "owner"])).as_deref(), Some("owner"));
        assert_eq!(same_but_for_case(&form(["Owner", "Other"])), None);
    }

    #[test]
    fn keys_are_read_from_answers_and_requests() {
        let keys = |document: &str, path: &[&str]| {
            let found = texts(&Element::parse(document.as_bytes()).unwrap(), path);
            found.into_iter().collect::<Vec<_>>()
        };
        let answer = "<A><ResourceTagSet><Tags><Tag><Key>a</Key><Value>1</Value></Tag></Tags></ResourceTagSet></A>";
        assert_eq!(keys(answer, &["ResourceTagSet", "Tags"]), ["a"]);
        let change = "<C><AddTags><Tag><Key>b</Key></Tag></AddTags><RemoveTagKeys><Key>a</Key></RemoveTagKeys></C>";
        assert_eq!(keys(change, &["AddTags"]), ["b"]);
        assert_eq!(keys(change, &["RemoveTagKeys"]), ["a"]);
        assert_eq!(keys(change, &["Other"]), [""; 0]);
    }
}
