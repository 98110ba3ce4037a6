//! The databases: the DynamoDB Global Table of payments, and the Aurora Global Database.
//!
//! The table's home is the primary region, its replica stands in the secondary. The Aurora cluster of the primary region
//! founds the global database; which of the two clusters writes later is runtime truth. The master password is generated into
//! a secret that is copied to the secondary region, so that it can be read there while the primary is lost.
//!
//! Of the table each region writes its own replica, so that a failover has nothing to promote there (`dr.ddb.eventual`). Between regions
//! the last writer of an item wins and no transaction holds (`ddb.semantics`): a payment is one item, made by one conditional put.
//! Nobody hears of the write that lost (`dr.ddb.conflict`), and what a lost region had not sent yet arrives and competes when it returns
//! (`dr.ddb.isolation`): the plan file and the README say so to those who operate it. Bad writes are copied as well, so each replica
//! can be restored by itself (`dr.ddb.corruption`). AWS keeps a backup of its own of a deleted table (`ddb.delete.leftovers`), but no
//! replica whose key is out of use for a day: table and replica refer to their keys, which so go after them (`ddb.replica.kms-20h`).
//!
//! Order comes from references: a replica needs its table, the secondary cluster needs the founder's first instance
//! (`rds.secondary.order`), and in the primary region further instances need the first one, so that it is known which
//! one writes (`rds.instance.wait`); in the secondary region none writes, so all are made at once. Deletion is the
//! reverse, and the kinds read the live roles where AWS's order depends on them (`rds.global.delete-order`).
//!
//! A cluster comes without instances (`rds.primary.no-instances`). Each region has as many of them as the other from the beginning,
//! and both clusters have one version: a cluster without an instance, or of another version, cannot take over (`rds.switchover`,
//! `rds.secondary.headless`, `dr.aurora.headless`). They are alike in all but what belongs to a region or to the founder: names differ
//! (`rds.secondary.unique-name`), and settings, alarms and the export of the log are each cluster's own, so that a promoted one lacks
//! nothing (`rds.failover.not-inherited`). A log outlives its cluster, so the log group is a resource, and goes after the cluster that
//! would make it again (`rds.cluster.leftovers`).
//!
//! The endpoints among the outputs are those of a region, named by it: they do not move with a failover, and the writer's endpoint
//! of a cluster answers only while that cluster writes (`rds.failover.endpoints`). Clients that shall follow the writer need the
//! endpoint of the global database (`rds.global.endpoint`, `dr.aurora.clients`).

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::{Aurora as AuroraPlan, Side};
use crate::reference::{Handle, InstanceId, KeyArn, Ref, SecurityGroupId, SubnetId};
use crate::resources::Kind;
use crate::resources::dynamodb_replica::{Replica, ReplicaSpec};
use crate::resources::dynamodb_table::{Table, TableSpec};
use crate::resources::logs_log_group::{LogGroup, LogGroupSpec};
use crate::resources::rds_cluster::{Cluster, ClusterSpec};
use crate::resources::rds_cluster_parameter_group::{ParameterGroup, ParameterGroupSpec};
use crate::resources::rds_global_cluster::{GlobalCluster, GlobalClusterSpec, major};
use crate::resources::rds_instance::{Instance, InstanceSpec};
use crate::resources::rds_subnet_group::{SubnetGroup, SubnetGroupSpec};
use crate::resources::secretsmanager_replica::{SecretReplica, SecretReplicaSpec};
use crate::resources::secretsmanager_secret::{Secret, SecretSpec};

use super::{Builder, Sides};

/// The key attribute of the table of payments.
const HASH_KEY: &str = "transactionId";
/// How many characters the master password has: 240 bits, and well below the 99 that PostgreSQL takes.
const PASSWORD_LENGTH: usize = 40;
/// The promotion tiers of Aurora end here.
const LAST_TIER: i32 = 15;

/// What the databases of a region need of other stacks.
#[derive(Clone, Debug)]
pub(super) struct Needs {
    /// The region's key, which encrypts everything here.
    pub(super) key: Ref<KeyArn>,
    /// The private subnets, in at least two zones.
    pub(super) private_subnets: Vec<Ref<SubnetId>>,
    /// The group of the database; none without Aurora.
    pub(super) security_group: Option<Ref<SecurityGroupId>>,
}

/// What other stacks need of the databases.
#[derive(Clone, Debug)]
pub(super) struct Database {
    /// The Aurora Global Database, if the plan has one.
    pub(super) aurora: Option<Aurora>,
}

/// The Aurora Global Database.
#[derive(Clone, Debug)]
pub(super) struct Aurora {
    /// The cluster of each region.
    pub(super) clusters: Sides<Handle<Cluster>>,
}

/// Adds the databases of both regions.
pub(super) fn build(builder: &mut Builder<'_>, needs: &Sides<Needs>) -> Database {
    table(builder, needs);
    let plan = &builder.plan().database.aurora;
    let aurora = plan.enabled.then(|| aurora(builder, plan, needs));
    Database { aurora }
}

fn table(builder: &mut Builder<'_>, needs: &Sides<Needs>) {
    let plan = &builder.plan().database.dynamodb;
    let recovery_days = plan.point_in_time_recovery.then(|| count(plan.recovery_days));
    let name = builder.names().shared();
    let spec = TableSpec {
        name: name.clone(),
        hash_key: HASH_KEY.to_owned(),
        range_key: None,
        billing: "PAY_PER_REQUEST".to_owned(),
        stream: "NEW_AND_OLD_IMAGES".to_owned(),
        key: needs.primary.key.clone(),
        ttl_attribute: Some(plan.ttl_attribute.to_string()),
        recovery_days,
        deletion_protection: false,
    };
    let table = builder.add::<Table>(builder.scope(Side::Primary), "payments", spec);
    let spec = ReplicaSpec { table: table.arn(), key: needs.secondary.key.clone(), recovery_days };
    builder.add::<Replica>(builder.scope(Side::Secondary), "payments", spec);
    builder.output(output(builder, "dynamodb_table", Side::Primary), table.name());
    builder.output(output(builder, "dynamodb_table", Side::Secondary), name);
}

fn aurora(builder: &mut Builder<'_>, plan: &AuroraPlan, needs: &Sides<Needs>) -> Aurora {
    let primary = builder.scope(Side::Primary);
    let spec = SecretSpec {
        name: builder.names().secret("aurora"),
        description: "The master user of Aurora".to_owned(),
        key: needs.primary.key.clone(),
        username: plan.master_username.to_string(),
        password_length: PASSWORD_LENGTH,
    };
    let secret = builder.add::<Secret>(primary.clone(), "aurora", spec);
    let spec = SecretReplicaSpec { secret: secret.arn(), key: needs.secondary.key.clone() };
    builder.add::<SecretReplica>(builder.scope(Side::Secondary), "aurora", spec);

    let version = builder.inputs().engine_version.expect("a plan with Aurora has its version resolved").to_owned();
    let spec = GlobalClusterSpec {
        name: builder.names().shared(),
        engine_version: version.clone(),
        encrypted: true,
        deletion_protection: plan.deletion_protection,
        extended_support: plan.extended_support,
    };
    let global_cluster = builder.add::<GlobalCluster>(primary, "aurora", spec);

    let mut member = |side, login, after| {
        let needs = needs.side(side);
        Member { builder, plan, side, needs }.build(&global_cluster, &version, login, after)
    };
    let (founder, founder_instances) = member(Side::Primary, Some(&secret), None);
    let after = founder_instances.first().map(|first| first.id());
    let (reader, _) = member(Side::Secondary, None, after);
    Aurora { clusters: Sides { primary: founder, secondary: reader } }
}

/// One region's cluster while it is built.
struct Member<'b, 'i> {
    builder: &'b mut Builder<'i>,
    plan: &'b AuroraPlan,
    side: Side,
    needs: &'b Needs,
}

impl Member<'_, '_> {
    fn build(
        mut self,
        global_cluster: &Handle<GlobalCluster>,
        version: &str,
        login: Option<&Handle<Secret>>,
        after: Option<Ref<InstanceId>>,
    ) -> (Handle<Cluster>, Vec<Handle<Instance>>) {
        let plan = self.plan;
        let name = self.name("aurora");
        let subnets = SubnetGroupSpec {
            name: name.clone(),
            description: "The private subnets".to_owned(),
            subnets: self.needs.private_subnets.iter().cloned().collect(),
        };
        let subnet_group = self.add::<SubnetGroup>("aurora", subnets);
        let parameters = ParameterGroupSpec {
            name: name.clone(),
            family: format!("aurora-postgresql{}", major(version)),
            description: "TLS forced".to_owned(),
            parameters: BTreeMap::from([("rds.force_ssl".to_owned(), "1".to_owned())]),
        };
        let parameter_group = self.add::<ParameterGroup>("aurora", parameters);
        let spec = ClusterSpec {
            name: name.clone(),
            global_cluster: Some(global_cluster.id()),
            after,
            engine_version: version.to_owned(),
            database: login.map(|_| plan.database_name.to_string()),
            master_username: login.map(|_| plan.master_username.to_string()),
            master_secret: login.map(|secret| secret.arn()),
            subnet_group: subnet_group.name(),
            security_groups: self.needs.security_group.iter().cloned().collect(),
            parameter_group: parameter_group.name(),
            key: self.needs.key.clone(),
            port: i32::from(plan.port),
            backup_retention_days: count(plan.backup_retention_days),
            backup_window: plan.backup_window.to_string(),
            maintenance_window: plan.maintenance_window.to_string(),
            log_exports: if plan.export_logs { BTreeSet::from(["postgresql".to_owned()]) } else { BTreeSet::new() },
            deletion_protection: plan.deletion_protection,
            skip_final_snapshot: plan.skip_final_snapshot,
            extended_support: plan.extended_support,
        };
        let cluster = self.add::<Cluster>("aurora", spec);
        if plan.export_logs {
            self.log_group(&name, &cluster);
        }
        let instances = self.instances(&cluster);
        // Neither moves with a failover: the first answers only while this cluster is the one that writes.
        let endpoint = output(self.builder, "aurora_endpoint", self.side);
        self.builder.output(endpoint, cluster.endpoint());
        let reader_endpoint = output(self.builder, "aurora_reader_endpoint", self.side);
        self.builder.output(reader_endpoint, cluster.reader_endpoint());
        (cluster, instances)
    }

    /// The group RDS writes the log to: RDS would make it itself, keep it for ever and leave it behind.
    fn log_group(&mut self, cluster_name: &str, cluster: &Handle<Cluster>) {
        let spec = LogGroupSpec {
            name: format!("/aws/rds/cluster/{cluster_name}/postgresql").into(),
            retention_days: Some(self.plan.log_retention_days.days()),
            key: Some(self.needs.key.clone()),
        };
        let log_group = self.add::<LogGroup>("aurora-postgresql", spec);
        self.builder.delete_first(cluster, &log_group, "a living cluster makes its log group again");
    }

    fn instances(&mut self, cluster: &Handle<Cluster>) -> Vec<Handle<Instance>> {
        let mut instances: Vec<Handle<Instance>> = Vec::new();
        for number in 1..=count(self.plan.instances) {
            let name = format!("aurora-{number}");
            let spec = InstanceSpec {
                name: self.name(&name),
                cluster: cluster.id(),
                after: instances.first().filter(|_| self.side == Side::Primary).map(|first| first.id()),
                class: self.plan.instance_class.to_string(),
                promotion_tier: (number - 1).min(LAST_TIER),
                maintenance_window: self.plan.maintenance_window.to_string(),
                public: false,
            };
            instances.push(self.add::<Instance>(&name, spec));
        }
        instances
    }

    fn add<K: Kind>(&mut self, name: &str, spec: K::Spec) -> Handle<K> {
        let scope = self.builder.scope(self.side);
        self.builder.add(scope, name, spec)
    }

    fn name(&self, service: &str) -> String {
        self.builder.names().regional(service, self.builder.region(self.side))
    }
}

/// The name of an output that each region has.
fn output(builder: &Builder<'_>, what: &str, side: Side) -> String {
    format!("{what}_{}", builder.region(side).replace('-', "_"))
}

/// A small number of the plan as the AWS SDK takes it.
fn count(number: u32) -> i32 {
    i32::try_from(number).expect("the plan's rules keep such numbers small")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use crate::topology::{Inputs, Topology};

    fn topology(plan: &Plan) -> Topology {
        let inputs = Inputs {
            plan,
            suffix: &"dev".parse().unwrap(),
            account: "123456789012",
            engine_version: Some("14.15"),
            parent_zone: None,
            code: &BTreeMap::new(),
        };
        let needs = Sides::build(|side| Needs {
            key: Ref::Known(format!("arn:key-{}", side.as_str()).into()),
            private_subnets: vec![Ref::Known("subnet-1".into()), Ref::Known("subnet-2".into())],
            security_group: Some(Ref::Known("sg-1".into())),
        });
        let mut builder = Builder::new(inputs);
        build(&mut builder, &needs);
        builder.topology
    }

    fn spec<'t>(topology: &'t Topology, address: &str) -> &'t serde_json::Value {
        &topology.resources[&address.parse().unwrap()].spec
    }

    /// `rds.global.encrypted-first`, `ddb.replica.kms`: what is encrypted in a region is so by the region's own key.
    #[test]
    fn everything_is_encrypted_with_the_key_of_its_region() {
        let topology = topology(&Plan::default());
        assert_eq!(spec(&topology, "us-east-1/rds_global_cluster/aurora")["encrypted"], true);
        for (address, key) in [
            ("us-east-1/dynamodb_table/payments", "arn:key-primary"),
            ("us-east-2/dynamodb_replica/payments", "arn:key-secondary"),
            ("us-east-1/rds_cluster/aurora", "arn:key-primary"),
            ("us-east-2/rds_cluster/aurora", "arn:key-secondary"),
        ] {
            assert_eq!(spec(&topology, address)["key"], key, "{address}");
        }
    }

    /// `rds.secondary.pg-drift`, `rds.pg.create`.
    #[test]
    fn both_regions_have_the_same_settings_of_the_same_family() {
        let mut plan = Plan::default();
        plan.database.aurora.engine_version = "14".parse().unwrap();
        let topology = topology(&plan);
        let of = |region: &str| spec(&topology, &format!("{region}/rds_cluster_parameter_group/aurora"));
        let (one, other) = (of("us-east-1"), of("us-east-2"));
        assert_eq!((&one["family"], &one["parameters"]), (&other["family"], &other["parameters"]));
        assert_eq!(one["family"], "aurora-postgresql14");
    }

    /// `rds.instance.wait`: the first instance of the founder is the writer, so it is there before the others. In the other region none
    /// writes, so none waits.
    #[test]
    fn further_instances_come_after_the_first_where_one_of_them_writes() {
        let topology = topology(&Plan::default());
        for (region, waits) in [("us-east-1", true), ("us-east-2", false)] {
            let second = &topology.resources[&format!("{region}/rds_instance/aurora-2").parse().unwrap()];
            let first = format!("{region}/rds_instance/aurora-1").parse().unwrap();
            assert_eq!(second.references.contains(&first), waits, "{region}");
        }
    }

    /// `rds.secondary.order`, `rds.secondary.must-not-send`.
    #[test]
    fn the_secondary_cluster_comes_after_the_founders_first_instance_and_has_no_login() {
        let topology = topology(&Plan::default());
        let resource = |address: &str| &topology.resources[&address.parse().unwrap()];
        let reader = resource("us-east-2/rds_cluster/aurora");
        assert!(reader.references.contains(&"us-east-1/rds_instance/aurora-1".parse().unwrap()));
        for field in ["database", "master_username", "master_secret"] {
            assert!(reader.spec[field].is_null(), "{field}");
        }
        let founder = resource("us-east-1/rds_cluster/aurora");
        assert!(founder.references.contains(&"us-east-1/secretsmanager_secret/aurora".parse().unwrap()));
        assert_eq!(founder.lock_group, reader.lock_group);
    }

    /// `rds.secondary.unique-name`, `rds.failover.not-inherited`: a cluster that is promoted has what the other one had.
    #[test]
    fn the_clusters_differ_only_in_what_belongs_to_a_region_and_in_the_founders_login() {
        let topology = topology(&Plan::default());
        let founder = spec(&topology, "us-east-1/rds_cluster/aurora");
        let reader = spec(&topology, "us-east-2/rds_cluster/aurora");
        let fields: Vec<&str> = founder.as_object().unwrap().keys().map(String::as_str).collect();
        assert!(reader.as_object().unwrap().keys().eq(&fields));
        let differing: Vec<&str> = fields.into_iter().filter(|field| founder[*field] != reader[*field]).collect();
        assert_eq!(
            differing,
            [
                "name",
                "after",
                "database",
                "master_username",
                "master_secret",
                "subnet_group",
                "parameter_group",
                "key",
                "tags"
            ]
        );
    }

    /// `rds.cluster.leftovers`: a log outlives its cluster, and a living cluster makes its log group again.
    #[test]
    fn the_group_of_a_log_goes_after_its_cluster_and_without_the_log_there_is_none() {
        let mut plan = Plan::default();
        let with = topology(&plan);
        for region in ["us-east-1", "us-east-2"] {
            let log_group = &with.resources[&format!("{region}/logs_log_group/aurora-postgresql").parse().unwrap()];
            assert_eq!(log_group.spec["name"], format!("/aws/rds/cluster/dr-aurora-{region}-dev/postgresql"));
            let cluster = format!("{region}/rds_cluster/aurora").parse().unwrap();
            assert!(log_group.delete_after.contains_key(&cluster), "{region}");
        }
        plan.database.aurora.export_logs = false;
        let without = topology(&plan);
        assert!(without.resources.keys().all(|address| address.kind() != "logs_log_group"));
    }

    /// `dr.ddb.corruption`: what is wrong in one replica is soon wrong in both, so each has a way back.
    #[test]
    fn the_table_and_its_replica_can_both_be_restored_unless_the_plan_does_without() {
        let mut plan = Plan::default();
        for (recovery, days) in [(true, serde_json::Value::from(35)), (false, serde_json::Value::Null)] {
            plan.database.dynamodb.point_in_time_recovery = recovery;
            let topology = topology(&plan);
            for address in ["us-east-1/dynamodb_table/payments", "us-east-2/dynamodb_replica/payments"] {
                assert_eq!(spec(&topology, address)["recovery_days"], days, "{address}");
            }
        }
    }

    /// `rds.failover.endpoints`, `rds.global.endpoint`, `dr.aurora.clients`: they do not move, and their names say where they are.
    #[test]
    fn the_endpoints_among_the_outputs_are_named_by_their_region() {
        let topology = topology(&Plan::default());
        let names: Vec<&str> = topology.outputs.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "dynamodb_table_us_east_1",
                "dynamodb_table_us_east_2",
                "aurora_endpoint_us_east_1",
                "aurora_reader_endpoint_us_east_1",
                "aurora_endpoint_us_east_2",
                "aurora_reader_endpoint_us_east_2",
            ]
        );
    }

    #[test]
    fn without_aurora_there_is_the_table_alone() {
        let mut plan = Plan::default();
        plan.database.aurora.enabled = false;
        let addresses: Vec<String> = topology(&plan).resources.keys().map(ToString::to_string).collect();
        assert_eq!(addresses, ["us-east-1/dynamodb_table/payments", "us-east-2/dynamodb_replica/payments"]);
    }
}
