//! What all kinds of Route 53 share: tags, references that prove whose an object is, and how names are compared.

use std::collections::HashMap;

use aws_sdk_route53::types::{Tag, TagResourceType};
use sha2::{Digest, Sha256};

use super::{Context, OnAws, Task};
use crate::address::Address;
use crate::aws::error::Result;
use crate::aws::{Error, TagChanges, Tags};
use crate::{from_sdk_tags, sdk_tags};

/// How many ids one `ListTagsForResources` takes.
const TAGGED_AT_ONCE: usize = 10;
/// How many tags a hosted zone or a health check takes (`x.tags.rules`).
const TAGS_OF_AN_OBJECT: usize = 10;

/// The beginning of the caller references of all objects that are made for an address.
///
/// The create calls take no tags (`x.tags-on-create`). The caller reference is in the create call and in every list, so an object
/// that a crash left untagged still says whose it is. A digest, because 64 characters are the limit.
pub(super) fn mark(suffix: &str, address: &Address) -> String {
    let digest = Sha256::digest(format!("{suffix} {address}").as_bytes());
    let digest: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("drctl-{digest}-")
}

/// The caller reference of a create call: never used before and never again, not even after a deletion.
pub(super) fn caller_reference(task: &Task<'_>) -> String {
    reference(task.suffix(), task.address, task.token)
}

fn reference(suffix: &str, address: &Address, token: &str) -> String {
    format!("{}{token}", mark(suffix, address))
}

/// The tags of many objects by id; an object that vanished meanwhile has none.
pub(super) async fn tags(context: &Context, kind: TagResourceType, ids: &[String]) -> Result<HashMap<String, Tags>> {
    let clients = context.clients();
    let mut found = HashMap::new();
    let mut unconfirmed = Vec::new();
    for id in ids {
        match context.confirmed_tags(&format!("arn:aws:route53:::{}/{id}", kind.as_str())).await? {
            Some(tags) => drop(found.insert(id.clone(), tags)),
            None => unconfirmed.push(id.clone()),
        }
    }
    for some in unconfirmed.chunks(TAGGED_AT_ONCE) {
        let answer = context
            .call("route53:ListTagsForResources", || {
                let request = clients.route53().list_tags_for_resources().resource_type(kind.clone());
                request.set_resource_ids(Some(some.to_vec())).send()
            })
            .await;
        let answer = match answer {
            Ok(answer) => answer,
            // One that vanished refuses the whole call; the next observation no longer finds it.
            Err(error) if error.is_gone() => continue,
            Err(error) => return Err(error),
        };
        for set in answer.resource_tag_sets() {
            let id = set.resource_id().ok_or_else(|| missing("ResourceId"))?;
            found.insert(id.to_owned(), from_sdk_tags!(set.tags()));
        }
        // One that is passed over isn't without tags.
        if let Some(id) = some.iter().find(|id| !found.contains_key(*id)) {
            return Err(missing(&format!("tags of {id}")));
        }
    }
    Ok(found)
}

fn missing(field: &str) -> Error {
    Error::incomplete("route53:ListTagsForResources", field)
}

/// Brings an object's tags up to date.
pub(super) async fn sync_tags(task: &Task<'_>, kind: TagResourceType, id: &str, actual: &Tags) -> Result<()> {
    let changes = task.tag_changes(actual);
    if changes.is_empty() {
        return Ok(());
    }
    let clients = task.clients();
    for TagChanges { set, remove } in within_limit(changes, actual) {
        let set = sdk_tags!(set, Tag);
        task.call("route53:ChangeTagsForResource", || {
            clients
                .route53()
                .change_tags_for_resource()
                .resource_type(kind.clone())
                .resource_id(id)
                .set_add_tags(Some(set.clone()).filter(|set| !set.is_empty()))
                .set_remove_tag_keys(Some(remove.clone()).filter(|remove| !remove.is_empty()))
                .send()
        })
        .await?;
    }
    Ok(())
}

/// One call, or two where an object would have more tags than Route 53 takes until the old ones are gone.
fn within_limit(changes: TagChanges, actual: &Tags) -> Vec<TagChanges> {
    let new = changes.set.keys().filter(|key| !actual.contains_key(*key)).count();
    if changes.remove.is_empty() || actual.len() + new <= TAGS_OF_AN_OBJECT {
        return vec![changes];
    }
    let removal = TagChanges { remove: changes.remove, ..TagChanges::default() };
    vec![removal, TagChanges { set: changes.set, ..TagChanges::default() }]
}

/// An id without the path that some answers put before it: `/hostedzone/Z1` is `Z1`.
pub(super) fn bare(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

/// A name as names are compared: lower case, without the trailing dot, the asterisk not escaped (`r53.record.read`).
pub(super) fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_lowercase().replace("\\052", "*")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Scope;

    /// Seven tags of the user that become seven others: never more than ten at a time.
    #[test]
    fn old_tags_go_first_where_ten_would_be_exceeded() {
        let tags = |keys: std::ops::Range<u32>| -> Tags { keys.map(|n| (format!("t{n}"), "x".to_owned())).collect() };
        let of = |actual: &Tags, changes: TagChanges| -> Vec<(usize, usize)> {
            let calls = within_limit(changes, actual);
            calls.iter().map(|call| (call.set.len(), call.remove.len())).collect()
        };
        let remove = |tags: Tags| tags.into_keys().collect::<Vec<_>>();
        let all = TagChanges { set: tags(10..17), remove: remove(tags(3..10)) };
        assert_eq!(of(&tags(0..10), all), [(0, 7), (7, 0)]);
        let one = TagChanges { set: tags(10..11), remove: remove(tags(3..4)) };
        assert_eq!(of(&tags(0..4), one), [(1, 1)]);
        assert_eq!(of(&tags(0..3), TagChanges { set: tags(3..10), remove: Vec::new() }), [(7, 0)]);
    }

    #[test]
    fn names_are_compared_without_what_route_53_adds() {
        assert_eq!(plain("\\052.Dr-Payments-dev.example.com."), "*.dr-payments-dev.example.com");
        assert_eq!(bare("/hostedzone/Z1"), "Z1");
        assert_eq!(bare("Z1"), "Z1");
    }

    /// `r53.hc.create`: each intent has a reference of its own, and a repeated call the same.
    #[test]
    fn a_reference_is_of_one_intent() {
        let address = Address::new(Scope::global(), "route53_health_check", "primary");
        let (first, second) = ("0".repeat(32), "1".repeat(32));
        assert_eq!(reference("dev", &address, &first), reference("dev", &address, &first));
        assert_ne!(reference("dev", &address, &first), reference("dev", &address, &second));
        assert!(reference("dev", &address, &first).starts_with(&mark("dev", &address)));
    }

    /// A reference must fit into the 64 characters of health checks, with a token of 32.
    #[test]
    fn marks_are_short_and_tell_deployments_and_addresses_apart() {
        let address = |name| Address::new(Scope::global(), "route53_health_check", name);
        let mark_of = |suffix, name| mark(suffix, &address(name));
        assert!(mark_of("dev", "us-east-1").len() + 32 <= 64);
        assert_ne!(mark_of("dev", "us-east-1"), mark_of("dev", "us-east-2"));
        assert_ne!(mark_of("dev", "us-east-1"), mark_of("prod", "us-east-1"));
    }
}
