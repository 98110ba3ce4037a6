//! `apigateway_rest_api`: a regional REST API; its paths, methods, deployments and stages are resources of their own.
//!
//! Facts: `apigw.api.create` (type and tags are in the call; nothing is imported), `apigw.api.not-unique` and `x.idem.token-absent`
//! (names are not unique and there is no token: found by its tags), `apigw.api.update` (by patches), `apigw.api.read` (one list has
//! all APIs with their tags), `apigw.api.delete` (mappings first; one deletion every 30 s per account and region),
//! `apigw.conflict-retry`. Replacement: nothing. Slow: deletion, by its rate.

use std::collections::HashMap;

use aws_sdk_apigateway::operation::create_rest_api::CreateRestApiInput;
use aws_sdk_apigateway::operation::create_rest_api::builders::CreateRestApiInputBuilder;
use aws_sdk_apigateway::types::{EndpointConfiguration, EndpointType, RestApi as SdkRestApi};
use serde::{Deserialize, Serialize};

use super::apigateway;
use super::{Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted};
use crate::aws::Error;
use crate::aws::error::{Result, told};
use crate::outputs;
use crate::reference::{ApiResourceId, RestApiId};

/// The kind.
#[derive(Debug)]
pub struct RestApi;

/// The desired properties of a REST API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RestApiSpec {
    /// The name, for people: AWS takes several APIs of one name.
    pub name: String,
    /// What it is for.
    pub description: String,
}

outputs! {
    /// What is known of a REST API once it exists.
    pub struct RestApiOutputs of RestApi {
        /// The id, which is also the first part of its host name.
        id: RestApiId,
        /// The path `/`, which every API has from its beginning.
        root_resource_id: ApiResourceId,
    }
}

impl Kind for RestApi {
    type Spec = RestApiSpec;
    type Outputs = RestApiOutputs;

    const TRAITS: Traits = Traits {
        name: "apigateway_rest_api",
        taggable: true,
        data_bearing: false,
        adoption: Adoption::ByTag,
        immutable: &[],
        locked_by: None,
        expected: Expected::seconds(3, 2, 30),
        permissions: Permissions {
            read: &["apigateway:GET"],
            change: &["apigateway:POST", "apigateway:PATCH", "apigateway:PUT", "apigateway:DELETE"],
        },
        retries: &[
            apigateway::busy("apigateway:CreateRestApi"),
            apigateway::busy("apigateway:UpdateRestApi"),
            apigateway::busy("apigateway:DeleteRestApi"),
            apigateway::busy("apigateway:TagResource"),
            apigateway::busy("apigateway:UntagResource"),
            // A mapping that was deleted a moment ago still counts.
            Retry::seconds("apigateway:DeleteRestApi", "BadRequestException", "remove all base path mappings", 60),
        ],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let found = apigateway::rest_apis(context).await?;
        let object = |wanted: &Wanted<Self>| {
            let is_wanted = |api: &&SdkRestApi| match &wanted.outputs {
                Some(outputs) => api.id() == Some(outputs.id.as_str()),
                None => apigateway::is_tagged(context, wanted, &apigateway::tags(api.tags())),
            };
            found.iter().find(is_wanted).map(observed).transpose()
        };
        wanted.iter().map(object).collect()
    }

    async fn ensure(task: &Task<'_>, spec: &RestApiSpec, object: Option<Object<Self>>) -> Result<RestApiOutputs> {
        let object = match object {
            Some(object) => object,
            None => create(task, spec).await?,
        };
        let id = &object.outputs.id;
        let mut patches = Vec::new();
        if object.spec.name != spec.name {
            patches.push(apigateway::replace("/name", &spec.name));
        }
        if object.spec.description != spec.description {
            patches.push(apigateway::replace("/description", &spec.description));
        }
        if !patches.is_empty() {
            let clients = task.clients();
            task.call("apigateway:UpdateRestApi", || {
                let request = clients.apigateway().update_rest_api().rest_api_id(id);
                request.set_patch_operations(Some(patches.clone())).send()
            })
            .await?;
        }
        apigateway::sync_tags(task, &format!("/restapis/{id}"), &object.tags).await?;
        Ok(object.outputs)
    }

    async fn delete(task: &Task<'_>, _: &RestApiSpec, outputs: &RestApiOutputs) -> Result<Deletion> {
        let clients = task.clients();
        let deleted = task
            .call("apigateway:DeleteRestApi", || clients.apigateway().delete_rest_api().rest_api_id(&outputs.id).send())
            .await;
        match deleted {
            Err(error) if error.says("BadRequestException", "remove all base path mappings") => {
                Err(Error::Blocked(format!("{error}; a custom domain that is not ours maps to it")))
            }
            Err(error) if !error.is_gone() => Err(error),
            _ => Ok(Deletion::Gone),
        }
    }
}

async fn create(task: &Task<'_>, spec: &RestApiSpec) -> Result<Object<RestApi>> {
    let clients = task.clients();
    let created = task
        .call("apigateway:CreateRestApi", || request(spec, apigateway::new_tags(task)).send_with(clients.apigateway()))
        .await?;
    let text = |value, field| told(value, "apigateway:CreateRestApi", field);
    let outputs = RestApiOutputs {
        id: text(created.id(), "id")?.into(),
        root_resource_id: text(created.root_resource_id(), "rootResourceId")?.into(),
    };
    task.identified(&outputs).await?;
    Ok(Object { spec: spec.clone(), outputs, tags: task.tags.clone() })
}

fn request(spec: &RestApiSpec, tags: Option<HashMap<String, String>>) -> CreateRestApiInputBuilder {
    CreateRestApiInput::builder()
        .name(&spec.name)
        .description(&spec.description)
        .endpoint_configuration(EndpointConfiguration::builder().types(EndpointType::Regional).build())
        .set_tags(tags)
}

fn observed(api: &SdkRestApi) -> Result<Object<RestApi>> {
    let text = |value, field| told(value, apigateway::LIST_APIS, field);
    Ok(Object {
        spec: RestApiSpec {
            name: text(api.name(), "name")?.to_owned(),
            // An API may have none.
            description: api.description().unwrap_or_default().to_owned(),
        },
        outputs: RestApiOutputs {
            id: text(api.id(), "id")?.into(),
            root_resource_id: text(api.root_resource_id(), "rootResourceId")?.into(),
        },
        tags: apigateway::tags(api.tags()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_that_does_not_tell_its_root_is_an_error() {
        let api = SdkRestApi::builder().id("a1").name("dr-payments-dev");
        let error = observed(&api.clone().build()).unwrap_err().to_string();
        assert!(error.contains("apigateway:GetRestApis") && error.contains("rootResourceId"), "{error}");
        assert!(observed(&api.root_resource_id("r1").build()).is_ok());
    }

    /// `apigw.api.create`: what is left out of the call is not set later, and an API without its address is not found again.
    #[test]
    fn an_api_is_asked_for_as_regional_and_with_its_tags() {
        let spec = RestApiSpec { name: "dr-payments-dev".to_owned(), description: "Payments".to_owned() };
        let tags = HashMap::from([("drctl:address".to_owned(), "us-east-1/apigateway_rest_api/payments".to_owned())]);
        let request = request(&spec, Some(tags.clone()));
        let endpoint = request.get_endpoint_configuration().as_ref().expect("it says what it is");
        assert_eq!(endpoint.types(), [EndpointType::Regional]);
        assert_eq!(request.get_tags(), &Some(tags));
        assert_eq!(request.get_name().as_deref(), Some("dr-payments-dev"));
        assert_eq!(request.get_description().as_deref(), Some("Payments"));
    }
}
