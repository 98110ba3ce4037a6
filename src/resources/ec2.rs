//! What all kinds of EC2 share: finding objects by id or tags, tags in and out, and who is in the way of a deletion.

use aws_sdk_ec2::types::{Filter, ResourceType, Tag, TagSpecification};

use super::{Context, Kind, Task, Wanted};
use crate::aws::error::Result;
use crate::aws::{Error, Tags, tags};
use crate::{from_sdk_tags, sdk_tags};

/// A filter that finds wanted objects in one call: by their ids when all are recorded, else by the deployment's tag.
///
/// Filters never refuse an unknown id, while id parameters fail the whole call for one object that is gone.
pub(super) fn find<'a>(context: &Context, id_filter: &str, ids: impl Iterator<Item = Option<&'a str>>) -> Filter {
    match ids.map(|id| id.map(str::to_owned)).collect::<Option<Vec<String>>>() {
        Some(ids) => Filter::builder().name(id_filter).set_values(Some(ids)).build(),
        None => Filter::builder().name(format!("tag:{}", tags::DEPLOYMENT)).values(context.suffix()).build(),
    }
}

/// Tells whether an object is the wanted one: the recorded one, or by its address tag when there is no record.
pub(super) fn is<K: Kind>(wanted: &Wanted<K>, recorded: impl Fn(&K::Outputs) -> bool, actual: &[Tag]) -> bool {
    match &wanted.outputs {
        Some(outputs) => recorded(outputs),
        None => {
            let address = wanted.address.to_string();
            actual.iter().any(|tag| tag.key() == Some(tags::ADDRESS) && tag.value() == Some(&address))
        }
    }
}

/// An object's tags.
pub(super) fn tags(actual: &[Tag]) -> Tags {
    from_sdk_tags!(actual)
}

/// The tags of a create call.
pub(super) fn tag_specification(task: &Task<'_>, resource: ResourceType) -> TagSpecification {
    TagSpecification::builder().resource_type(resource).set_tags(Some(sdk_tags!(task.tags, Tag))).build()
}

/// Brings an object's tags up to date.
pub(super) async fn sync_tags(task: &Task<'_>, id: &str, actual: &Tags) -> Result<()> {
    let changes = task.tag_changes(actual);
    let clients = task.clients();
    if !changes.set.is_empty() {
        let set = sdk_tags!(changes.set, Tag);
        task.call("ec2:CreateTags", || clients.ec2().create_tags().resources(id).set_tags(Some(set.clone())).send())
            .await?;
    }
    if !changes.remove.is_empty() {
        let remove: Vec<Tag> = changes.remove.iter().map(|key| Tag::builder().key(key).build()).collect();
        task.call("ec2:DeleteTags", || clients.ec2().delete_tags().resources(id).set_tags(Some(remove.clone())).send())
            .await?;
    }
    Ok(())
}

/// Adds to a `DependencyViolation` the network interfaces that are in the way, by id and description, because AWS does not say.
pub(super) async fn name_dependents(task: &Task<'_>, filter: &str, id: &str, error: Error) -> Error {
    if !error.is(&["DependencyViolation"]) {
        return error;
    }
    let clients = task.clients();
    let filter = Filter::builder().name(filter).values(id).build();
    let found = task
        .call("ec2:DescribeNetworkInterfaces", || {
            clients.ec2().describe_network_interfaces().filters(filter.clone()).max_results(20).send()
        })
        .await;
    let interfaces: Vec<String> = found
        .iter()
        .flat_map(|answer| answer.network_interfaces())
        .map(|interface| {
            let what = interface.description().filter(|text| !text.is_empty()).unwrap_or("no description");
            format!("{} ({what})", interface.network_interface_id().unwrap_or_default())
        })
        .collect();
    match interfaces.is_empty() {
        true => error,
        false => Error::Blocked(format!("{error}; still in it: {}", interfaces.join(", "))),
    }
}
