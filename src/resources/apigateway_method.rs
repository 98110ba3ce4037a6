//! `apigateway_method`: one method of a path, with the Lambda function that answers it.
//!
//! AWS calls the second half an integration, but it exists only inside its method, is read with it and dies with it; so both are
//! one object here. Requests reach the function as they are (Lambda proxy integration), without an authorizer.
//! The function's own permission for API Gateway is a resource of kind `lambda_permission`.
//!
//! Facts: `apigw.conflict-retry`, `apigw.rates` (one `GetResources` with `embed=methods` reads all methods of an API),
//! `apigw.deploy.snapshot` (a change is live only with the next deployment), `apigw.api.limits` (at most 29 s for an answer).
//! Replacement: `rest_api`, `resource`, `http_method`. Slow: nothing.

use std::collections::BTreeSet;

use aws_sdk_apigateway::types::{Integration, IntegrationType, Method as SdkMethod};
use serde::{Deserialize, Serialize};

use super::apigateway;
use super::{Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Parent, Permissions, Task, Traits, Wanted};
use crate::aws::Tags;
use crate::aws::error::{Result, told};
use crate::outputs;
use crate::reference::{ApiResourceId, FunctionArn, Ref, RestApiId};

/// The kind.
#[derive(Debug)]
pub struct Method;

/// The desired properties of a method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MethodSpec {
    /// The API.
    pub rest_api: Ref<RestApiId>,
    /// The path.
    pub resource: Ref<ApiResourceId>,
    /// `GET`, `POST`, ...
    pub http_method: String,
    /// Who may call it: `NONE` for everybody, `AWS_IAM`.
    pub authorization: String,
    /// The function that answers.
    pub function: Ref<FunctionArn>,
    /// Milliseconds API Gateway waits for the function, 50 to 29000.
    pub timeout_ms: i32,
}

outputs! {
    /// What is known of a method once it exists.
    pub struct MethodOutputs of Method {
        /// The id of its path and its name: `a1b2c3/POST`.
        id: String,
    }
}

impl Kind for Method {
    type Spec = MethodSpec;
    type Outputs = MethodOutputs;

    const TRAITS: Traits = Traits {
        name: "apigateway_method",
        taggable: false,
        data_bearing: false,
        adoption: Adoption::ByName,
        immutable: &["rest_api", "resource", "http_method"],
        locked_by: Some("rest_api"),
        expected: Expected::seconds(1, 1, 1),
        permissions: Permissions {
            read: &["apigateway:GET"],
            change: &["apigateway:PUT", "apigateway:PATCH", "apigateway:DELETE"],
        },
        retries: &[
            apigateway::busy("apigateway:PutMethod"),
            apigateway::busy("apigateway:UpdateMethod"),
            apigateway::busy("apigateway:PutIntegration"),
            apigateway::busy("apigateway:DeleteMethod"),
        ],
    };

    const PARENT: Option<Parent> = Some(Parent::named("rest_api"));

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let apis: BTreeSet<&RestApiId> = wanted.iter().filter_map(|wanted| wanted.spec.rest_api.get()).collect();
        let found = apigateway::resources(context, apis).await?;
        let object = |wanted: &Wanted<Self>| {
            let paths = &found[wanted.spec.rest_api.get()?];
            let resource = wanted.spec.resource.get()?;
            let path = paths.iter().find(|path| path.id() == Some(resource.as_str()))?;
            let method = path.resource_methods()?.get(&wanted.spec.http_method)?;
            let spec = observed(&wanted.spec, context.scope().as_str(), method);
            Some(spec.map(|spec| Object { outputs: outputs(&spec), spec, tags: Tags::new() }))
        };
        wanted.iter().map(|wanted| object(wanted).transpose()).collect()
    }

    async fn ensure(task: &Task<'_>, spec: &MethodSpec, object: Option<Object<Self>>) -> Result<MethodOutputs> {
        let object = match object {
            Some(object) => object,
            None => create(task, spec).await?,
        };
        let clients = task.clients();
        if object.spec.authorization != spec.authorization {
            let patch = apigateway::replace("/authorizationType", &spec.authorization);
            task.call("apigateway:UpdateMethod", || {
                clients
                    .apigateway()
                    .update_method()
                    .rest_api_id(spec.rest_api.known())
                    .resource_id(spec.resource.known())
                    .http_method(&spec.http_method)
                    .patch_operations(patch.clone())
                    .send()
            })
            .await?;
        }
        if (&object.spec.function, object.spec.timeout_ms) != (&spec.function, spec.timeout_ms) {
            let uri = integration_uri(task.scope().as_str(), spec.function.known());
            // This sets the whole integration, whether there is one or not.
            task.call("apigateway:PutIntegration", || {
                clients
                    .apigateway()
                    .put_integration()
                    .rest_api_id(spec.rest_api.known())
                    .resource_id(spec.resource.known())
                    .http_method(&spec.http_method)
                    .r#type(IntegrationType::AwsProxy)
                    .integration_http_method("POST")
                    .uri(&uri)
                    .timeout_in_millis(spec.timeout_ms)
                    .send()
            })
            .await?;
        }
        Ok(object.outputs)
    }

    async fn delete(task: &Task<'_>, spec: &MethodSpec, _: &MethodOutputs) -> Result<Deletion> {
        let clients = task.clients();
        let deleted = task
            .call("apigateway:DeleteMethod", || {
                clients
                    .apigateway()
                    .delete_method()
                    .rest_api_id(spec.rest_api.known())
                    .resource_id(spec.resource.known())
                    .http_method(&spec.http_method)
                    .send()
            })
            .await;
        apigateway::if_there(deleted).map(|_| Deletion::Gone)
    }
}

async fn create(task: &Task<'_>, spec: &MethodSpec) -> Result<Object<Method>> {
    let clients = task.clients();
    let created = task
        .call("apigateway:PutMethod", || {
            clients
                .apigateway()
                .put_method()
                .rest_api_id(spec.rest_api.known())
                .resource_id(spec.resource.known())
                .http_method(&spec.http_method)
                .authorization_type(&spec.authorization)
                .send()
        })
        .await;
    let object = match created {
        // A new method has no integration yet.
        Ok(_) => Object {
            spec: MethodSpec { function: Ref::Known(String::new().into()), timeout_ms: 0, ..spec.clone() },
            outputs: outputs(spec),
            tags: Tags::new(),
        },
        Err(error) => apigateway::existing::<Method>(task, spec, error).await?,
    };
    task.identified(&object.outputs).await?;
    Ok(object)
}

fn outputs(spec: &MethodSpec) -> MethodOutputs {
    MethodOutputs { id: format!("{}/{}", spec.resource.known(), spec.http_method) }
}

fn observed(wanted: &MethodSpec, region: &str, method: &SdkMethod) -> Result<MethodSpec> {
    // A method that is only half made has no integration yet.
    let integration = method.method_integration();
    let function = integration.map(|found| function(region, found)).transpose()?;
    Ok(MethodSpec {
        authorization: told(method.authorization_type(), apigateway::LIST_PATHS, "authorizationType")?.to_owned(),
        function: Ref::Known(function.unwrap_or_default()),
        timeout_ms: integration.map(Integration::timeout_in_millis).unwrap_or_default(),
        ..wanted.clone()
    })
}

/// The address under which API Gateway calls a function; the date is the version of Lambda's API.
fn integration_uri(region: &str, function: &FunctionArn) -> String {
    format!("arn:aws:apigateway:{region}:lambda:path/2015-03-31/functions/{function}/invocations")
}

/// The function behind an integration. An integration of another type or form is told as it is, so that it differs from any function.
fn function(region: &str, integration: &Integration) -> Result<FunctionArn> {
    let kind = told(integration.r#type(), apigateway::LIST_PATHS, "methodIntegration.type")?;
    // Integrations that call nothing have neither address nor method.
    let uri = integration.uri().unwrap_or_default();
    let function = uri.split_once("/functions/").and_then(|(_, rest)| rest.strip_suffix("/invocations"));
    Ok(match function.map(FunctionArn::from) {
        Some(function)
            if *kind == IntegrationType::AwsProxy
                && integration.http_method() == Some("POST")
                && integration_uri(region, &function) == uri =>
        {
            function
        }
        _ => format!("{} {} {uri}", kind.as_str(), integration.http_method().unwrap_or_default()).into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FUNCTION: &str = "arn:aws:lambda:us-east-1:123456789012:function:dr-payments-dev-payment_processor";

    fn integration(kind: IntegrationType, method: &str, uri: &str) -> Integration {
        Integration::builder().r#type(kind).http_method(method).uri(uri).timeout_in_millis(29000).build()
    }

    #[test]
    fn the_function_is_read_back_from_its_integration() {
        let uri = integration_uri("us-east-1", &FUNCTION.into());
        let found = function("us-east-1", &integration(IntegrationType::AwsProxy, "POST", &uri)).unwrap();
        assert_eq!(found.as_str(), FUNCTION);
    }

    #[test]
    fn an_integration_of_another_form_is_a_difference() {
        let uri = integration_uri("us-east-1", &FUNCTION.into());
        for changed in [
            integration(IntegrationType::Aws, "POST", &uri),
            integration(IntegrationType::AwsProxy, "GET", &uri),
            integration(IntegrationType::HttpProxy, "POST", "https://example.com/"),
            integration(IntegrationType::AwsProxy, "POST", &integration_uri("us-east-2", &FUNCTION.into())),
        ] {
            assert_ne!(function("us-east-1", &changed).unwrap().as_str(), FUNCTION, "{changed:?}");
        }
    }

    #[test]
    fn a_method_without_integration_is_unfinished() {
        let wanted = MethodSpec {
            rest_api: Ref::Known("api".into()),
            resource: Ref::Known("path".into()),
            http_method: "POST".into(),
            authorization: "NONE".into(),
            function: Ref::Known(FUNCTION.into()),
            timeout_ms: 29000,
        };
        let method = SdkMethod::builder().http_method("POST").authorization_type("NONE").build();
        assert_ne!(observed(&wanted, "us-east-1", &method).unwrap(), wanted);
        let untold = SdkMethod::builder().http_method("POST").build();
        let error = observed(&wanted, "us-east-1", &untold).unwrap_err().to_string();
        assert!(error.contains("apigateway:GetResources") && error.contains("authorizationType"), "{error}");
        let uri = integration_uri("us-east-1", &FUNCTION.into());
        let method = SdkMethod::builder()
            .authorization_type("NONE")
            .method_integration(integration(IntegrationType::AwsProxy, "POST", &uri))
            .build();
        assert_eq!(observed(&wanted, "us-east-1", &method).unwrap(), wanted);
    }
}
