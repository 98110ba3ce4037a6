//! The functions of a region, their aliases and their log groups.
//!
//! Everybody calls a function by its alias. When functions change, the aliases of the standby region move first, and those of the primary
//! region only when these have moved, each to a version that answered a request (`lambda_alias`).
//!
//! Functions stand in the private subnets. Their table and their bus are found by names, which are the same whether or not these exist yet,
//! so that a function waits for its role, its network and its log group only. The bucket is that of the function's own region: S3 moves
//! nobody to another one (`dr.s3.rto`).
//!
//! When a function is deleted, Lambda takes up to 45 minutes to release its network interfaces, and does that as the function's role
//! (`eni.lambda.role-needed`, `order.function-before-role`). So the role goes after the functions' group and the subnets, whose deletion
//! waits for the interfaces; everything else goes on.

use std::collections::BTreeMap;

use crate::plan::{Function as Plan, Side};
use crate::reference::{Handle, KeyArn, Ref, Text};
use crate::resources::ec2_security_group::SecurityGroup;
use crate::resources::ec2_subnet::Subnet;
use crate::resources::iam_role::Role;
use crate::resources::lambda_alias::{Alias, AliasSpec};
use crate::resources::lambda_function::{Function, FunctionSpec};
use crate::resources::logs_log_group::{LogGroup, LogGroupSpec};

use super::Builder;

/// The alias by which everybody calls a function.
pub(super) const LIVE: &str = "live";

/// A function, and the alias that serves a version of it.
#[derive(Clone, Debug)]
pub(super) struct Served {
    /// The function.
    pub(super) function: Handle<Function>,
    /// What callers name.
    pub(super) alias: Handle<Alias>,
}

/// The functions of a region, by their names in the plan.
pub(super) type Functions = BTreeMap<String, Served>;

/// What the functions of a region need of other stacks.
#[derive(Clone, Debug)]
pub(super) struct Needs {
    /// The region's key, which encrypts logs and environments.
    pub(super) key: Ref<KeyArn>,
    /// The role of each function, by the function's name in the plan.
    pub(super) roles: BTreeMap<String, Handle<Role>>,
    /// The private subnets.
    pub(super) private_subnets: Vec<Handle<Subnet>>,
    /// The group of the functions.
    pub(super) security_group: Handle<SecurityGroup>,
    /// The functions of the region whose aliases move first; none: nothing is waited for.
    pub(super) after: Option<Functions>,
}

/// Adds the functions of one side and returns them by their names in the plan.
///
/// # Panics
/// When a function has no role or no digest of its code: a fault of the caller.
pub(super) fn build(builder: &mut Builder<'_>, side: Side, needs: &Needs) -> Functions {
    let functions = builder.plan().functions.iter();
    functions.map(|plan| (plan.name.to_string(), function(builder, side, plan, needs))).collect()
}

fn function(builder: &mut Builder<'_>, side: Side, plan: &Plan, needs: &Needs) -> Served {
    let name = plan.name.as_str();
    let role = needs.roles.get(name).expect("every function has a role");
    let scope = builder.scope(side);
    let log_group = LogGroupSpec {
        name: builder.names().function_logs(name, builder.region(side)).into(),
        retention_days: Some(plan.log_retention_days.days()),
        key: Some(needs.key.clone()),
    };
    let log_group = builder.add::<LogGroup>(scope.clone(), name, log_group);
    let spec = FunctionSpec {
        name: builder.names().function(name, builder.region(side)),
        role: role.arn(),
        runtime: plan.runtime.as_str().to_owned(),
        handler: plan.handler.to_string(),
        architecture: plan.architecture.as_str().to_owned(),
        code_sha256: builder.inputs().code.get(name).expect("the sources of every function were read").clone(),
        memory_mb: signed(plan.memory_mb),
        timeout_seconds: signed(plan.timeout_seconds),
        environment: environment(builder, side, plan),
        kms_key: Some(needs.key.clone()),
        subnets: needs.private_subnets.iter().map(Handle::<Subnet>::id).collect(),
        security_groups: [needs.security_group.id()].into_iter().collect(),
        tracing: plan.tracing,
        log_group: log_group.name(),
    };
    let function = builder.add::<Function>(scope.clone(), name, spec.clone());
    let alias = AliasSpec {
        function: function.name(),
        name: LIVE.to_owned(),
        content: spec,
        probe: plan.route.as_ref().map(|route| route.path().replace(['{', '}'], "")),
        after: needs.after.as_ref().map(|functions| functions[name].alias.arn()),
    };
    let alias = builder.add::<Alias>(scope, name, alias);
    let reason = "Lambda releases the function's network interfaces with this role";
    builder.delete_first(&needs.security_group, role, reason);
    for subnet in &needs.private_subnets {
        builder.delete_first(subnet, role, reason);
    }
    Served { function, alias }
}

fn environment(builder: &Builder<'_>, side: Side, plan: &Plan) -> BTreeMap<String, Text> {
    let names = builder.names();
    let own = [
        ("TABLE_NAME", names.shared()),
        ("TTL_ATTRIBUTE", builder.plan().database.dynamodb.ttl_attribute.to_string()),
        ("BUCKET_NAME", names.bucket(builder.region(side))),
        ("BUCKET_OWNER", builder.inputs().account.to_owned()),
        ("EVENT_BUS_NAME", names.shared()),
    ];
    let own = own.into_iter().map(|(name, value)| (name.to_owned(), value.into()));
    let plan = plan.environment.iter().map(|(name, value)| (name.to_string(), value.as_str().into()));
    // The plan's rules keep these two apart.
    plan.chain(own).collect()
}

/// A number of the plan that its rules keep small.
fn signed(number: u32) -> i32 {
    i32::try_from(number).expect("the plan's rules keep sizes and times of functions small")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;
    use crate::plan;
    use crate::resources::Kind;
    use crate::topology::{Inputs, Resource, Topology, security};

    /// The keys, the roles and the functions of one side; those of the primary side after those of the other.
    fn topology(side: Side) -> Topology {
        let (plan, suffix) = (plan::Plan::default(), "dev".parse().unwrap());
        let code: BTreeMap<String, String> =
            plan.functions.iter().map(|function| (function.name.to_string(), "digest".to_owned())).collect();
        let inputs = Inputs::plain(&plan, &suffix, &code);
        let mut builder = Builder::new(inputs);
        let security = security::build(&mut builder);
        let scope = builder.scope(side);
        let mut needs = Needs {
            key: security.keys.side(side).clone(),
            roles: security.roles.side(side).functions.clone(),
            private_subnets: vec![Handle::new(Address::new(scope.clone(), Subnet::TRAITS.name, "private-a"))],
            security_group: Handle::new(Address::new(scope, SecurityGroup::TRAITS.name, "functions")),
            after: None,
        };
        if side == Side::Primary {
            let standby = builder.scope(Side::Secondary);
            let served = |plan: &Plan| Served {
                function: Handle::new(Address::new(standby.clone(), Function::TRAITS.name, plan.name.as_str())),
                alias: Handle::new(Address::new(standby.clone(), Alias::TRAITS.name, plan.name.as_str())),
            };
            needs.after = Some(plan.functions.iter().map(|plan| (plan.name.to_string(), served(plan))).collect());
        }
        build(&mut builder, side, &needs);
        builder.topology
    }

    fn resource<'t>(topology: &'t Topology, address: &str) -> &'t Resource {
        &topology.resources[&address.parse().unwrap()]
    }

    #[test]
    fn functions_wait_for_their_role_network_and_log_group_only_and_the_role_outlives_the_network() {
        let topology = topology(Side::Primary);
        let function = resource(&topology, "us-east-1/lambda_function/payment_processor");
        let needed: Vec<_> = function.references.iter().map(ToString::to_string).collect();
        assert_eq!(
            needed,
            [
                "global/iam_role/payment_processor-us-east-1",
                "us-east-1/ec2_security_group/functions",
                "us-east-1/ec2_subnet/private-a",
                "us-east-1/kms_key/main",
                "us-east-1/logs_log_group/payment_processor",
            ]
        );
        let role = resource(&topology, "global/iam_role/payment_processor-us-east-1");
        let gone: Vec<_> = role.delete_after.keys().map(ToString::to_string).collect();
        assert_eq!(gone, ["us-east-1/ec2_security_group/functions", "us-east-1/ec2_subnet/private-a"]);
    }

    /// A version that fails in the standby region must not reach the primary one; what a version holds is let go of by its alias.
    #[test]
    fn the_alias_of_the_primary_region_moves_after_that_of_the_standby_region() {
        let topology = topology(Side::Primary);
        let alias = resource(&topology, "us-east-1/lambda_alias/payment_processor");
        for first in [
            "us-east-1/lambda_function/payment_processor",
            "us-east-2/lambda_alias/payment_processor",
            "us-east-1/ec2_security_group/functions",
        ] {
            assert!(alias.references.contains(&first.parse().unwrap()), "{first}");
        }
        assert_eq!(alias.spec["content"], {
            let mut function = resource(&topology, "us-east-1/lambda_function/payment_processor").spec.clone();
            function.as_object_mut().unwrap().remove("tags");
            function
        });
        let standby = super::tests::topology(Side::Secondary);
        let references = &resource(&standby, "us-east-2/lambda_alias/payment_processor").references;
        assert!(references.iter().all(|address| address.scope().as_str() != "us-east-1"), "{references:?}");
    }

    /// `dr.s3.rto`: S3 moves nobody to another bucket when a region is lost. `s3.bucket.name-reuse`: the name alone says not whose it is.
    #[test]
    fn the_functions_of_a_region_work_with_the_bucket_of_their_region() {
        for (side, region) in [(Side::Primary, "us-east-1"), (Side::Secondary, "us-east-2")] {
            let topology = topology(side);
            for name in ["payment_processor", "health_check"] {
                let function = resource(&topology, &format!("{region}/lambda_function/{name}"));
                let environment = &function.spec["environment"];
                assert_eq!(environment["BUCKET_NAME"], format!("dr-payment-data-{region}-dev"), "{name}");
                assert_eq!(environment["BUCKET_OWNER"], "1", "{name}");
            }
        }
    }
}
