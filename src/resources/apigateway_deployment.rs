//! `apigateway_deployment`: a snapshot of a REST API's paths and methods; what a stage serves.
//!
//! A deployment cannot be changed, and AWS does not tell what it contains: so its description carries a digest of `content`, the
//! routes it was made from. Changed routes are an update that makes another deployment and so changes the output `id`. A stage
//! must never be without a deployment, and AWS does not delete one that a stage serves: the stage moves to the new deployment and then
//! deletes those it superseded (`apigateway_stage`). What a crash leaves behind in between goes with the API.
//!
//! Facts: `apigw.deploy.snapshot`, `apigw.deploy.errors` (never with a stage name), `apigw.deploy.delete`, `x.idem.token-absent` (found by
//! its digest). Replacement: `rest_api`. Slow: creation, one every 5 s per account and region.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aws_sdk_apigateway::types::Deployment as SdkDeployment;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::apigateway::{self, DEPLOYMENT_MARK};
use super::{
    Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Parent, Permissions, Retry, Task, Traits, Wanted,
};
use crate::aws::Tags;
use crate::aws::error::{Result, told};
use crate::outputs;
use crate::reference::{ApiDeploymentId, Ref, RestApiId, Text};

/// The kind.
#[derive(Debug)]
pub struct Deployment;

/// The desired properties of a deployment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeploymentSpec {
    /// The API.
    pub rest_api: Ref<RestApiId>,
    /// What callers can tell one deployment from another by: for each route, `POST /payment`, the method and what answers it.
    /// Its references make the deployment wait for the methods. Of a deployment with other content AWS tells only the digest.
    pub content: BTreeMap<String, Text>,
}

outputs! {
    /// What is known of a deployment once it exists.
    pub struct DeploymentOutputs of Deployment {
        /// The id.
        id: ApiDeploymentId,
    }
}

impl Kind for Deployment {
    type Spec = DeploymentSpec;
    type Outputs = DeploymentOutputs;

    const TRAITS: Traits = Traits {
        name: "apigateway_deployment",
        taggable: false,
        data_bearing: false,
        adoption: Adoption::ByName,
        immutable: &["rest_api"],
        locked_by: Some("rest_api"),
        expected: Expected::seconds(5, 5, 1),
        permissions: Permissions { read: &["apigateway:GET"], change: &["apigateway:POST", "apigateway:DELETE"] },
        retries: &[
            apigateway::busy("apigateway:CreateDeployment"),
            apigateway::busy("apigateway:DeleteDeployment"),
            // Methods made a moment ago are not visible to it at once.
            Retry::seconds(
                "apigateway:CreateDeployment",
                "BadRequestException",
                "No integration defined for method",
                30,
            ),
            Retry::seconds("apigateway:CreateDeployment", "BadRequestException", "doesn't contain any methods", 30),
        ],
    };

    const PARENT: Option<Parent> = Some(Parent::named("rest_api"));

    const CHANGING_OUTPUTS: &'static [&'static str] = &["id"];

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let apis: BTreeSet<&RestApiId> = wanted.iter().filter_map(|wanted| wanted.spec.rest_api.get()).collect();
        let apis: Vec<&RestApiId> = apis.into_iter().collect();
        let deployments = context.each(&apis, |api| apigateway::deployments(context, api)).await?;
        let found: HashMap<&RestApiId, Vec<SdkDeployment>> = apis.into_iter().zip(deployments).collect();
        let object = |wanted: &Wanted<Self>| {
            let api = wanted.spec.rest_api.get()?;
            let recorded = wanted.outputs.as_ref().map(|outputs| &outputs.id);
            let deployment = find(&found[api], recorded, &wanted.spec.content)?;
            let spec = observed(&wanted.spec, deployment);
            let outputs = |id: &str| DeploymentOutputs { id: id.into() };
            let id = told(deployment.id(), apigateway::LIST_DEPLOYMENTS, "id");
            Some(id.map(|id| Object { spec, outputs: outputs(id), tags: Tags::new() }))
        };
        wanted.iter().map(|wanted| object(wanted).transpose()).collect()
    }

    async fn ensure(task: &Task<'_>, spec: &DeploymentSpec, object: Option<Object<Self>>) -> Result<DeploymentOutputs> {
        if let Some(object) = object.filter(|object| object.spec.content == spec.content) {
            return Ok(object.outputs);
        }
        let clients = task.clients();
        let description = digest(&spec.content).map(|digest| format!("{DEPLOYMENT_MARK}{digest}"));
        let created = task
            .call("apigateway:CreateDeployment", || {
                let request = clients.apigateway().create_deployment().rest_api_id(spec.rest_api.known());
                request.set_description(description.clone()).send()
            })
            .await?;
        let outputs = DeploymentOutputs { id: told(created.id(), "apigateway:CreateDeployment", "id")?.into() };
        task.identified(&outputs).await?;
        Ok(outputs)
    }

    async fn delete(task: &Task<'_>, spec: &DeploymentSpec, outputs: &DeploymentOutputs) -> Result<Deletion> {
        let clients = task.clients();
        let deleted = task
            .call("apigateway:DeleteDeployment", || {
                let request = clients.apigateway().delete_deployment().rest_api_id(spec.rest_api.known());
                request.deployment_id(&outputs.id).send()
            })
            .await;
        match deleted {
            // A stage that is not ours serves it. Both go with the API.
            Err(error) if error.says("BadRequestException", "Active stages pointing to this deployment") => {
                Ok(Deletion::Gone)
            }
            deleted => apigateway::if_there(deleted).map(|_| Deletion::Gone),
        }
    }
}

/// The digest of a content that is fully known.
fn digest(content: &BTreeMap<String, Text>) -> Option<String> {
    let mut hash = Sha256::new();
    for (route, what) in content {
        hash.update(format!("{route}\n{}\n", what.get()?));
    }
    Some(hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect())
}

/// The digest in a deployment's description.
fn deployed(deployment: &SdkDeployment) -> Option<&str> {
    deployment.description()?.strip_prefix(DEPLOYMENT_MARK)
}

/// The deployment of the wanted content, the recorded one of several; when there is none, the recorded one of other content.
fn find<'a>(
    deployments: &'a [SdkDeployment],
    recorded: Option<&ApiDeploymentId>,
    content: &BTreeMap<String, Text>,
) -> Option<&'a SdkDeployment> {
    let wanted = digest(content);
    let is_recorded = |deployment: &SdkDeployment| recorded.is_some_and(|id| deployment.id() == Some(id.as_str()));
    let is_wanted = |deployment: &SdkDeployment| wanted.is_some() && deployed(deployment) == wanted.as_deref();
    let age = |deployment: &SdkDeployment| deployment.created_date().map(|at| at.as_nanos());
    deployments
        .iter()
        .filter(|deployment| is_wanted(deployment) || is_recorded(deployment))
        .max_by_key(|deployment| (is_wanted(deployment), is_recorded(deployment), age(deployment)))
}

fn observed(wanted: &DeploymentSpec, deployment: &SdkDeployment) -> DeploymentSpec {
    let deployed = deployed(deployment);
    if deployed.is_some() && deployed == digest(&wanted.content).as_deref() {
        return wanted.clone();
    }
    let content = BTreeMap::from([("digest".to_owned(), Text::from(deployed.unwrap_or("not made by drctl")))]);
    DeploymentSpec { content, ..wanted.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text;
    use aws_smithy_types::DateTime;

    fn spec(function: &str) -> DeploymentSpec {
        let content = BTreeMap::from([("POST /payment".to_owned(), text!["path/POST", " -> ", function])]);
        DeploymentSpec { rest_api: Ref::Known("api".into()), content }
    }

    fn deployment(id: &str, at: i64, spec: &DeploymentSpec) -> SdkDeployment {
        let description = format!("{DEPLOYMENT_MARK}{}", digest(&spec.content).unwrap());
        SdkDeployment::builder().id(id).description(description).created_date(DateTime::from_secs(at)).build()
    }

    #[test]
    fn changed_routes_differ_from_what_is_deployed_and_unchanged_ones_do_not() {
        let old = deployment("d1", 1, &spec("old"));
        assert_eq!(observed(&spec("old"), &old), spec("old"));
        assert_ne!(observed(&spec("new"), &old), spec("new"));
        let by_hand = SdkDeployment::builder().id("d2").build();
        assert_ne!(observed(&spec("old"), &by_hand), spec("old"));
    }

    #[test]
    fn how_a_text_is_cut_into_parts_changes_nothing() {
        let whole = BTreeMap::from([("POST /payment".to_owned(), Text::from("path/POST -> old"))]);
        assert_eq!(digest(&whole), digest(&spec("old").content));
    }

    /// A create call whose answer was lost left a deployment behind: it is found by what it contains.
    #[test]
    fn the_deployment_of_the_wanted_content_is_found_without_a_record_of_it() {
        let all = [deployment("d1", 1, &spec("a")), deployment("d3", 3, &spec("a")), deployment("d4", 4, &spec("b"))];
        let id = |recorded: Option<&str>, function: &str| {
            let recorded = recorded.map(ApiDeploymentId::from);
            find(&all, recorded.as_ref(), &spec(function).content).and_then(SdkDeployment::id)
        };
        assert_eq!(id(None, "a"), Some("d3"));
        assert_eq!(id(Some("d1"), "a"), Some("d1"));
        assert_eq!(id(Some("d1"), "b"), Some("d4"));
        assert_eq!(id(Some("d1"), "c"), Some("d1"));
        assert_eq!(id(None, "c"), None);
        assert_eq!(id(Some("d9"), "c"), None);
    }
}
