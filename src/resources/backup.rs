//! What the kinds of AWS Backup share: tags, by ARN.

use super::{Context, OnAws, Task};
use crate::aws::Tags;
use crate::aws::error::Result;

/// An object's tags; none when the object has just gone.
pub(super) async fn list_tags(context: &Context, arn: &str) -> Result<Tags> {
    if let Some(tags) = context.confirmed_tags(arn).await? {
        return Ok(tags);
    }
    let clients = context.clients();
    let pages: Vec<_> = context
        .call("backup:ListTags", || {
            let request = clients.backup().list_tags().resource_arn(arn);
            request.into_paginator().send().collect::<std::result::Result<_, _>>()
        })
        .await?;
    Ok(pages.into_iter().flat_map(|page| page.tags.unwrap_or_default()).collect())
}

/// Brings an object's tags up to date.
pub(super) async fn sync_tags(task: &Task<'_>, arn: &str, actual: &Tags) -> Result<()> {
    let changes = task.tag_changes(actual);
    let clients = task.clients();
    if !changes.set.is_empty() {
        let set: std::collections::HashMap<_, _> = changes.set.into_iter().collect();
        task.call("backup:TagResource", || {
            clients.backup().tag_resource().resource_arn(arn).set_tags(Some(set.clone())).send()
        })
        .await?;
    }
    if !changes.remove.is_empty() {
        let remove = changes.remove;
        task.call("backup:UntagResource", || {
            clients.backup().untag_resource().resource_arn(arn).set_tag_key_list(Some(remove.clone())).send()
        })
        .await?;
    }
    Ok(())
}
