//! What the kinds of EventBridge share: tags, and event patterns as JSON.

use aws_sdk_eventbridge::types::Tag;
use serde_json::Value;

use super::{Context, OnAws, Task};
use crate::aws::Tags;
use crate::aws::error::Result;

/// The tags of a bus or rule.
pub(super) async fn tags(context: &Context, arn: &str) -> Result<Tags> {
    if let Some(tags) = context.confirmed_tags(arn).await? {
        return Ok(tags);
    }
    let clients = context.clients();
    let answer = context
        .call("events:ListTagsForResource", || clients.eventbridge().list_tags_for_resource().resource_arn(arn).send())
        .await?;
    Ok(answer.tags().iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect())
}

/// Tags as EventBridge takes them.
pub(super) fn sdk_tags(tags: &Tags) -> Vec<Tag> {
    let tag = |(key, value)| Tag::builder().key(key).value(value).build().expect("a tag has a key and a value");
    tags.iter().map(tag).collect()
}

/// Brings the tags of a bus or rule up to date.
pub(super) async fn sync_tags(task: &Task<'_>, arn: &str, actual: &Tags) -> Result<()> {
    let changes = task.tag_changes(actual);
    let clients = task.clients();
    if !changes.set.is_empty() {
        let set = sdk_tags(&changes.set);
        task.call("events:TagResource", || {
            clients.eventbridge().tag_resource().resource_arn(arn).set_tags(Some(set.clone())).send()
        })
        .await?;
    }
    if !changes.remove.is_empty() {
        task.call("events:UntagResource", || {
            clients.eventbridge().untag_resource().resource_arn(arn).set_tag_keys(Some(changes.remove.clone())).send()
        })
        .await?;
    }
    Ok(())
}

/// A JSON text as its meaning; a text that is no JSON stays a text, so that it differs from every pattern.
pub(super) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn patterns_are_compared_by_meaning() {
        assert_eq!(
            json(r#"{ "region":["us-east-1"],  "source": ["a"] }"#),
            json!({ "source": ["a"], "region": ["us-east-1"] })
        );
        assert_ne!(json("{"), json!({}));
    }
}
