//! `apigateway_resource`: one segment of a path of a REST API, below another one.
//!
//! Facts: `x.idem.by-name` (AWS takes a segment once below a parent: `ConflictException` for a repeat), `apigw.conflict-retry`,
//! `apigw.rates` (one `GetResources` per API reads all paths). Carries no tags: found by parent and segment.
//! Replacement: everything. Slow: nothing; the writes of one API wait for each other.

use std::collections::BTreeSet;

use aws_sdk_apigateway::types::Resource as SdkResource;
use serde::{Deserialize, Serialize};

use super::apigateway;
use super::{Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Parent, Permissions, Task, Traits, Wanted};
use crate::aws::Tags;
use crate::aws::error::{Result, told};
use crate::outputs;
use crate::reference::{ApiResourceId, Ref, RestApiId};

/// The kind.
#[derive(Debug)]
pub struct Resource;

/// The desired properties of a path segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResourceSpec {
    /// The API.
    pub rest_api: Ref<RestApiId>,
    /// The path it is below.
    pub parent: Ref<ApiResourceId>,
    /// The segment, without slashes; in braces when it is a variable.
    pub path_part: String,
}

outputs! {
    /// What is known of a path segment once it exists.
    pub struct ResourceOutputs of Resource {
        /// The id.
        id: ApiResourceId,
    }
}

impl Kind for Resource {
    type Spec = ResourceSpec;
    type Outputs = ResourceOutputs;

    const TRAITS: Traits = Traits {
        name: "apigateway_resource",
        taggable: false,
        data_bearing: false,
        adoption: Adoption::ByName,
        immutable: &["rest_api", "parent", "path_part"],
        locked_by: Some("rest_api"),
        expected: Expected::seconds(1, 1, 1),
        permissions: Permissions { read: &["apigateway:GET"], change: &["apigateway:POST", "apigateway:DELETE"] },
        retries: &[apigateway::busy("apigateway:CreateResource"), apigateway::busy("apigateway:DeleteResource")],
    };

    const PARENT: Option<Parent> = Some(Parent::named("rest_api"));

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let apis: BTreeSet<&RestApiId> = wanted.iter().filter_map(|wanted| wanted.spec.rest_api.get()).collect();
        let found = apigateway::resources(context, apis).await?;
        let object = |wanted: &Wanted<Self>| {
            let api = wanted.spec.rest_api.get()?;
            let paths = &found[api];
            let recorded = wanted.outputs.as_ref().map(|outputs| outputs.id.as_str());
            let by_id = paths.iter().find(|path| recorded.is_some() && path.id() == recorded);
            let path = by_id.or_else(|| paths.iter().find(|path| is(&wanted.spec, path)))?;
            Some(observed(api, path))
        };
        wanted.iter().map(|wanted| object(wanted).transpose()).collect()
    }

    async fn ensure(task: &Task<'_>, spec: &ResourceSpec, object: Option<Object<Self>>) -> Result<ResourceOutputs> {
        if let Some(object) = object {
            return Ok(object.outputs);
        }
        let clients = task.clients();
        let created = task
            .call("apigateway:CreateResource", || {
                clients
                    .apigateway()
                    .create_resource()
                    .rest_api_id(spec.rest_api.known())
                    .parent_id(spec.parent.known())
                    .path_part(&spec.path_part)
                    .send()
            })
            .await;
        let outputs = match created {
            Ok(created) => ResourceOutputs { id: told(created.id(), "apigateway:CreateResource", "id")?.into() },
            Err(error) => apigateway::existing::<Self>(task, spec, error).await?.outputs,
        };
        task.identified(&outputs).await?;
        Ok(outputs)
    }

    async fn delete(task: &Task<'_>, spec: &ResourceSpec, outputs: &ResourceOutputs) -> Result<Deletion> {
        let clients = task.clients();
        let deleted = task
            .call("apigateway:DeleteResource", || {
                let request = clients.apigateway().delete_resource().rest_api_id(spec.rest_api.known());
                request.resource_id(&outputs.id).send()
            })
            .await;
        apigateway::if_there(deleted).map(|_| Deletion::Gone)
    }
}

fn observed(api: &RestApiId, path: &SdkResource) -> Result<Object<Resource>> {
    let text = |value, field| told(value, apigateway::LIST_PATHS, field);
    let spec = ResourceSpec {
        rest_api: Ref::Known(api.clone()),
        parent: Ref::Known(text(path.parent_id(), "parentId")?.into()),
        path_part: text(path.path_part(), "pathPart")?.to_owned(),
    };
    let outputs = ResourceOutputs { id: text(path.id(), "id")?.into() };
    Ok(Object { spec, outputs, tags: Tags::new() })
}

/// Tells whether a path is the wanted one by its parent and segment.
fn is(spec: &ResourceSpec, path: &SdkResource) -> bool {
    let parent = spec.parent.get().map(ApiResourceId::as_str);
    parent.is_some() && path.parent_id() == parent && path.path_part() == Some(&spec.path_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_found_below_its_own_parent_only() {
        let spec = ResourceSpec {
            rest_api: Ref::Known("api".into()),
            parent: Ref::Known("root".into()),
            path_part: "payment".into(),
        };
        let path = |parent: &str, part: &str| SdkResource::builder().parent_id(parent).path_part(part).build();
        assert!(is(&spec, &path("root", "payment")));
        assert!(!is(&spec, &path("v2", "payment")));
        assert!(!is(&spec, &path("root", "health")));
        assert!(!is(&spec, &SdkResource::builder().path("/").build()));
    }

    #[test]
    fn a_path_that_does_not_tell_where_it_is_is_an_error() {
        let path = || SdkResource::builder().id("p1").path_part("payment");
        assert!(observed(&"api".into(), &path().parent_id("root").build()).is_ok());
        let error = observed(&"api".into(), &path().build()).unwrap_err().to_string();
        assert!(error.contains("apigateway:GetResources") && error.contains("parentId"), "{error}");
    }
}
