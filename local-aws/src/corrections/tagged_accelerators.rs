//! `GetResources` of the tagging API does not list accelerators. AWS lists them, in us-west-2.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Call, Correction};
use crate::accelerator::HOME;
use crate::error::Error;
use crate::message::Response;

/// See the module.
pub(super) struct TaggedAccelerators;

#[async_trait]
impl Correction for TaggedAccelerators {
    fn id(&self) -> &'static str {
        "tagged-accelerators"
    }

    fn operations(&self) -> &'static [&'static str] {
        &["tagging:GetResources"]
    }

    async fn response(&self, call: &Call<'_>, response: &mut Response) -> Result<(), Error> {
        if call.region() == HOME {
            let input = call.original.json();
            let admitted = call.accelerators.tagged().into_iter().filter(|(arn, tags)| admits(&input, arn, tags));
            let found: Vec<Value> = admitted.map(|(arn, tags)| mapping(&arn, &tags)).collect();
            response.change_json(|document| {
                document["ResourceTagMappingList"]
                    .as_array_mut()
                    .into_iter()
                    .for_each(|list| list.extend(found.clone()));
            });
        }
        Ok(())
    }
}

/// An object as `GetResources` lists it.
pub(super) fn mapping(arn: &str, tags: &[(String, String)]) -> Value {
    let tags: Vec<Value> = tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
    json!({ "ResourceARN": arn, "Tags": tags })
}

/// Whether the filters of the call let an object through: one of the types or ARNs, and each of the tags.
pub(super) fn admits(input: &Value, arn: &str, tags: &[(String, String)]) -> bool {
    let list = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
    };
    let (types, arns) = (list(&input["ResourceTypeFilters"]), list(&input["ResourceARNList"]));
    // A type is a service, or a service and the word that stands first in its part of the ARN.
    let mut parts = arn.splitn(6, ':').skip(2);
    let service = parts.next().unwrap_or_default();
    let object = parts.nth(2).and_then(|object| object.split([':', '/']).next()).unwrap_or_default();
    let has_type = |kind: &String| match kind.split_once(':') {
        Some((of, kind)) => of == service && kind == object,
        None => kind == service,
    };
    let has_tag = |filter: &Value| {
        let values = list(&filter["Values"]);
        tags.iter().any(|(key, value)| filter["Key"] == key.as_str() && (values.is_empty() || values.contains(value)))
    };
    // AWS lists nothing that never had a tag.
    !tags.is_empty()
        && (types.is_empty() || types.iter().any(has_type))
        && (arns.is_empty() || arns.iter().any(|wanted| wanted == arn))
        && input["TagFilters"].as_array().into_iter().flatten().all(has_tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_admit_by_type_and_by_every_tag() {
        let tags = [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())];
        let arn = "arn:aws:globalaccelerator::1:accelerator/x";
        let admitted = |input: Value| admits(&input, arn, &tags);
        assert!(admitted(json!({})));
        assert!(admitted(json!({ "TagFilters": [{ "Key": "a", "Values": ["0", "1"] }, { "Key": "b" }] })));
        assert!(!admitted(json!({ "TagFilters": [{ "Key": "a", "Values": ["1"] }, { "Key": "c" }] })));
        assert!(admitted(json!({ "ResourceTypeFilters": ["ec2:vpc", "globalaccelerator"] })));
        assert!(admitted(json!({ "ResourceTypeFilters": ["globalaccelerator:accelerator"] })));
        assert!(!admitted(json!({ "ResourceTypeFilters": ["ec2:vpc", "globalaccelerator:listener"] })));
        assert!(!admitted(json!({ "ResourceARNList": ["arn:y"] })));
        assert!(!admits(&json!({}), arn, &[]));
    }
}
