//! What all kinds of API Gateway share: tags in and out, patches, one read of all paths of an API, and what "already exists" means.
//! Nearly every refusal has the code `BadRequestException`, so that its message decides what it means (`apigw.badrequest`).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use aws_sdk_apigateway::types::{Deployment, Op, PatchOperation, Resource, RestApi, Stage};

use super::{Context, Kind, Object, OnAws, Retry, Task, Wanted, list};
use crate::aws::error::Result;
use crate::aws::{Error, Tags, tags};
use crate::reference::RestApiId;

/// The beginning of the description of every deployment that drctl makes; the digest of its content follows.
pub(super) const DEPLOYMENT_MARK: &str = "drctl content ";

/// The lists of what an API Gateway has.
pub(super) const LIST_APIS: &str = "apigateway:GetRestApis";
pub(super) const LIST_DEPLOYMENTS: &str = "apigateway:GetDeployments";
pub(super) const LIST_PATHS: &str = "apigateway:GetResources";
pub(super) const LIST_STAGES: &str = "apigateway:GetStages";

/// What AWS says while another change of the same thing is at work.
const BUSY: &str = "try again later";

/// The refusal that any change of API Gateway may meet while another one is at work (`apigw.conflict-retry`).
pub(super) const fn busy(operation: &'static str) -> Retry {
    Retry::seconds(operation, "ConflictException", BUSY, 120)
}

/// An object's tags.
pub(super) fn tags(actual: Option<&HashMap<String, String>>) -> Tags {
    actual.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// The tags of a create call.
pub(super) fn new_tags(task: &Task<'_>) -> Option<HashMap<String, String>> {
    Some(task.tags.clone().into_iter().collect())
}

/// Tells whether tags are those of the resource with this address in this deployment.
pub(super) fn is_tagged<K: Kind>(context: &Context, wanted: &Wanted<K>, actual: &Tags) -> bool {
    context.owns(actual) && actual.get(tags::ADDRESS) == Some(&wanted.address.to_string())
}

/// Brings an object's tags up to date. `path` is the object's path in the API, such as `/restapis/a1b2c3`.
pub(super) async fn sync_tags(task: &Task<'_>, path: &str, actual: &Tags) -> Result<()> {
    let changes = task.tag_changes(actual);
    let clients = task.clients();
    let arn = format!("arn:aws:apigateway:{}::{path}", task.scope().as_str());
    if !changes.set.is_empty() {
        let set: HashMap<String, String> = changes.set.into_iter().collect();
        task.call("apigateway:TagResource", || {
            clients.apigateway().tag_resource().resource_arn(&arn).set_tags(Some(set.clone())).send()
        })
        .await?;
    }
    if !changes.remove.is_empty() {
        task.call("apigateway:UntagResource", || {
            clients.apigateway().untag_resource().resource_arn(&arn).set_tag_keys(Some(changes.remove.clone())).send()
        })
        .await?;
    }
    Ok(())
}

/// A patch that sets a value.
pub(super) fn replace(path: &str, value: impl Into<String>) -> PatchOperation {
    PatchOperation::builder().op(Op::Replace).path(path).value(value).build()
}

/// A patch that takes a value away.
pub(super) fn remove(path: &str) -> PatchOperation {
    PatchOperation::builder().op(Op::Remove).path(path).build()
}

/// All paths of some APIs with their methods and integrations, one call per API and observation. An API that is gone has none.
pub(super) async fn resources(
    context: &Context,
    apis: BTreeSet<&RestApiId>,
) -> Result<HashMap<RestApiId, Arc<Vec<Resource>>>> {
    let clients = &context.clients();
    let apis: Vec<&RestApiId> = apis.into_iter().collect();
    let found = context
        .each(&apis, |api| async move {
            let read = async || {
                let found = list::all(
                    context,
                    LIST_PATHS,
                    |token| {
                        let request = clients.apigateway().get_resources().rest_api_id(*api).embed("methods");
                        request.limit(500).set_position(token).send()
                    },
                    |page| (page.items.unwrap_or_default(), page.position),
                )
                .await;
                let found = if_there(found)?.unwrap_or_default();
                list::each_tells(&found, Resource::id, LIST_PATHS, "id")?;
                Ok(found)
            };
            let found = context.shared(&format!("apigateway:GetResources {api}"), read).await?;
            Ok(((*api).clone(), found))
        })
        .await?;
    Ok(found.into_iter().collect())
}

/// All deployments of an API; an API that is gone has none.
pub(super) async fn deployments(context: &Context, api: &RestApiId) -> Result<Vec<Deployment>> {
    let clients = context.clients();
    let found = list::all(
        context,
        LIST_DEPLOYMENTS,
        |token| clients.apigateway().get_deployments().rest_api_id(api).limit(500).set_position(token).send(),
        |page| (page.items.unwrap_or_default(), page.position),
    );
    let found = if_there(found.await)?.unwrap_or_default();
    list::each_tells(&found, Deployment::id, LIST_DEPLOYMENTS, "id")?;
    Ok(found)
}

/// All REST APIs of a region.
pub(super) async fn rest_apis(context: &Context) -> Result<Vec<RestApi>> {
    let clients = context.clients();
    let found = list::all(
        context,
        LIST_APIS,
        |token| clients.apigateway().get_rest_apis().limit(500).set_position(token).send(),
        |page| (page.items.unwrap_or_default(), page.position),
    )
    .await?;
    list::each_tells(&found, RestApi::id, LIST_APIS, "id")?;
    Ok(found)
}

/// All stages of an API; an API that is gone has none.
pub(super) async fn stages(context: &Context, api: &str) -> Result<Vec<Stage>> {
    let clients = context.clients();
    let found = context.call(LIST_STAGES, || clients.apigateway().get_stages().rest_api_id(api).send()).await;
    let found = if_there(found)?.and_then(|found| found.item).unwrap_or_default();
    list::each_tells(&found, Stage::stage_name, LIST_STAGES, "stageName")?;
    Ok(found)
}

/// Turns "not found" into `None`.
pub(super) fn if_there<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_gone() => Ok(None),
        Err(error) => Err(error),
    }
}

/// What to do when a create call says that the object exists although none was seen: an earlier request whose answer was lost
/// made it, or somebody else did. Looks once more, and takes it only when it is ours.
pub(super) async fn existing<K: Kind>(task: &Task<'_>, spec: &K::Spec, error: Error) -> Result<Object<K>> {
    if !exists_already(&error) {
        return Err(error);
    }
    let wanted = [Wanted::<K> { address: task.address.clone(), spec: spec.clone(), outputs: None }];
    let found = K::observe(&task.context, &wanted).await?.into_iter().next().flatten();
    match found {
        Some(object) if !K::TRAITS.taggable || is_tagged(task, &wanted[0], &object.tags) => Ok(object),
        _ => Err(Error::Taken(format!("{error}; it is not part of this deployment"))),
    }
}

/// Tells whether a create call was refused because the object exists: two codes say that, and both say other things as well
/// (`apigw.domain.exists`).
fn exists_already(error: &Error) -> bool {
    let is_there = error.is(&["ConflictException"]) && !error.says("ConflictException", BUSY);
    is_there || error.says("BadRequestException", "already exists")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::Refusal;
    use crate::resources::KINDS;

    const LOCK: &str = "Unable to complete operation due to concurrent modification. Please try again later.";

    fn refused(code: &str, message: &str) -> Error {
        Refusal { code: code.into(), message: message.into(), ..Refusal::default() }.into()
    }

    #[test]
    fn only_a_lock_held_by_another_change_passes_by_itself() {
        let retry = busy("apigateway:CreateStage");
        assert!(retry.matches("apigateway:CreateStage", &refused("ConflictException", LOCK)));
        assert!(!retry.matches("apigateway:CreateStage", &refused("ConflictException", "Stage already exists")));
    }

    /// `apigw.conflict-retry`: any change may meet the lock.
    #[test]
    fn every_change_is_made_again_after_a_lock() {
        for (kind, operations) in [
            ("account", &["UpdateAccount"][..]),
            ("base_path_mapping", &["CreateBasePathMapping", "UpdateBasePathMapping", "DeleteBasePathMapping"]),
            ("deployment", &["CreateDeployment", "DeleteDeployment"]),
            (
                "domain_name",
                &["CreateDomainName", "UpdateDomainName", "DeleteDomainName", "TagResource", "UntagResource"],
            ),
            ("method", &["PutMethod", "PutIntegration", "DeleteMethod"]),
            ("resource", &["CreateResource", "DeleteResource"]),
            ("rest_api", &["CreateRestApi", "UpdateRestApi", "DeleteRestApi", "TagResource", "UntagResource"]),
            ("stage", &["CreateStage", "UpdateStage", "DeleteStage", "TagResource", "UntagResource"]),
        ] {
            let name = format!("apigateway_{kind}");
            let kind = KINDS.iter().find(|kind| kind.traits().name == name).expect("it is a kind");
            for operation in operations {
                let operation = format!("apigateway:{operation}");
                let lock = refused("ConflictException", LOCK);
                let met_again = kind.traits().retries.iter().any(|retry| retry.matches(&operation, &lock));
                assert!(met_again, "{name}: {operation}");
            }
        }
    }

    /// `apigw.domain.exists`.
    #[test]
    fn what_exists_is_told_from_what_is_locked_and_from_what_is_wrong() {
        for (code, message, exists) in [
            ("BadRequestException", "The domain name you provided already exists.", true),
            ("ConflictException", "Base path already exists for this domain name", true),
            ("ConflictException", LOCK, false),
            ("BadRequestException", "Certificate 'arn:x' must be in 'us-east-1'.", false),
        ] {
            assert_eq!(exists_already(&refused(code, message)), exists, "{code}: {message}");
        }
    }
}
