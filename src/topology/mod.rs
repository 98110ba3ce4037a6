//! From the plan to resources: what one deployment contains, one file per stack.
//!
//! A stack's `build` adds resources and returns the handles that other stacks need. References between resources are made
//! from handles, and the edges of the graph are read from the references: the order in which AWS takes things (`order.create`)
//! and, the other way round, lets go of them (`order.destroy`). Pure: it never awaits, never reads a file, and the same inputs
//! always give the same topology.
//!
//! Both sides are built in full, so that the first `up` meets the quotas on the number of objects in both regions, not a failover
//! (`dr.quota`).
//!
//! Invariants:
//! 1. Every name comes from [`Names`].
//! 2. Every resource has its deployment and its address in its tags, if its kind carries tags.
//! 3. Every edge is a reference, but for the delete edges, each of which says why AWS wants it.

mod api;
mod backup;
mod compute;
mod database;
mod events;
#[cfg(test)]
mod fields;
mod monitoring;
pub mod names;
mod network;
mod routing;
mod security;
mod storage;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::address::{Address, Scope};
use crate::aws::tags;
use crate::plan::{NAME_TAG, Plan, Side, Suffix};
use crate::reference::{Handle, Text, references};
use crate::resources::Kind;
use crate::resources::acm_certificate::Certificate;
use crate::resources::s3_bucket::Bucket;
use crate::text;

pub use drctl_core::topology::{Resource, Stack, Topology};
pub use names::Names;

/// Everything a topology is made from.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// What the user wants.
    pub plan: &'a Plan,
    /// The deployment's suffix.
    pub suffix: &'a Suffix,
    /// The account worked in.
    pub account: &'a str,
    /// The exact version of Aurora that both regions offer for global databases; `None` only when the plan has no Aurora.
    pub engine_version: Option<&'a str>,
    /// The hosted zone of the plan's domain, where it was found in the account; what the plan names comes first.
    pub parent_zone: Option<&'a str>,
    /// The digest of each function's zipped sources, by the function's name in the plan.
    pub code: &'a BTreeMap<String, String>,
}

#[cfg(test)]
impl<'a> Inputs<'a> {
    /// What a stack is tested with: a plan alone, and nothing that AWS was asked about.
    pub(crate) fn plain(plan: &'a Plan, suffix: &'a Suffix, code: &'a BTreeMap<String, String>) -> Self {
        Self { plan, suffix, account: "1", engine_version: None, parent_zone: None, code }
    }
}

/// Something that exists once in each region.
#[derive(Clone, Debug)]
pub struct Sides<T> {
    /// The one in the primary region.
    pub primary: T,
    /// The one in the secondary region.
    pub secondary: T,
}

impl<T> Sides<T> {
    /// Builds one for each side, primary first.
    pub fn build(mut one: impl FnMut(Side) -> T) -> Self {
        Self { primary: one(Side::Primary), secondary: one(Side::Secondary) }
    }

    /// The one of a side.
    pub fn side(&self, side: Side) -> &T {
        match side {
            Side::Primary => &self.primary,
            Side::Secondary => &self.secondary,
        }
    }
}

/// Collects the resources while the stacks are built.
pub struct Builder<'a> {
    inputs: Inputs<'a>,
    names: Names,
    stack: Stack,
    topology: Topology,
}

impl<'a> Builder<'a> {
    fn new(inputs: Inputs<'a>) -> Self {
        let names = Names::new(inputs.suffix.as_str(), inputs.account, inputs.plan.domain.as_str());
        Self { inputs, names, stack: Stack::Security, topology: Topology::default() }
    }

    /// What the topology is made from.
    pub fn inputs(&self) -> Inputs<'a> {
        self.inputs
    }

    /// The plan.
    pub fn plan(&self) -> &'a Plan {
        self.inputs.plan
    }

    /// The names of the deployment.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The region of a side, as AWS writes it.
    pub fn region(&self, side: Side) -> &'a str {
        self.inputs.plan.regions.side(side).as_str()
    }

    /// The scope of a side.
    pub fn scope(&self, side: Side) -> Scope {
        Scope::region(self.region(side))
    }

    /// Adds a resource to the current stack and returns the handle by which others refer to it.
    ///
    /// # Panics
    /// When the address is taken or the reference named by `locked_by` is missing: faults in a stack's code.
    pub fn add<K: Kind>(&mut self, scope: Scope, name: &str, spec: K::Spec) -> Handle<K> {
        let address = Address::new(scope, K::TRAITS.name, name);
        let mut spec = serde_json::to_value(spec).expect("specs are plain data");
        let references = references(&spec);
        let lock_group = K::TRAITS.locked_by.and_then(|field| {
            crate::reference::references(spec.get(field).expect("locked_by names a field of the spec")).pop_first()
        });
        if K::TRAITS.taggable {
            spec.as_object_mut().expect("a spec is a struct").insert("tags".to_owned(), self.tags(&address));
        }
        let resource = Resource {
            stack: self.stack,
            spec,
            references,
            delete_after: BTreeMap::new(),
            supersedes: BTreeSet::new(),
            lock_group,
            data_bearing: K::TRAITS.data_bearing,
            protected: self.plan().protect.iter().any(|pattern| pattern.matches(&address.to_string())),
            address: address.clone(),
        };
        let taken = self.topology.resources.insert(address.clone(), resource);
        assert!(taken.is_none(), "{address} is added twice");
        Handle::new(address)
    }

    /// Demands that `first` is gone before `then` is deleted, although `first` does not refer to it.
    ///
    /// # Panics
    /// When `then` was not added: a fault in a stack's code.
    pub fn delete_first<A, B>(&mut self, first: &Handle<A>, then: &Handle<B>, reason: &str) {
        let then = self.topology.resources.get_mut(then.address()).expect("a handle is of an added resource");
        then.delete_after.insert(first.address().clone(), reason.to_owned());
    }

    /// Says that a resource does what others did in the plans of earlier versions of drctl: those are deleted only when it was changed.
    ///
    /// # Panics
    /// When the resource was not added: a fault in a stack's code.
    pub fn supersede<K>(&mut self, handle: &Handle<K>, kind: &str, name: &str) {
        let resource = self.topology.resources.get_mut(handle.address()).expect("a handle is of an added resource");
        resource.supersedes.insert(Address::new(handle.address().scope().clone(), kind, name));
    }

    /// Adds an output of the deployment.
    pub fn output(&mut self, name: impl Into<String>, value: impl Into<Text>) {
        let value = serde_json::to_value(value.into()).expect("texts are plain data");
        self.topology.outputs.push((name.into(), value));
    }

    /// The name of an output that exists once per region: `s3_bucket_us_east_1`.
    fn output_name(&self, name: &str, side: Side) -> String {
        format!("{name}_{}", self.region(side).replace('-', "_"))
    }

    fn tags(&self, address: &Address) -> Value {
        let mut all: BTreeMap<String, String> =
            self.plan().tags.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        let service = address.name();
        all.insert(
            NAME_TAG.to_owned(),
            match address.scope().is_global() {
                true => format!("dr-{service}-{}", self.names.suffix()),
                false => self.names.regional(service, address.scope().as_str()),
            },
        );
        all.insert(tags::DEPLOYMENT.to_owned(), self.names.suffix().to_owned());
        all.insert(tags::ADDRESS.to_owned(), address.to_string());
        json!(all)
    }
}

/// Expands a plan into the resources of one deployment: each stack gets what it needs of those before it.
pub fn expand(inputs: Inputs<'_>) -> Topology {
    let mut builder = Builder::new(inputs);
    let builder = &mut builder;

    builder.stack = Stack::Security;
    let security = security::build(builder);

    builder.stack = Stack::Network;
    let networks = Sides::build(|side| network::build(builder, side, &network_needs(&security, side)));

    builder.stack = Stack::Database;
    let database = database::build(builder, &Sides::build(|side| database_needs(&security, &networks, side)));

    builder.stack = Stack::Storage;
    let buckets = storage::build(builder, &Sides::build(|side| storage_needs(&security, side)));

    builder.stack = Stack::Compute;
    let needs = |side, after| compute_needs(&security, &networks, side, after);
    let standby = compute::build(builder, Side::Secondary, &needs(Side::Secondary, None));
    let primary = compute::build(builder, Side::Primary, &needs(Side::Primary, Some(standby.clone())));
    let functions = Sides { primary, secondary: standby };

    // The record that validates the certificates is between the two halves of the API.
    builder.stack = Stack::Api;
    let certificates = api::certificates(builder);
    builder.stack = Stack::Routing;
    let dns = routing::zone(builder, certificates.as_ref());
    builder.stack = Stack::Api;
    let apis = Sides::build(|side| {
        let needs = api_needs(&security, &functions, certificates.as_ref(), dns.as_ref(), side);
        api::build(builder, side, &needs)
    });

    builder.stack = Stack::Routing;
    let needs = Sides::build(|side| routing_needs(&networks, &functions, &apis, side));
    let routing = routing::build(builder, dns.as_ref(), &needs);

    builder.stack = Stack::Events;
    events::build(builder, &Sides::build(|side| events_needs(&security, side)));

    builder.stack = Stack::Backup;
    if let (Some(role), Some(aurora)) = (&security.backup, &database.aurora) {
        let needs =
            backup::Needs { keys: security.keys.clone(), role: role.clone(), cluster: aurora.clusters.primary.clone() };
        backup::build(builder, &needs);
    }

    builder.stack = Stack::Monitoring;
    monitoring::build(builder, &monitoring_needs(&security, &routing));

    outputs(builder, &apis, &buckets);
    std::mem::take(&mut builder.topology)
}

/// The topology of a plan as far as nobody has to be asked for it: what comes from AWS, from the sources and from the
/// suffix has placeholders. Its addresses are all those that the plan can have: the delegation is among them, which a
/// deployment has only where AWS has the zone of the plan's domain.
pub fn sketch(plan: &Plan) -> Topology {
    let code = plan.functions.iter().map(|function| (function.name.to_string(), String::new())).collect();
    let suffix = "any".parse().expect("this is a suffix");
    expand(Inputs {
        plan,
        suffix: &suffix,
        account: "000000000000",
        engine_version: Some("0"),
        parent_zone: Some("Z0"),
        code: &code,
    })
}

/// The outputs people look for first; the stacks add their own.
const FIRST_OUTPUTS: [&str; 7] = [
    "global_accelerator_dns",
    "route53_failover_domain",
    "api_endpoint",
    "health_check_url",
    "dynamodb_table",
    "aurora_endpoint",
    "s3_bucket",
];

fn outputs(builder: &mut Builder<'_>, apis: &Sides<api::Api>, buckets: &Sides<Handle<Bucket>>) {
    for side in Side::BOTH {
        let endpoint = apis.side(side).endpoint.clone();
        builder.output(builder.output_name("api_endpoint", side), endpoint.clone());
        builder.output(builder.output_name("health_check_url", side), text![endpoint, "/health"]);
        builder.output(builder.output_name("s3_bucket", side), Text::from(buckets.side(side).name()));
    }
    let place = |name: &str| FIRST_OUTPUTS.iter().position(|first| name.starts_with(first));
    builder.topology.outputs.sort_by_key(|(name, _)| place(name).unwrap_or(FIRST_OUTPUTS.len()));
}

fn network_needs(security: &security::Security, side: Side) -> network::Needs {
    network::Needs {
        key: security.keys.side(side).clone(),
        flow_logs_role: security.roles.side(side).flow_logs.as_ref().map(|role| role.arn()),
    }
}

fn database_needs(security: &security::Security, networks: &Sides<network::Network>, side: Side) -> database::Needs {
    let network = networks.side(side);
    database::Needs {
        key: security.keys.side(side).clone(),
        private_subnets: network.private_subnets.iter().map(|subnet| subnet.id()).collect(),
        security_group: network.aurora.as_ref().map(|handle| handle.id()),
    }
}

fn storage_needs(security: &security::Security, side: Side) -> storage::Needs {
    storage::Needs {
        key: security.keys.side(side).clone(),
        replication_role: security.roles.side(side).replication.as_ref().map(|role| role.arn()),
    }
}

fn compute_needs(
    security: &security::Security,
    networks: &Sides<network::Network>,
    side: Side,
    after: Option<compute::Functions>,
) -> compute::Needs {
    let network = networks.side(side);
    compute::Needs {
        key: security.keys.side(side).clone(),
        roles: security.roles.side(side).functions.clone(),
        private_subnets: network.private_subnets.clone(),
        security_group: network.functions.clone(),
        after,
    }
}

fn api_needs(
    security: &security::Security,
    functions: &Sides<compute::Functions>,
    certificates: Option<&Sides<Handle<Certificate>>>,
    dns: Option<&routing::Dns>,
    side: Side,
) -> api::Needs {
    api::Needs {
        functions: functions.side(side).clone(),
        key: security.keys.side(side).clone(),
        certificate: certificates.zip(dns).map(|(certificates, dns)| api::Requested {
            certificate: certificates.side(side).clone(),
            record: Text::from(dns.validation.name()),
        }),
    }
}

fn routing_needs(
    networks: &Sides<network::Network>,
    functions: &Sides<compute::Functions>,
    apis: &Sides<api::Api>,
    side: Side,
) -> routing::Needs {
    let (network, api) = (networks.side(side), apis.side(side));
    routing::Needs {
        functions: functions.side(side).clone(),
        host: api.host.clone(),
        stage: api.stage.name(),
        domain: api.domain.as_ref().map(|served| (served.domain_name.clone(), served.certificate.certificate())),
        vpc: network.vpc.clone(),
        internet_gateway: network.internet_gateway.clone(),
        subnets: network.private_subnets.clone(),
        load_balancer_group: network.load_balancer.as_ref().map(|handle| handle.id()),
    }
}

fn events_needs(security: &security::Security, side: Side) -> events::Needs {
    events::Needs {
        key: security.keys.side(side).clone(),
        forwarding_role: security.roles.side(side).forwarding.as_ref().map(|role| role.arn()),
    }
}

fn monitoring_needs(security: &security::Security, routing: &routing::Routing) -> monitoring::Needs {
    monitoring::Needs {
        keys: security.keys.clone(),
        health_checks: Sides::build(|side| routing.health_checks.side(side).id()),
        load_balancers: routing.load_balancers.as_ref().map(|balancing| {
            Sides::build(|side| {
                let balancing = balancing.side(side);
                let target_groups = balancing.target_groups.iter();
                monitoring::LoadBalancer {
                    full_name: balancing.load_balancer.full_name(),
                    target_groups: target_groups.map(|(name, group)| (name.clone(), group.full_name())).collect(),
                }
            })
        }),
        accelerator: routing
            .accelerator
            .as_ref()
            .map(|(accelerator, listener)| monitoring::Accelerator { id: accelerator.id(), listener: listener.id() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that the default plan has.
    fn topology() -> Topology {
        let (plan, suffix) = (Plan::default(), "dev".parse().unwrap());
        let code: BTreeMap<_, _> =
            plan.functions.iter().map(|function| (function.name.to_string(), "digest".to_owned())).collect();
        expand(Inputs { engine_version: Some("14.15"), ..Inputs::plain(&plan, &suffix, &code) })
    }

    /// `iam.role.unique-id`, `x.policy-principal-decay`: a policy that names a role means another one when the role is made again.
    #[test]
    fn no_policy_of_an_object_and_no_trust_names_a_role() {
        let topology = topology();
        let mut seen = BTreeSet::new();
        for resource in topology.resources.values() {
            for field in ["policy", "trust", "principal"] {
                let policy = &resource.spec[field];
                if !policy.is_null() {
                    let text = policy.to_string();
                    assert!(!text.contains(":role/") && !text.contains("iam_role/"), "{}: {text}", resource.address);
                    seen.insert((resource.address.kind(), field));
                }
            }
        }
        let expected = [
            ("iam_role", "trust"),
            ("kms_key", "policy"),
            ("kms_replica_key", "policy"),
            ("lambda_permission", "principal"),
            ("s3_bucket", "policy"),
            ("sns_topic", "policy"),
            ("sqs_queue", "policy"),
        ];
        assert_eq!(Vec::from_iter(seen), expected);
    }

    /// `ddb.replica.kms-20h`: what refers to a key goes before it.
    #[test]
    fn the_table_and_its_replica_go_before_the_keys_of_their_regions() {
        let topology = topology();
        for (table, key) in [
            ("us-east-1/dynamodb_table/payments", "us-east-1/kms_key/main"),
            ("us-east-2/dynamodb_replica/payments", "us-east-2/kms_replica_key/main"),
        ] {
            let references = &topology.resources[&table.parse().unwrap()].references;
            assert!(references.contains(&key.parse().unwrap()), "{table}");
        }
    }
}
