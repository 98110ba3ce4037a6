//! The API of a region: REST API, stage and custom domain, and the certificates of both regions.
//!
//! The paths and methods follow from the routes of the plan's functions. Both regions serve the same custom domain; the routing
//! stack decides by DNS which of them answers. One certificate per region covers every name below the deployment's zone, the
//! accelerator's included; domains and listeners take no certificate of another region (`acm.region`). ACM asks for the same
//! validation record in both regions, and for nothing else: so the routing stack makes one record, of the primary region's
//! certificate, and both regions wait for it.
//!
//! The stack is therefore built in two parts: [`certificates`] before the record, [`build`] after it.
//!
//! Invariants:
//! 1. The deployment depends on every method and on the permission to call its function, and its content differs when any route,
//!    function or limit of a method does.
//! 2. The custom domain and whoever else takes [`Served::certificate`] begin only when the certificate is issued.
//! 3. API Gateway may call a function for the function's own route and nothing else.

use std::collections::BTreeMap;

use crate::plan::{Route, Side, Tls};
use crate::reference::{ApiResourceId, Handle, KeyArn, Ref, Text};
use crate::resources::Kind;
use crate::resources::acm_certificate::{Certificate, CertificateSpec};
use crate::resources::acm_validation::{Validation, ValidationSpec};
use crate::resources::apigateway_account::{self, Account, AccountSpec};
use crate::resources::apigateway_base_path_mapping::{BasePathMapping, BasePathMappingSpec};
use crate::resources::apigateway_deployment::{Deployment, DeploymentSpec};
use crate::resources::apigateway_domain_name::{DomainName, DomainNameSpec};
use crate::resources::apigateway_method::{Method, MethodSpec};
use crate::resources::apigateway_resource::{Resource, ResourceSpec};
use crate::resources::apigateway_rest_api::{RestApi, RestApiSpec};
use crate::resources::apigateway_stage::{AccessLogs, Stage, StageSpec};
use crate::resources::lambda_permission::{Permission, PermissionSpec};
use crate::resources::logs_log_group::{LogGroup, LogGroupSpec};
use crate::text;

use super::compute::{self, Functions, Served as ServedFunction};
use super::{Builder, Sides};

/// API Gateway waits no longer for a function.
const TIMEOUT_MS: i32 = 29_000;
/// Anybody may call the methods.
const AUTHORIZATION: &str = "NONE";
/// The name of everything that a region has one of.
const NAME: &str = "api";

/// What a region's API needs of other stacks.
#[derive(Clone, Debug)]
pub(super) struct Needs {
    /// The functions of the region, by their names in the plan.
    pub(super) functions: Functions,
    /// The region's key, which encrypts the access logs.
    pub(super) key: Ref<KeyArn>,
    /// The region's certificate; none without a custom domain.
    pub(super) certificate: Option<Requested>,
}

/// A certificate, and the record that ACM wants to see.
#[derive(Clone, Debug)]
pub(super) struct Requested {
    /// The certificate.
    pub(super) certificate: Handle<Certificate>,
    /// The name of the validation record, by a reference to the record itself.
    pub(super) record: Text,
}

/// What other stacks need of a region's API.
#[derive(Clone, Debug)]
pub(super) struct Api {
    /// Its stage; whoever calls the API waits for it.
    pub(super) stage: Handle<Stage>,
    /// The address of the stage, `https://....amazonaws.com/prod`.
    pub(super) endpoint: Text,
    /// The host in it.
    pub(super) host: Text,
    /// The custom domain; none when the plan has none.
    pub(super) domain: Option<Served>,
}

/// A custom domain that answers.
#[derive(Clone, Debug)]
pub(super) struct Served {
    /// The custom domain, with the name and zone that an alias record points to.
    pub(super) domain_name: Handle<DomainName>,
    /// The issued certificate.
    pub(super) certificate: Handle<Validation>,
}

/// Adds the certificate of each region; none without a custom domain.
///
/// Certificates are named by what they cover: with another domain they are other resources, so that the new ones are issued and
/// in use before the old ones are deleted, as ACM demands (`acm.update`, `listener.update`).
pub(super) fn certificates(builder: &mut Builder<'_>) -> Option<Sides<Handle<Certificate>>> {
    let wanted = builder.plan().api.custom_domain.enabled;
    wanted.then(|| {
        Sides::build(|side| {
            let (name, spec) = (builder.names().zone(), CertificateSpec { domain: builder.names().certificate() });
            builder.add::<Certificate>(builder.scope(side), &name, spec)
        })
    })
}

/// Adds the API of one side.
pub(super) fn build(builder: &mut Builder<'_>, side: Side, needs: &Needs) -> Api {
    Region { side, builder }.build(needs)
}

/// The API of one region while it is built.
struct Region<'b, 'i> {
    side: Side,
    builder: &'b mut Builder<'i>,
}

impl Region<'_, '_> {
    fn build(mut self, needs: &Needs) -> Api {
        let region = self.builder.region(self.side);
        let name = self.builder.names().regional(NAME, region);
        let description = format!("Payments of the deployment {}", self.builder.names().suffix());
        let rest_api = self.add::<RestApi>(NAME, RestApiSpec { name, description });
        let content = self.routes(&rest_api, needs);
        let deployment = self.add::<Deployment>(NAME, DeploymentSpec { rest_api: rest_api.id(), content });
        let stage = self.stage(&rest_api, &deployment, needs);
        let host = text![rest_api.id(), ".execute-api.", region, ".amazonaws.com"];
        let endpoint = text!["https://", rest_api.id(), ".execute-api.", region, ".amazonaws.com/", stage.name()];
        let domain = needs.certificate.as_ref().map(|requested| self.domain(&rest_api, &stage, requested));
        Api { stage, endpoint, host, domain }
    }

    fn add<K: crate::resources::Kind>(&mut self, name: &str, spec: K::Spec) -> Handle<K> {
        let scope = self.builder.scope(self.side);
        self.builder.add(scope, name, spec)
    }

    /// The paths and methods of all functions with a route, and what a deployment of them contains.
    fn routes(&mut self, rest_api: &Handle<RestApi>, needs: &Needs) -> BTreeMap<String, Text> {
        let mut paths = BTreeMap::new();
        let mut content = BTreeMap::new();
        for function in &self.builder.plan().functions {
            let Some(route) = &function.route else { continue };
            let target = &needs.functions[function.name.as_str()];
            let resource = self.path(rest_api, &mut paths, route);
            let method = self.add::<Method>(
                &format!("{}:{}", route.method().as_str(), path_name(route.path())),
                MethodSpec {
                    rest_api: rest_api.id(),
                    resource,
                    http_method: route.method().as_str().to_owned(),
                    authorization: AUTHORIZATION.to_owned(),
                    function: target.alias.arn(),
                    timeout_ms: TIMEOUT_MS,
                },
            );
            let permission = self.permission(rest_api, function.name.as_str(), route, target);
            let limits = format!(", {AUTHORIZATION}, {TIMEOUT_MS} ms, allowed by ");
            let what = text![method.id(), " -> ", target.alias.arn(), limits, permission.statement()];
            content.insert(route.to_string(), what);
        }
        content
    }

    /// The resource of a path, with those above it; each is added once.
    fn path(
        &mut self,
        rest_api: &Handle<RestApi>,
        paths: &mut BTreeMap<String, Handle<Resource>>,
        route: &Route,
    ) -> Ref<ApiResourceId> {
        let mut parent = rest_api.root_resource_id();
        let mut path = String::new();
        for segment in route.path().split('/').filter(|segment| !segment.is_empty()) {
            path = format!("{path}/{segment}");
            let spec = ResourceSpec { rest_api: rest_api.id(), parent, path_part: segment.to_owned() };
            let resource = paths.entry(path.clone()).or_insert_with(|| self.add::<Resource>(&path_name(&path), spec));
            parent = resource.id();
        }
        parent
    }

    fn permission(
        &mut self,
        rest_api: &Handle<RestApi>,
        name: &str,
        route: &Route,
        target: &ServedFunction,
    ) -> Handle<Permission> {
        let any = self.builder.names().arn("execute-api", self.builder.region(self.side), "");
        let stage = self.builder.plan().api.stage.to_string();
        let path = called_path(route);
        self.add::<Permission>(
            &permission_name(name),
            PermissionSpec {
                function: target.function.name(),
                alias: Some(target.alias.name()),
                statement_id: format!("{NAME}-{}", compute::LIVE),
                principal: "apigateway.amazonaws.com".to_owned(),
                source_arn: text![any, rest_api.id(), format!("/{stage}/{}{path}", route.method().as_str())],
            },
        )
    }

    fn stage(&mut self, rest_api: &Handle<RestApi>, deployment: &Handle<Deployment>, needs: &Needs) -> Handle<Stage> {
        let plan = &self.builder.plan().api;
        let access_logs = plan.access_logs.enabled.then(|| self.access_logs(&needs.key));
        let stage = self.add::<Stage>(
            plan.stage.as_str(),
            StageSpec {
                rest_api: rest_api.id(),
                name: plan.stage.to_string(),
                deployment: deployment.id(),
                access_logs,
                metrics: plan.metrics,
                rate_per_second: plan.throttling.rate_per_second,
                burst: plan.throttling.burst,
                tracing: plan.tracing,
            },
        );
        // Before there were aliases, the stage called the functions by their names alone.
        for function in self.builder.plan().functions.iter().filter(|function| function.route.is_some()) {
            self.builder.supersede(&stage, Permission::TRAITS.name, &format!("{}-{NAME}", function.name));
        }
        stage
    }

    fn access_logs(&mut self, key: &Ref<KeyArn>) -> AccessLogs {
        let name = self.builder.names().api_logs(self.builder.region(self.side));
        let retention_days = Some(self.builder.plan().api.access_logs.retention_days.days());
        let spec = LogGroupSpec { name: name.into(), retention_days, key: Some(key.clone()) };
        let log_group = self.add::<LogGroup>("api:logs", spec);
        let role = apigateway_account::role_name(self.builder.region(self.side));
        let role = Ref::Known(self.builder.names().role_arn(&role).into());
        let account = self.add::<Account>("logging", AccountSpec { role });
        AccessLogs { destination: log_group.arn(), format: log_format(), role: account.role() }
    }

    fn domain(&mut self, rest_api: &Handle<RestApi>, stage: &Handle<Stage>, requested: &Requested) -> Served {
        let spec = ValidationSpec { certificate: requested.certificate.arn(), record: requested.record.clone() };
        let name = self.builder.names().zone();
        let certificate = self.add::<Validation>(&name, spec);
        let security_policy = match self.builder.plan().api.custom_domain.tls {
            Tls::V1_2 => "TLS_1_2",
        };
        let domain_name = self.add::<DomainName>(
            NAME,
            DomainNameSpec {
                domain: self.builder.names().api_domain(),
                certificate: certificate.certificate(),
                security_policy: security_policy.to_owned(),
            },
        );
        self.add::<BasePathMapping>(
            NAME,
            BasePathMappingSpec {
                domain: domain_name.name(),
                path: String::new(),
                rest_api: rest_api.id(),
                stage: stage.name(),
            },
        );
        Served { domain_name, certificate }
    }
}

/// The name of the permission to call a function by its alias.
fn permission_name(function: &str) -> String {
    format!("{function}:{}-{NAME}", compute::LIVE)
}

/// A path in the characters of addresses, `/payment/{id}` as `payment:@id`; different paths stay different.
fn path_name(path: &str) -> String {
    path.trim_start_matches('/').replace('/', ":").replace('{', "@").replace('}', "")
}

/// A path as it stands in the ARN of a call, where a variable stands for any text.
fn called_path(route: &Route) -> String {
    let segment = |part: &str| if part.starts_with('{') { "*".to_owned() } else { part.to_owned() };
    route.path().split('/').map(segment).collect::<Vec<_>>().join("/")
}

/// The line that is logged for each request: one JSON object.
fn log_format() -> String {
    let line = serde_json::json!({
        "requestId": "$context.requestId",
        "time": "$context.requestTime",
        "sourceIp": "$context.identity.sourceIp",
        "method": "$context.httpMethod",
        "path": "$context.path",
        "protocol": "$context.protocol",
        "status": "$context.status",
        "responseLength": "$context.responseLength",
        "latency": "$context.responseLatency",
        "functionLatency": "$context.integrationLatency",
        "functionStatus": "$context.integrationStatus",
        "error": "$context.error.responseType",
        "traceId": "$context.xrayTraceId",
    });
    line.to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::address::Address;
    use crate::plan::Plan;
    use crate::topology::{Inputs, Stack, Topology};

    fn api(change: impl FnOnce(&mut Plan)) -> (Api, Topology) {
        let mut plan = Plan::default();
        change(&mut plan);
        let suffix = "dev".parse().unwrap();
        let code = BTreeMap::new();
        let mut builder = Builder::new(Inputs::plain(&plan, &suffix, &code));
        builder.stack = Stack::Api;
        let at = |kind: &str, name: &str| Address::new(builder.scope(Side::Primary), kind, name);
        let served = |name: &str| ServedFunction {
            function: Handle::new(at("lambda_function", name)),
            alias: Handle::new(at("lambda_alias", name)),
        };
        let functions =
            plan.functions.iter().map(|function| (function.name.to_string(), served(function.name.as_str()))).collect();
        let certificates = certificates(&mut builder);
        let needs = Needs {
            functions,
            key: Ref::Known("arn:key".into()),
            certificate: certificates
                .map(|both| Requested { record: both.primary.record_name().into(), certificate: both.primary }),
        };
        let api = build(&mut builder, Side::Primary, &needs);
        (api, builder.topology)
    }

    fn names(topology: &Topology, kind: &str) -> Vec<String> {
        let of_kind = topology.resources.keys().filter(|address| address.kind() == kind);
        of_kind.map(|address| address.name().to_owned()).collect()
    }

    fn spec<'a>(topology: &'a Topology, address: &str) -> &'a serde_json::Value {
        &topology.resources[&address.parse().unwrap()].spec
    }

    fn references(topology: &Topology, address: &str) -> BTreeSet<String> {
        topology.resources[&address.parse().unwrap()].references.iter().map(ToString::to_string).collect()
    }

    /// Invariant 1.
    #[test]
    fn the_deployment_waits_for_every_method_and_says_what_it_contains() {
        let (_, topology) = api(|_| {});
        let methods = ["GET:health", "POST:payment"];
        assert_eq!(names(&topology, "apigateway_method"), methods);
        let references = references(&topology, "us-east-1/apigateway_deployment/api");
        for method in methods {
            assert!(references.contains(&format!("us-east-1/apigateway_method/{method}")), "{references:?}");
        }
        // Nobody may come by the new deployment before the function lets them in, and those who come by the old one until then may stay.
        assert!(references.contains("us-east-1/lambda_permission/payment_processor:live-api"), "{references:?}");
        let stage = &topology.resources[&"us-east-1/apigateway_stage/prod".parse().unwrap()];
        assert!(stage.supersedes.contains(&"us-east-1/lambda_permission/payment_processor-api".parse().unwrap()));
        let content = &spec(&topology, "us-east-1/apigateway_deployment/api")["content"];
        assert!(content["POST /payment"].to_string().contains("payment_processor"), "{content}");
    }

    /// Invariant 2.
    #[test]
    fn the_domain_waits_until_the_certificate_is_issued() {
        let (api, topology) = api(|_| {});
        let domain = api.domain.expect("the default plan has a custom domain");
        let references = references(&topology, &domain.domain_name.address().to_string());
        assert!(references.contains("us-east-1/acm_validation/dr-payments-dev.example.com"), "{references:?}");
        assert_eq!(
            spec(&topology, "us-east-2/acm_certificate/dr-payments-dev.example.com")["domain"],
            "*.dr-payments-dev.example.com"
        );
    }

    /// Invariant 3.
    #[test]
    fn a_function_may_be_called_for_its_own_route_only() {
        let (_, topology) = api(|plan| plan.functions[0].route = Some("GET /payment/{id}/state".parse().unwrap()));
        let source = &spec(&topology, "us-east-1/lambda_permission/payment_processor:live-api")["source_arn"];
        assert!(source.to_string().contains("/prod/GET/payment/*/state"), "{source}");
        let source = &spec(&topology, "us-east-1/lambda_permission/health_check:live-api")["source_arn"];
        assert!(source.to_string().contains("/prod/GET/health"), "{source}");
    }

    /// `apigw.stage.logs`: without the account's role API Gateway refuses a stage that logs.
    #[test]
    fn a_stage_that_logs_waits_for_the_role_of_the_account_and_for_its_log_group() {
        let (_, topology) = api(|_| {});
        let references = references(&topology, "us-east-1/apigateway_stage/prod");
        for first in ["us-east-1/apigateway_account/logging", "us-east-1/logs_log_group/api:logs"] {
            assert!(references.contains(first), "{references:?}");
        }
    }

    /// `lambda.perm.serialize`; the routing stack has the other permission of the function.
    #[test]
    fn the_permissions_of_a_function_change_one_after_another() {
        let (_, topology) = api(|_| {});
        let permission =
            &topology.resources[&"us-east-1/lambda_permission/payment_processor:live-api".parse().unwrap()];
        let function = "us-east-1/lambda_function/payment_processor".parse().unwrap();
        assert_eq!(permission.lock_group, Some(function));
    }

    #[test]
    fn paths_with_a_common_beginning_share_it() {
        let (_, topology) = api(|plan| {
            plan.functions[0].route = Some("POST /v1/payment/{id}".parse().unwrap());
            plan.functions[1].route = Some("GET /v1/health".parse().unwrap());
        });
        assert_eq!(names(&topology, "apigateway_resource"), ["v1", "v1:health", "v1:payment", "v1:payment:@id"]);
        let parent = &spec(&topology, "us-east-1/apigateway_resource/v1:payment:@id")["parent"];
        assert_eq!(parent["$ref"], "us-east-1/apigateway_resource/v1:payment#id");
    }

    #[test]
    fn what_the_plan_switches_off_is_not_there() {
        let (api, topology) = api(|plan| {
            plan.api.custom_domain.enabled = false;
            plan.api.access_logs.enabled = false;
        });
        assert!(api.domain.is_none());
        for kind in ["acm_certificate", "acm_validation", "apigateway_domain_name", "apigateway_base_path_mapping"] {
            assert!(names(&topology, kind).is_empty(), "{kind}");
        }
        assert!(names(&topology, "apigateway_account").is_empty());
        assert!(spec(&topology, "us-east-1/apigateway_stage/prod")["access_logs"].is_null());
    }
}
