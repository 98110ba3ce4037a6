//! Where the emulator deviates from AWS in a way that matters, and how the proxy mends it.
//!
//! A correction is a small rewrite of requests or answers. To add one: write `corrections/<name>.rs` with a type that
//! implements [`Correction`], add it to [`Corrections::new`], and add a row to the table in `README.md`, which a test
//! compares with the code.
//!
//! Invariants:
//! 1. A correction sees only the operations that it names; everything else costs one look-up.
//! 2. A correction never invents what AWS would not answer: it puts back what the client said, or takes out what the
//!    client did not say.
//! 3. Refusals pass unchanged, unless a correction exists for them.

mod alarm_metrics;
mod alarm_statistics;
mod api_base_paths;
mod api_duplicates;
mod api_empty_settings;
mod api_updates;
mod backup_opt_in;
mod cluster_logs_and_endpoints;
mod dashboard_tags;
mod flow_logs;
mod health_check_booleans;
mod lambda_target_groups;
mod load_balancer_networks;
mod nat_gateway_addresses;
pub(crate) mod network_interface_filters;
mod policy_simulation;
mod route53_tag_lists;
mod routes;
mod secret_replicas;
mod security_group_filters;
mod security_group_ports;
mod signed_copies;
mod table_replica_keys;
mod tag_rules;
mod tagged_accelerators;
mod tagged_resources;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use axum::body::Bytes;
use axum::http::{HeaderValue, Method};
use serde::Serialize;
use serde_json::Value;
use xmltree::Element;

use crate::accelerator::Accelerators;
use crate::emulator::Emulator;
use crate::error::Error;
use crate::message::{Request, Response};
use crate::operation::Operation;

/// One call on its way.
pub(crate) struct Call<'a> {
    /// What it calls.
    pub(crate) operation: &'a Operation,
    /// The request as the client sent it.
    pub(crate) original: &'a Request,
    /// For corrections that must ask or tell the emulator something more.
    pub(crate) emulator: &'a Emulator,
    /// For corrections that name accelerators, which the emulator does not know.
    pub(crate) accelerators: &'a Accelerators,
}

impl Call<'_> {
    /// The name of the operation.
    pub(crate) fn name(&self) -> &str {
        &self.operation.name
    }

    /// The region that the call was signed for.
    pub(crate) fn region(&self) -> &str {
        &self.operation.region
    }

    /// What EC2 describes under an id in the caller's region, if the emulator answers. Not logged.
    pub(crate) async fn described(&self, operation: &str, parameter: &str, id: &str) -> Result<Option<Element>, Error> {
        let parameters = [("Action", operation), ("Version", "2016-11-15"), (parameter, id)];
        let answer = self.emulator.query("ec2", self.region(), &parameters).await?;
        Ok(answer.and_then(|body| Element::parse(body.as_ref()).ok()))
    }

    /// Calls another REST operation of the same service in the same region. Not logged.
    pub(crate) async fn rest(&self, method: Method, path: &str, input: Option<&Value>) -> Result<Response, Error> {
        let mut request = self.original.clone();
        request.method = method;
        request.uri = path.parse().map_err(|_| Error::Call(format!("{path} is no path")))?;
        match input {
            Some(input) => request.set_json(input),
            None => request.body = Bytes::new(),
        }
        self.emulator.send(&request).await
    }

    /// Calls another JSON operation of the same service with the same credentials, in `region`. Not logged.
    pub(crate) async fn also(&self, region: &str, operation: &str, input: &Value) -> Result<Response, Error> {
        let mut request = self.original.clone();
        request.set_json(input);
        let target = request.header("x-amz-target").and_then(|target| target.rsplit_once('.'));
        let target = target.map(|(version, _)| format!("{version}.{operation}"));
        let scope = request.header("authorization");
        let scope = scope.map(|scope| scope.replacen(&format!("/{}/", self.region()), &format!("/{region}/"), 1));
        for (name, value) in [("x-amz-target", target), ("authorization", scope)] {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
                request.headers.insert(name, value);
            }
        }
        self.emulator.send(&request).await
    }
}

/// What corrections remember between calls, by a key that names its region or holds an ARN.
#[derive(Debug)]
pub(crate) struct Memory<V>(Mutex<HashMap<String, V>>);

impl<V> Default for Memory<V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<V: Clone> Memory<V> {
    /// What is remembered for the key.
    pub(crate) fn get(&self, key: &str) -> Option<V> {
        self.with(|all| all.get(key).cloned())
    }

    /// Remembers a value for the key.
    pub(crate) fn set(&self, key: impl Into<String>, value: V) {
        self.with(|all| all.insert(key.into(), value));
    }

    /// Forgets the key.
    pub(crate) fn forget(&self, key: &str) {
        self.with(|all| all.remove(key));
    }

    /// Everything remembered.
    pub(crate) fn values(&self) -> Vec<V> {
        self.with(|all| all.values().cloned().collect())
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<String, V>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The mending of one deviation.
#[async_trait]
pub(crate) trait Correction: Send + Sync {
    /// Its name in `README.md`.
    fn id(&self) -> &'static str;

    /// The operations that it concerns, as `service:Operation`.
    fn operations(&self) -> &'static [&'static str];

    /// Changes the request before the emulator sees it, or answers in the emulator's place.
    async fn request(&self, _call: &Call<'_>, _request: &mut Request) -> Result<Option<Response>, Error> {
        Ok(None)
    }

    /// Changes a successful answer before the client sees it.
    async fn response(&self, _call: &Call<'_>, _response: &mut Response) -> Result<(), Error> {
        Ok(())
    }
}

/// A correction as `/_local-aws/corrections` lists it.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Description {
    id: &'static str,
    operations: &'static [&'static str],
}

/// All corrections, by the operations that they concern.
pub(crate) struct Corrections {
    all: Vec<Box<dyn Correction>>,
    by_operation: HashMap<&'static str, Vec<usize>>,
}

impl Corrections {
    /// Every correction there is, with nothing remembered yet.
    pub(crate) fn new() -> Self {
        Self::of(vec![
            Box::new(alarm_metrics::AlarmMetrics::default()),
            Box::new(alarm_statistics::AlarmStatistics),
            Box::new(api_base_paths::ApiBasePaths),
            Box::new(api_duplicates::ApiDuplicates),
            Box::new(api_empty_settings::ApiEmptySettings),
            Box::new(api_updates::ApiUpdates),
            Box::new(backup_opt_in::BackupOptIn::default()),
            Box::new(cluster_logs_and_endpoints::ClusterLogsAndEndpoints::default()),
            Box::new(dashboard_tags::DashboardTags::default()),
            Box::new(flow_logs::FlowLogs::default()),
            Box::new(health_check_booleans::HealthCheckBooleans),
            Box::new(lambda_target_groups::LambdaTargetGroups),
            Box::new(load_balancer_networks::LoadBalancerNetworks::default()),
            Box::new(nat_gateway_addresses::NatGatewayAddresses::default()),
            Box::new(network_interface_filters::NetworkInterfaceFilters),
            Box::new(policy_simulation::PolicySimulation),
            Box::new(route53_tag_lists::Route53TagLists),
            Box::new(routes::Routes),
            Box::new(secret_replicas::SecretReplicas),
            Box::new(security_group_filters::SecurityGroupFilters),
            Box::new(security_group_ports::SecurityGroupPorts),
            Box::new(signed_copies::SignedCopies),
            Box::new(table_replica_keys::TableReplicaKeys::default()),
            Box::new(tag_rules::TagRules),
            Box::new(tagged_accelerators::TaggedAccelerators),
            Box::new(tagged_resources::TaggedResources),
        ])
    }

    fn of(all: Vec<Box<dyn Correction>>) -> Self {
        let mut by_operation: HashMap<&'static str, Vec<usize>> = HashMap::new();
        for (index, correction) in all.iter().enumerate() {
            for operation in correction.operations() {
                by_operation.entry(operation).or_default().push(index);
            }
        }
        Self { all, by_operation }
    }

    /// Every correction, in the order of `README.md`.
    pub(crate) fn list(&self) -> Vec<Description> {
        let all = self.all.iter();
        all.map(|correction| Description { id: correction.id(), operations: correction.operations() }).collect()
    }

    /// Sends a call to the emulator, corrected on the way in and on the way out.
    pub(crate) async fn apply(&self, call: &Call<'_>) -> Result<Response, Error> {
        let key = format!("{}:{}", call.operation.service, call.operation.name);
        let concerned = self.by_operation.get(key.as_str()).map(Vec::as_slice).unwrap_or_default();
        if concerned.is_empty() {
            return call.emulator.send(call.original).await;
        }
        let mut request = call.original.clone();
        let mut answered = None;
        for index in concerned {
            answered = self.all[*index].request(call, &mut request).await?;
            if answered.is_some() {
                break;
            }
        }
        let mut response = match answered {
            Some(response) => response,
            None => call.emulator.send(&request).await?,
        };
        if response.status.is_success() {
            for index in concerned {
                self.all[*index].response(call, &mut response).await?;
            }
        }
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The list for people and the list for the machine are the same.
    #[test]
    fn the_table_in_the_readme_names_every_correction() {
        let readme = include_str!("../../README.md");
        let section = readme.split("\n## ").find(|section| section.starts_with("Corrections"));
        let section = section.expect("the section of the table");
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
        let table: Vec<&str> = rows.map(|(id, _)| id).collect();
        let code: Vec<&str> = Corrections::new().list().iter().map(|correction| correction.id).collect();
        assert_eq!(table, code);
    }

    /// A misspelt operation would make its correction do nothing.
    #[test]
    fn corrections_name_operations_as_calls_are_named() {
        for correction in Corrections::new().list() {
            for operation in correction.operations {
                let (service, name) = operation.split_once(':').expect("service:Operation");
                assert_eq!(service, service.to_lowercase(), "{}", correction.id);
                assert!(name.starts_with(char::is_uppercase), "{}", correction.id);
            }
        }
    }
}
