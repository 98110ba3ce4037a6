//! `apigateway_stage`: a deployment of a REST API as callers reach it, with its logs, metrics and limits.
//!
//! Moving the stage to another deployment is the moment a change of the API goes live. The stage then deletes the deployments of
//! drctl that it superseded, because nobody could do so while it served them (see `apigateway_deployment`).
//!
//! Facts: `apigw.stage.create` (logs, metrics and throttling only by patches afterwards), `apigw.stage.logs` (the account's role first;
//! destination without `:*`), `apigw.stage.update`, `apigw.stage.delete`, `apigw.deploy.delete`, `apigw.conflict-retry`.
//! Replacement: `rest_api`, `name`. Slow: nothing.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_apigateway::types::{PatchOperation, Stage as SdkStage};
use serde::{Deserialize, Serialize};

use super::apigateway::{self, DEPLOYMENT_MARK};
use super::{Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted};
use crate::aws::error::{Result, told};
use crate::outputs;
use crate::reference::{ApiDeploymentId, LogGroupArn, Ref, RestApiId, RoleArn, StageName};

/// The kind.
#[derive(Debug)]
pub struct Stage;

/// The desired properties of a stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageSpec {
    /// The API.
    pub rest_api: Ref<RestApiId>,
    /// The name: the first part of every path.
    pub name: String,
    /// What it serves.
    pub deployment: Ref<ApiDeploymentId>,
    /// One log line per request.
    pub access_logs: Option<AccessLogs>,
    /// Whether CloudWatch gets metrics for each method.
    pub metrics: bool,
    /// Requests per second, on average, over all methods and callers.
    pub rate_per_second: u32,
    /// Requests at one moment, above the average.
    pub burst: u32,
    /// Whether X-Ray traces requests.
    pub tracing: bool,
}

/// Where the log lines go, and what they say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccessLogs {
    /// The log group.
    pub destination: Ref<LogGroupArn>,
    /// One line, with `$context` variables.
    pub format: String,
    /// The role that API Gateway writes logs with. It is a setting of the account, which has to be there before the first stage logs.
    pub role: Ref<RoleArn>,
}

outputs! {
    /// What is known of a stage once it exists.
    pub struct StageOutputs of Stage {
        /// The name.
        name: StageName,
    }
}

impl Kind for Stage {
    type Spec = StageSpec;
    type Outputs = StageOutputs;

    const TRAITS: Traits = Traits {
        name: "apigateway_stage",
        taggable: true,
        data_bearing: false,
        // Whatever is in our API is ours.
        adoption: Adoption::ByName,
        immutable: &["rest_api", "name"],
        locked_by: Some("rest_api"),
        expected: Expected::seconds(3, 2, 2),
        permissions: Permissions {
            read: &["apigateway:GET"],
            change: &["apigateway:POST", "apigateway:PATCH", "apigateway:PUT", "apigateway:DELETE"],
        },
        retries: &[
            apigateway::busy("apigateway:CreateStage"),
            apigateway::busy("apigateway:UpdateStage"),
            apigateway::busy("apigateway:DeleteStage"),
            apigateway::busy("apigateway:TagResource"),
            apigateway::busy("apigateway:UntagResource"),
            apigateway::busy("apigateway:DeleteDeployment"),
            Retry::seconds(
                "apigateway:UpdateStage",
                "BadRequestException",
                "CloudWatch Logs role ARN must be set",
                120,
            ),
        ],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let apis: BTreeSet<&RestApiId> = wanted.iter().filter_map(|wanted| wanted.spec.rest_api.get()).collect();
        let apis: Vec<&RestApiId> = apis.into_iter().collect();
        let stages = context.each(&apis, |api| apigateway::stages(context, api.as_str())).await?;
        let found: HashMap<&RestApiId, Vec<SdkStage>> = apis.into_iter().zip(stages).collect();
        let object = |wanted: &Wanted<Self>| {
            let stages = &found[wanted.spec.rest_api.get()?];
            let stage = stages.iter().find(|stage| stage.stage_name() == Some(&wanted.spec.name))?;
            let outputs = StageOutputs { name: wanted.spec.name.as_str().into() };
            let spec = observed(&wanted.spec, stage);
            Some(spec.map(|spec| Object { spec, outputs, tags: apigateway::tags(stage.tags()) }))
        };
        wanted.iter().map(|wanted| object(wanted).transpose()).collect()
    }

    async fn ensure(task: &Task<'_>, spec: &StageSpec, object: Option<Object<Self>>) -> Result<StageOutputs> {
        let object = match object {
            Some(object) => object,
            None => create(task, spec).await?,
        };
        let api = spec.rest_api.known();
        let patches = patches(&object.spec, spec);
        if !patches.is_empty() {
            let clients = task.clients();
            task.call("apigateway:UpdateStage", || {
                let request = clients.apigateway().update_stage().rest_api_id(api).stage_name(&spec.name);
                request.set_patch_operations(Some(patches.clone())).send()
            })
            .await?;
        }
        if object.spec.deployment != spec.deployment {
            delete_superseded(task, api, spec.deployment.known()).await?;
        }
        apigateway::sync_tags(task, &format!("/restapis/{api}/stages/{}", spec.name), &object.tags).await?;
        Ok(object.outputs)
    }

    async fn delete(task: &Task<'_>, spec: &StageSpec, outputs: &StageOutputs) -> Result<Deletion> {
        let clients = task.clients();
        let deleted = task
            .call("apigateway:DeleteStage", || {
                let request = clients.apigateway().delete_stage().rest_api_id(spec.rest_api.known());
                request.stage_name(&outputs.name).send()
            })
            .await;
        apigateway::if_there(deleted).map(|_| Deletion::Gone)
    }
}

async fn create(task: &Task<'_>, spec: &StageSpec) -> Result<Object<Stage>> {
    let clients = task.clients();
    let created = task
        .call("apigateway:CreateStage", || {
            clients
                .apigateway()
                .create_stage()
                .rest_api_id(spec.rest_api.known())
                .stage_name(&spec.name)
                .deployment_id(spec.deployment.known())
                .tracing_enabled(spec.tracing)
                .set_tags(apigateway::new_tags(task))
                .send()
        })
        .await;
    let object = match created {
        // A new stage has no logs and no settings of its own.
        Ok(_) => Object {
            spec: StageSpec { access_logs: None, metrics: false, rate_per_second: 0, burst: 0, ..spec.clone() },
            outputs: StageOutputs { name: spec.name.as_str().into() },
            tags: task.tags.clone(),
        },
        Err(error) => apigateway::existing::<Stage>(task, spec, error).await?,
    };
    task.identified(&object.outputs).await?;
    Ok(object)
}

/// Deletes the deployments of drctl that no stage serves any more.
async fn delete_superseded(task: &Task<'_>, api: &RestApiId, current: &ApiDeploymentId) -> Result<()> {
    let clients = task.clients();
    for deployment in apigateway::deployments(task, api).await? {
        let id = told(deployment.id(), apigateway::LIST_DEPLOYMENTS, "id")?;
        let ours = deployment.description().is_some_and(|text| text.starts_with(DEPLOYMENT_MARK));
        if !ours || id == current.as_str() {
            continue;
        }
        let deleted = task
            .call("apigateway:DeleteDeployment", || {
                clients.apigateway().delete_deployment().rest_api_id(api).deployment_id(id).send()
            })
            .await;
        match deleted {
            // A stage that is not ours serves it.
            Err(error) if error.says("BadRequestException", "Active stages pointing to this deployment") => {}
            deleted => _ = apigateway::if_there(deleted)?,
        }
    }
    Ok(())
}

/// The settings of all methods that have none of their own.
const ALL_METHODS: &str = "*/*";

fn observed(wanted: &StageSpec, stage: &SdkStage) -> Result<StageSpec> {
    let settings = stage.method_settings().and_then(|settings| settings.get(ALL_METHODS));
    // AWS leaves the settings out when there are none; the role is the account's.
    let logs = stage.access_log_settings().and_then(|logs| Some((logs, logs.destination_arn()?)));
    let access_logs = logs.filter(|(_, arn)| !arn.is_empty()).map(|(logs, arn)| AccessLogs {
        destination: Ref::Known(arn.trim_end_matches(":*").into()),
        // Destination and format are set one after the other.
        format: logs.format().unwrap_or_default().to_owned(),
        role: wanted.access_logs.as_ref().map_or(Ref::Known(String::new().into()), |logs| logs.role.clone()),
    });
    Ok(StageSpec {
        rest_api: wanted.rest_api.clone(),
        name: wanted.name.clone(),
        deployment: Ref::Known(told(stage.deployment_id(), apigateway::LIST_STAGES, "deploymentId")?.into()),
        access_logs,
        metrics: settings.is_some_and(|settings| settings.metrics_enabled()),
        rate_per_second: settings.map_or(0, |settings| settings.throttling_rate_limit() as u32),
        burst: settings.map_or(0, |settings| settings.throttling_burst_limit().max(0) as u32),
        tracing: stage.tracing_enabled(),
    })
}

/// The patches that make the one stage the other.
fn patches(actual: &StageSpec, wanted: &StageSpec) -> Vec<PatchOperation> {
    let mut patches = Vec::new();
    let mut set = |differs: bool, path: &str, value: String| {
        if differs {
            patches.push(apigateway::replace(path, value));
        }
    };
    set(actual.deployment != wanted.deployment, "/deploymentId", wanted.deployment.known().to_string());
    set(actual.tracing != wanted.tracing, "/tracingEnabled", wanted.tracing.to_string());
    set(actual.metrics != wanted.metrics, "/*/*/metrics/enabled", wanted.metrics.to_string());
    let rate = wanted.rate_per_second;
    set(actual.rate_per_second != rate, "/*/*/throttling/rateLimit", rate.to_string());
    set(actual.burst != wanted.burst, "/*/*/throttling/burstLimit", wanted.burst.to_string());
    let destination = |logs: &AccessLogs| logs.destination.known().to_string();
    match (&actual.access_logs, &wanted.access_logs) {
        (Some(_), None) => patches.push(apigateway::remove("/accessLogSettings")),
        (actual, Some(logs)) => {
            let before = actual.as_ref();
            let moved = before.map(destination) != Some(destination(logs));
            set(moved, "/accessLogSettings/destinationArn", destination(logs));
            let reworded = before.map(|before| &before.format) != Some(&logs.format);
            set(reworded, "/accessLogSettings/format", logs.format.clone());
        }
        (None, None) => {}
    }
    patches
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_apigateway::types::{AccessLogSettings, MethodSetting};

    const GROUP: &str = "arn:aws:logs:us-east-1:123456789012:log-group:/drctl/dev/api";

    fn wanted() -> StageSpec {
        StageSpec {
            rest_api: Ref::Known("api".into()),
            name: "prod".into(),
            deployment: Ref::Known("d1".into()),
            access_logs: Some(AccessLogs {
                destination: Ref::Known(GROUP.into()),
                format: "$context.requestId".into(),
                role: Ref::Known("arn:aws:iam::123456789012:role/logs".into()),
            }),
            metrics: true,
            rate_per_second: 1000,
            burst: 2000,
            tracing: true,
        }
    }

    fn paths(actual: &StageSpec, wanted: &StageSpec) -> Vec<String> {
        patches(actual, wanted).iter().map(|patch| patch.path().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn a_stage_as_wanted_reads_back_as_the_spec() {
        let settings = MethodSetting::builder()
            .metrics_enabled(true)
            .throttling_rate_limit(1000.0)
            .throttling_burst_limit(2000)
            .build();
        // AWS accepts the ARN with `:*` at its end from others.
        let logs =
            AccessLogSettings::builder().destination_arn(format!("{GROUP}:*")).format("$context.requestId").build();
        let stage = SdkStage::builder()
            .deployment_id("d1")
            .method_settings(ALL_METHODS, settings)
            .access_log_settings(logs)
            .tracing_enabled(true)
            .build();
        assert_eq!(observed(&wanted(), &stage).unwrap(), wanted());
        assert!(patches(&wanted(), &wanted()).is_empty());
    }

    #[test]
    fn only_what_differs_is_patched() {
        let mut changed = wanted();
        changed.burst = 1;
        changed.deployment = Ref::Known("d2".into());
        assert_eq!(paths(&wanted(), &changed), ["/deploymentId", "/*/*/throttling/burstLimit"]);
    }

    #[test]
    fn logs_are_set_in_two_patches_and_removed_in_one() {
        let without = StageSpec { access_logs: None, ..wanted() };
        assert_eq!(paths(&without, &wanted()), ["/accessLogSettings/destinationArn", "/accessLogSettings/format"]);
        assert_eq!(paths(&wanted(), &without), ["/accessLogSettings"]);
        // Settings that are not there read back as an empty object from some.
        let empty = SdkStage::builder().access_log_settings(AccessLogSettings::builder().build());
        assert_eq!(observed(&wanted(), &empty.clone().deployment_id("d1").build()).unwrap().access_logs, None);
        let error = observed(&wanted(), &empty.build()).unwrap_err().to_string();
        assert!(error.contains("apigateway:GetStages") && error.contains("deploymentId"), "{error}");
    }
}
