//! `apigateway_base_path_mapping`: which stage of which API answers below a path of a custom domain.
//!
//! AWS writes the mapping of the whole domain as the path `(none)`, which every call takes; the spec writes it as an empty path.
//!
//! Facts: `apigw.map.create` (refused for a while after the domain or the stage), `apigw.map.root`, `apigw.map.update` (moves callers in
//! place), `apigw.api.delete` and `order.mapping-before-api` (blocked by mappings). Replacement: `domain`, `path`. Slow: nothing.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_apigateway::types::{BasePathMapping as SdkMapping, PatchOperation};
use serde::{Deserialize, Serialize};

use super::{
    Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Parent, Permissions, Retry, Task, Traits, Wanted,
};
use super::{apigateway, list};
use crate::aws::Tags;
use crate::aws::error::{Result, told};
use crate::outputs;
use crate::reference::{DomainNameId, Ref, RestApiId, StageName};

/// How mappings are read.
const LIST: &str = "apigateway:GetBasePathMappings";

/// The kind.
#[derive(Debug)]
pub struct BasePathMapping;

/// The desired properties of a mapping.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BasePathMappingSpec {
    /// The custom domain.
    pub domain: Ref<DomainNameId>,
    /// The path; empty for the whole domain.
    pub path: String,
    /// The API that answers.
    pub rest_api: Ref<RestApiId>,
    /// The stage of it.
    pub stage: Ref<StageName>,
}

outputs! {
    /// What is known of a mapping once it exists.
    pub struct BasePathMappingOutputs of BasePathMapping {
        /// The path as AWS writes it.
        base_path: String,
    }
}

impl Kind for BasePathMapping {
    type Spec = BasePathMappingSpec;
    type Outputs = BasePathMappingOutputs;

    const TRAITS: Traits = Traits {
        name: "apigateway_base_path_mapping",
        taggable: false,
        data_bearing: false,
        // Whatever is below our domain is ours.
        adoption: Adoption::ByName,
        immutable: &["domain", "path"],
        locked_by: Some("rest_api"),
        expected: Expected::seconds(2, 2, 2),
        permissions: Permissions {
            read: &["apigateway:GET"],
            change: &["apigateway:POST", "apigateway:PATCH", "apigateway:DELETE"],
        },
        retries: &[
            apigateway::busy("apigateway:CreateBasePathMapping"),
            apigateway::busy("apigateway:UpdateBasePathMapping"),
            apigateway::busy("apigateway:DeleteBasePathMapping"),
            Retry::seconds("apigateway:CreateBasePathMapping", "BadRequestException", "", 30),
            Retry::seconds("apigateway:CreateBasePathMapping", "NotFoundException", "", 30),
            Retry::seconds("apigateway:UpdateBasePathMapping", "BadRequestException", "", 30),
        ],
    };

    const PARENT: Option<Parent> = Some(Parent::named("domain"));

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let clients = context.clients();
        let domains: BTreeSet<&DomainNameId> = wanted.iter().filter_map(|wanted| wanted.spec.domain.get()).collect();
        let domains: Vec<&DomainNameId> = domains.into_iter().collect();
        let mappings = context
            .each(&domains, |domain| async {
                let found = list::all(
                    context,
                    LIST,
                    |token| {
                        let request = clients.apigateway().get_base_path_mappings().domain_name(*domain);
                        request.limit(500).set_position(token).send()
                    },
                    |page| (page.items.unwrap_or_default(), page.position),
                );
                let found = apigateway::if_there(found.await)?.unwrap_or_default();
                list::each_tells(&found, SdkMapping::base_path, LIST, "basePath")?;
                Ok(found)
            })
            .await?;
        let found: HashMap<&DomainNameId, Vec<SdkMapping>> = domains.into_iter().zip(mappings).collect();
        let object = |wanted: &Wanted<Self>| {
            let mappings = &found[wanted.spec.domain.get()?];
            let path = Some(base_path(&wanted.spec.path));
            mappings.iter().find(|mapping| mapping.base_path() == path).map(|mapping| observed(&wanted.spec, mapping))
        };
        wanted.iter().map(|wanted| object(wanted).transpose()).collect()
    }

    async fn ensure(
        task: &Task<'_>,
        spec: &BasePathMappingSpec,
        object: Option<Object<Self>>,
    ) -> Result<BasePathMappingOutputs> {
        let object = match object {
            Some(object) => object,
            None => create(task, spec).await?,
        };
        let patches = patches(&object.spec, spec);
        if !patches.is_empty() {
            let clients = task.clients();
            task.call("apigateway:UpdateBasePathMapping", || {
                clients
                    .apigateway()
                    .update_base_path_mapping()
                    .domain_name(spec.domain.known())
                    .base_path(base_path(&spec.path))
                    .set_patch_operations(Some(patches.clone()))
                    .send()
            })
            .await?;
        }
        Ok(object.outputs)
    }

    async fn delete(task: &Task<'_>, spec: &BasePathMappingSpec, outputs: &BasePathMappingOutputs) -> Result<Deletion> {
        let clients = task.clients();
        let deleted = task
            .call("apigateway:DeleteBasePathMapping", || {
                let request = clients.apigateway().delete_base_path_mapping().domain_name(spec.domain.known());
                request.base_path(&outputs.base_path).send()
            })
            .await;
        apigateway::if_there(deleted).map(|_| Deletion::Gone)
    }
}

async fn create(task: &Task<'_>, spec: &BasePathMappingSpec) -> Result<Object<BasePathMapping>> {
    let clients = task.clients();
    let created = task
        .call("apigateway:CreateBasePathMapping", || {
            clients
                .apigateway()
                .create_base_path_mapping()
                .domain_name(spec.domain.known())
                .base_path(base_path(&spec.path))
                .rest_api_id(spec.rest_api.known())
                .stage(spec.stage.known())
                .send()
        })
        .await;
    let object = match created {
        Ok(_) => Object { spec: spec.clone(), outputs: outputs(spec), tags: Tags::new() },
        Err(error) => apigateway::existing::<BasePathMapping>(task, spec, error).await?,
    };
    task.identified(&object.outputs).await?;
    Ok(object)
}

fn observed(wanted: &BasePathMappingSpec, mapping: &SdkMapping) -> Result<Object<BasePathMapping>> {
    let spec = BasePathMappingSpec {
        rest_api: Ref::Known(told(mapping.rest_api_id(), LIST, "restApiId")?.into()),
        // A mapping of somebody else's may have none: then callers name the stage.
        stage: Ref::Known(mapping.stage().unwrap_or_default().into()),
        ..wanted.clone()
    };
    Ok(Object { outputs: outputs(&spec), spec, tags: Tags::new() })
}

/// What has to be patched; the path itself is replaced.
fn patches(actual: &BasePathMappingSpec, wanted: &BasePathMappingSpec) -> Vec<PatchOperation> {
    let mut patches = Vec::new();
    if actual.rest_api != wanted.rest_api {
        patches.push(apigateway::replace("/restapiId", wanted.rest_api.known()));
    }
    if actual.stage != wanted.stage {
        patches.push(apigateway::replace("/stage", wanted.stage.known()));
    }
    patches
}

fn outputs(spec: &BasePathMappingSpec) -> BasePathMappingOutputs {
    BasePathMappingOutputs { base_path: base_path(&spec.path).to_owned() }
}

/// A path as AWS writes it.
fn base_path(path: &str) -> &str {
    if path.is_empty() { "(none)" } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `apigw.map.update`: callers are moved in place.
    #[test]
    fn another_api_and_another_stage_are_patched() {
        let mapping = |rest_api: &str, stage: &str| BasePathMappingSpec {
            domain: Ref::Known("api.example.com".into()),
            path: String::new(),
            rest_api: Ref::Known(rest_api.into()),
            stage: Ref::Known(stage.into()),
        };
        let (actual, wanted) = (mapping("a1", "test"), mapping("b2", "prod"));
        let expected = [apigateway::replace("/restapiId", "b2"), apigateway::replace("/stage", "prod")];
        assert_eq!(patches(&actual, &wanted), expected);
        assert_eq!(patches(&mapping("b2", "test"), &wanted), expected[1..]);
        assert_eq!(patches(&wanted, &wanted), []);
    }
}
