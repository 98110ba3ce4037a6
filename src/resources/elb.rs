//! What all kinds of load balancing share: tags and unordered references.

use std::collections::HashMap;

use aws_sdk_elasticloadbalancingv2::types::Tag;

use super::{Context, OnAws, Task};
use crate::aws::error::Result;
use crate::aws::{Error, Tags};
use crate::reference::Ref;
use crate::{from_sdk_tags, sdk_tags};

/// How many ARNs one `DescribeTags` takes (`elb.tags`).
const TAGGED_AT_ONCE: usize = 20;

/// The tags of many objects by ARN, in as few calls as AWS allows; an object that vanished meanwhile has none.
pub(super) async fn tags(context: &Context, arns: &[String]) -> Result<HashMap<String, Tags>> {
    let clients = context.clients();
    let mut found = HashMap::new();
    let mut unconfirmed = Vec::new();
    for arn in arns {
        match context.confirmed_tags(arn).await? {
            Some(tags) => drop(found.insert(arn.clone(), tags)),
            None => unconfirmed.push(arn.clone()),
        }
    }
    for some in batches(&unconfirmed) {
        let answer = context
            .call("elasticloadbalancing:DescribeTags", || {
                clients.elb().describe_tags().set_resource_arns(Some(some.to_vec())).send()
            })
            .await?;
        for described in answer.tag_descriptions() {
            let arn = described.resource_arn().ok_or_else(|| missing("ResourceArn"))?;
            found.insert(arn.to_owned(), from_sdk_tags!(described.tags()));
        }
    }
    // One that is gone refuses the call. One that is passed over isn't without tags.
    match unconfirmed.iter().find(|arn| !found.contains_key(*arn)) {
        Some(arn) => Err(missing(&format!("tags of {arn}"))),
        None => Ok(found),
    }
}

fn missing(field: &str) -> Error {
    Error::incomplete("elasticloadbalancing:DescribeTags", field)
}

/// The ARNs of each call.
fn batches(arns: &[String]) -> impl Iterator<Item = &[String]> {
    arns.chunks(TAGGED_AT_ONCE)
}

/// The tags of a create call.
pub(super) fn create_tags(task: &Task<'_>) -> Option<Vec<Tag>> {
    Some(sdk_tags!(task.tags, Tag))
}

/// Brings an object's tags up to date.
pub(super) async fn sync_tags(task: &Task<'_>, arn: &str, actual: &Tags) -> Result<()> {
    let changes = task.tag_changes(actual);
    let clients = task.clients();
    if !changes.set.is_empty() {
        let set = sdk_tags!(changes.set, Tag);
        task.call("elasticloadbalancing:AddTags", || {
            clients.elb().add_tags().resource_arns(arn).set_tags(Some(set.clone())).send()
        })
        .await?;
    }
    if !changes.remove.is_empty() {
        task.call("elasticloadbalancing:RemoveTags", || {
            clients.elb().remove_tags().resource_arns(arn).set_tag_keys(Some(changes.remove.clone())).send()
        })
        .await?;
    }
    Ok(())
}

/// What AWS lists in no order, in the order of the spec, so that equal sets are equal lists.
pub(super) fn in_order_of<T: Clone + PartialEq>(wanted: &[Ref<T>], actual: Vec<T>) -> Vec<Ref<T>> {
    let (mut known, rest): (Vec<T>, Vec<T>) =
        actual.into_iter().partition(|item| wanted.iter().any(|wanted| wanted.get() == Some(item)));
    known.sort_by_key(|item| wanted.iter().position(|wanted| wanted.get() == Some(item)));
    known.into_iter().chain(rest).map(Ref::Known).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::SubnetId;

    /// `elb.tags`.
    #[test]
    fn tags_are_read_twenty_objects_at_a_time() {
        let arns: Vec<String> = (0..41).map(|n| format!("arn:{n}")).collect();
        let sizes: Vec<usize> = batches(&arns).map(<[String]>::len).collect();
        assert_eq!(sizes, [20, 20, 1]);
        assert_eq!(batches(&arns).flatten().collect::<Vec<_>>(), arns.iter().collect::<Vec<_>>());
    }

    #[test]
    fn equal_sets_are_equal_lists_and_others_differ() {
        let id = |id: &str| SubnetId::from(id);
        let wanted = [Ref::Known(id("c")), Ref::Known(id("a"))];
        assert_eq!(in_order_of(&wanted, vec![id("a"), id("c")]), wanted);
        assert_eq!(in_order_of(&wanted, vec![id("b"), id("a")]), [Ref::Known(id("a")), Ref::Known(id("b"))]);
    }
}
