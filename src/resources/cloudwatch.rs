//! What the kinds of CloudWatch share: tags of what has an ARN.

use aws_sdk_cloudwatch::types::Tag;

use super::{Context, OnAws, Task};
use crate::aws::Tags;
use crate::aws::error::Result;
use crate::{from_sdk_tags, sdk_tags};

/// All tags of an object.
pub(super) async fn tags(context: &Context, arn: &str) -> Result<Tags> {
    let clients = context.clients();
    let answer = context
        .call("cloudwatch:ListTagsForResource", || {
            clients.cloudwatch().list_tags_for_resource().resource_arn(arn).send()
        })
        .await?;
    Ok(from_sdk_tags!(answer.tags()))
}

/// Brings the tags of an existing object in line: puts overwrite everything but them.
pub(super) async fn sync_tags(task: &Task<'_>, arn: &str, actual: &Tags) -> Result<()> {
    let changes = task.tag_changes(actual);
    let clients = task.clients();
    if !changes.set.is_empty() {
        let set = sdk_tags!(changes.set, Tag);
        task.call("cloudwatch:TagResource", || {
            clients.cloudwatch().tag_resource().resource_arn(arn).set_tags(Some(set.clone())).send()
        })
        .await?;
    }
    if !changes.remove.is_empty() {
        task.call("cloudwatch:UntagResource", || {
            clients.cloudwatch().untag_resource().resource_arn(arn).set_tag_keys(Some(changes.remove.clone())).send()
        })
        .await?;
    }
    Ok(())
}
