//! Keys and roles.
//!
//! One key encrypts everything: a multi-region key in the primary region and its replica in the secondary, each with an alias. Key
//! policies are per region: the account's own policies decide who of it uses a key, and beyond that exactly those AWS services that write
//! as themselves, each for this account's objects only (`kms.key.policy.services`).
//!
//! Roles are named by purpose and region, and each lets one service do one thing. Their policies name objects by ARN from their fixed
//! names, so that a role needs nothing but the keys to exist first, and roles never stand in key policies: no circle. Nor do they stand in
//! any other policy of an object: a role that is made again is another one to a policy that names it (`iam.role.unique-id`), and one that
//! is gone leaves an opaque id there (`x.policy-principal-decay`). The role of AWS Backup may use the keys of both regions, that of the
//! cluster and that of the vault with the copies (`bk.vault.kms`).
//!
//! Invariants:
//! 1. A policy says `*` only where AWS knows no ARN for the action, and says so in its statement's id.
//! 2. A role is there only when something in the plan uses it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::address::Scope;
use crate::aws::Policy;
use crate::plan::{Function, Side};
use crate::reference::{Handle, KeyArn, Ref};
use crate::resources::iam_role::{Role, RoleSpec};
use crate::resources::kms_alias::{Alias, AliasSpec};
use crate::resources::kms_key::{Key, KeySpec};
use crate::resources::kms_replica_key::{ReplicaKey, ReplicaKeySpec};

use super::{Builder, Sides};

/// The route of the function that only reads, whatever its name: the one that the health checks call.
const HEALTH_CHECK: &str = "GET /health";
/// Seconds a session of a role lasts; services renew theirs.
const SESSION_SECONDS: i32 = 3600;

/// What other stacks need of keys and roles.
#[derive(Clone, Debug)]
pub(super) struct Security {
    /// The key of each region.
    pub(super) keys: Sides<Ref<KeyArn>>,
    /// The roles of each region.
    pub(super) roles: Sides<Roles>,
    /// The role that makes, copies and deletes backups; none without them.
    pub(super) backup: Option<Handle<Role>>,
}

/// The roles of things in one region.
#[derive(Clone, Debug)]
pub(super) struct Roles {
    /// The role of each function, by the function's name in the plan.
    pub(super) functions: BTreeMap<String, Handle<Role>>,
    /// The role that copies objects out of the region's bucket; none when nothing is copied.
    pub(super) replication: Option<Handle<Role>>,
    /// The role that sends events to the other region's bus; none without forwarding.
    pub(super) forwarding: Option<Handle<Role>>,
    /// The role that flow logs are written with; none without them.
    pub(super) flow_logs: Option<Handle<Role>>,
}

/// Adds the keys of both regions and all roles.
pub(super) fn build(builder: &mut Builder<'_>) -> Security {
    let keys = keys(builder);
    let roles = Sides::build(|side| roles(builder, side, &keys));
    let backup = backup(builder, &keys);
    Security { keys, roles, backup }
}

fn keys(builder: &mut Builder<'_>) -> Sides<Ref<KeyArn>> {
    let plan = &builder.plan().security;
    let deletion_days = signed(plan.key_deletion_days);
    let description = format!("Encrypts the deployment {} of drctl", builder.names().suffix());
    let spec = KeySpec {
        description: description.clone(),
        policy: key_policy(builder, Side::Primary),
        multi_region: true,
        enabled: true,
        rotation_days: plan.key_rotation.then(|| signed(plan.key_rotation_days)),
        deletion_days,
    };
    let primary = builder.add::<Key>(builder.scope(Side::Primary), "main", spec);
    let spec = ReplicaKeySpec {
        primary: primary.arn(),
        description,
        policy: key_policy(builder, Side::Secondary),
        enabled: true,
        deletion_days,
    };
    let replica = builder.add::<ReplicaKey>(builder.scope(Side::Secondary), "main", spec);
    let keys = Sides { primary: primary.arn(), secondary: replica.arn() };
    for side in Side::BOTH {
        let name = format!("alias/{}", builder.names().shared());
        let spec = AliasSpec { name, key: keys.side(side).clone() };
        builder.add::<Alias>(builder.scope(side), "main", spec);
    }
    keys
}

/// Who may use the key of a region.
fn key_policy(builder: &Builder<'_>, side: Side) -> Policy {
    let (names, region) = (builder.names(), builder.region(side));
    let account = names.account();
    Policy::new(vec![
        json!({
            "Sid": "Account", "Effect": "Allow", "Principal": { "AWS": names.root_arn() }, "Action": "kms:*", "Resource": "*",
        }),
        // Log groups are encrypted by CloudWatch Logs as itself, for the group that stands in the encryption context.
        json!({
            "Sid": "Logs", "Effect": "Allow", "Principal": { "Service": format!("logs.{region}.amazonaws.com") },
            "Action": ["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"],
            "Resource": "*",
            "Condition": { "ArnLike": {
                "kms:EncryptionContext:aws:logs:arn": names.arn("logs", region, "log-group:*"),
            } },
        }),
        // Rules put events into the encrypted queues, alarms publish to the encrypted topics.
        json!({
            "Sid": "Publishers", "Effect": "Allow",
            "Principal": { "Service": ["events.amazonaws.com", "cloudwatch.amazonaws.com"] },
            "Action": ["kms:Decrypt", "kms:GenerateDataKey*"], "Resource": "*",
            "Condition": { "StringEquals": { "aws:SourceAccount": account } },
        }),
    ])
}

fn roles(builder: &mut Builder<'_>, side: Side, keys: &Sides<Ref<KeyArn>>) -> Roles {
    let plan = builder.plan();
    let functions = plan.functions.iter().map(|function| {
        let spec = function_role(builder, function, side, keys);
        (function.name.to_string(), add(builder, side, function.name.as_str(), spec))
    });
    let functions = functions.collect();
    let replication = &plan.storage.replication;
    let copies = replication.enabled && (side == Side::Primary || replication.replicate_back);
    Roles {
        functions,
        replication: copies.then(|| self::replication(builder, side, keys)),
        forwarding: plan.events.forwarding.then(|| forwarding(builder, side)),
        flow_logs: plan.network.flow_logs.enabled.then(|| flow_logs(builder, side)),
    }
}

/// What a role is, but for its name.
struct Purpose {
    description: String,
    service: &'static str,
    /// Whether the service says for whose objects it assumes the role; not every service does.
    for_account: bool,
    statements: Vec<Value>,
}

/// Adds a role of things in a region. Roles have no region themselves; their names do.
fn add(builder: &mut Builder<'_>, side: Side, service: &str, purpose: Purpose) -> Handle<Role> {
    let region = builder.region(side);
    let mut trust = json!({
        "Effect": "Allow", "Action": "sts:AssumeRole", "Principal": { "Service": purpose.service },
    });
    if purpose.for_account {
        trust["Condition"] = json!({ "StringEquals": { "aws:SourceAccount": builder.names().account() } });
    }
    let spec = RoleSpec {
        name: builder.names().regional(service, region),
        description: purpose.description,
        trust: Policy::new(vec![trust]),
        policies: [("main".to_owned(), Policy::new(purpose.statements))].into(),
        max_session_seconds: SESSION_SECONDS,
    };
    builder.add::<Role>(Scope::global(), &format!("{service}-{region}"), spec)
}

fn function_role(builder: &Builder<'_>, function: &Function, side: Side, keys: &Sides<Ref<KeyArn>>) -> Purpose {
    let (names, region) = (builder.names(), builder.region(side));
    let (name, key) = (function.name.as_str(), keys.side(side));
    let logs = names.log_group_arn(&names.function_logs(name, region), region);
    let table = names.table_arn(region);
    let only_reads = function.route.as_ref().is_some_and(|route| route.to_string() == HEALTH_CHECK);
    let mut statements = match only_reads {
        true => vec![
            json!({ "Sid": "Table", "Effect": "Allow", "Action": "dynamodb:GetItem", "Resource": table }),
            json!({ "Sid": "Key", "Effect": "Allow", "Action": "kms:Decrypt", "Resource": key }),
        ],
        false => vec![
            json!({
                "Sid": "Table", "Effect": "Allow", "Resource": table,
                "Action": ["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:GetItem"],
            }),
            json!({
                "Sid": "Receipts", "Effect": "Allow", "Action": "s3:PutObject",
                "Resource": format!("{}/receipts/*", names.bucket_arn(region)),
            }),
            json!({ "Sid": "Events", "Effect": "Allow", "Action": "events:PutEvents", "Resource": names.bus_arn(region) }),
            json!({
                "Sid": "Key", "Effect": "Allow", "Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Resource": key,
            }),
        ],
    };
    statements.push(json!({
        "Sid": "Log", "Effect": "Allow", "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
        "Resource": format!("{logs}:*"),
    }));
    // Lambda checks for exactly these on everything before it puts a function into a VPC (`lambda.vpc.rules`).
    statements.push(json!({
        "Sid": "InterfacesHaveNoFixedArn", "Effect": "Allow", "Resource": "*",
        "Action": [
            "ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets",
            "ec2:DeleteNetworkInterface", "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses",
        ],
    }));
    if function.tracing {
        statements.push(json!({
            "Sid": "TracesHaveNoArn", "Effect": "Allow", "Resource": "*",
            "Action": ["xray:PutTraceSegments", "xray:PutTelemetryRecords"],
        }));
    }
    Purpose {
        description: format!("The function {name} in {region}"),
        service: "lambda.amazonaws.com",
        for_account: false,
        statements,
    }
}

/// The role that copies objects from the bucket of a side to the other (`s3.repl.kms`).
fn replication(builder: &mut Builder<'_>, side: Side, keys: &Sides<Ref<KeyArn>>) -> Handle<Role> {
    let names = builder.names();
    let (here, there) = (builder.region(side), builder.region(side.other()));
    let (source, target) = (names.bucket_arn(here), names.bucket_arn(there));
    // With bucket keys the context is the bucket, without them the object.
    let through = |region: &str, bucket: &str| {
        json!({
            "StringEquals": { "kms:ViaService": format!("s3.{region}.amazonaws.com") },
            "StringLike": { "kms:EncryptionContext:aws:s3:arn": [bucket, format!("{bucket}/*")] },
        })
    };
    let statements = vec![
        json!({
            "Sid": "Configuration", "Effect": "Allow", "Resource": source,
            "Action": ["s3:GetReplicationConfiguration", "s3:ListBucket"],
        }),
        json!({
            "Sid": "Read", "Effect": "Allow", "Resource": format!("{source}/*"),
            "Action": [
                "s3:GetObjectVersionForReplication", "s3:GetObjectVersionAcl", "s3:GetObjectVersionTagging",
            ],
        }),
        json!({
            "Sid": "Write", "Effect": "Allow", "Resource": format!("{target}/*"),
            "Action": ["s3:ReplicateObject", "s3:ReplicateDelete", "s3:ReplicateTags"],
        }),
        json!({
            "Sid": "Decrypt", "Effect": "Allow", "Action": "kms:Decrypt", "Resource": keys.side(side),
            "Condition": through(here, &source),
        }),
        json!({
            "Sid": "Encrypt", "Effect": "Allow", "Action": ["kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey"],
            "Resource": keys.side(side.other()), "Condition": through(there, &target),
        }),
    ];
    let description = format!("Copies objects from {here} to {there}");
    add(
        builder,
        side,
        "replication",
        Purpose { description, service: "s3.amazonaws.com", for_account: false, statements },
    )
}

fn forwarding(builder: &mut Builder<'_>, side: Side) -> Handle<Role> {
    let (here, there) = (builder.region(side), builder.region(side.other()));
    let bus = builder.names().bus_arn(there);
    let statements = vec![json!({ "Sid": "Bus", "Effect": "Allow", "Action": "events:PutEvents", "Resource": bus })];
    let description = format!("Sends events from {here} to {there}");
    add(
        builder,
        side,
        "forwarding",
        Purpose { description, service: "events.amazonaws.com", for_account: true, statements },
    )
}

fn flow_logs(builder: &mut Builder<'_>, side: Side) -> Handle<Role> {
    let (names, region) = (builder.names(), builder.region(side));
    let group = names.log_group_arn(&names.flow_logs(region), region);
    let statements = vec![
        json!({
            "Sid": "Log", "Effect": "Allow", "Resource": [group, format!("{group}:*")],
            "Action": ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
        }),
        json!({ "Sid": "ListsHaveNoArn", "Effect": "Allow", "Action": "logs:DescribeLogGroups", "Resource": "*" }),
    ];
    let description = format!("Writes the flow logs of {region}");
    let service = "vpc-flow-logs.amazonaws.com";
    add(builder, side, "flow-logs", Purpose { description, service, for_account: true, statements })
}

/// The role of AWS Backup: snapshots of the Aurora cluster, their copies in the other region, and their deletion.
fn backup(builder: &mut Builder<'_>, keys: &Sides<Ref<KeyArn>>) -> Option<Handle<Role>> {
    let plan = builder.plan();
    if !plan.backup.enabled || !plan.database.aurora.enabled {
        return None;
    }
    let names = builder.names();
    let everywhere = |service: &str, rest: &str| Side::BOTH.map(|side| names.arn(service, builder.region(side), rest));
    let clusters = everywhere("rds", &format!("cluster:dr-*-{}", names.suffix()));
    let snapshots = everywhere("rds", "cluster-snapshot:awsbackup:*");
    let databases = [clusters, snapshots.clone()].concat();
    let vaults = everywhere("backup", &format!("backup-vault:dr-*-{}", names.suffix()));
    let services = Side::BOTH.map(|side| format!("rds.{}.amazonaws.com", builder.region(side)));
    let keys = Side::BOTH.map(|side| keys.side(side).clone());
    let statements = vec![
        json!({
            "Sid": "Snapshots", "Effect": "Allow", "Resource": databases,
            "Action": [
                "rds:CreateDBClusterSnapshot", "rds:CopyDBClusterSnapshot", "rds:DeleteDBClusterSnapshot",
                "rds:AddTagsToResource", "rds:ListTagsForResource", "rds:ModifyDBClusterSnapshotAttribute",
            ],
        }),
        json!({
            "Sid": "ListsHaveNoArn", "Effect": "Allow", "Resource": "*",
            "Action": ["rds:DescribeDBClusters", "rds:DescribeDBClusterSnapshots", "tag:GetResources"],
        }),
        json!({
            "Sid": "Vaults", "Effect": "Allow", "Resource": vaults,
            "Action": ["backup:DescribeBackupVault", "backup:CopyIntoBackupVault"],
        }),
        json!({
            "Sid": "Copies", "Effect": "Allow", "Resource": snapshots, "Action": "backup:CopyFromBackupVault",
        }),
        json!({
            "Sid": "Keys", "Effect": "Allow", "Resource": keys, "Action": ["kms:DescribeKey"],
        }),
        json!({
            "Sid": "Encrypt", "Effect": "Allow", "Resource": keys,
            "Action": ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"],
            "Condition": { "StringEquals": { "kms:ViaService": services } },
        }),
        // AWS Backup and RDS go on with the keys after the role's own session, by grants that only services can hold.
        json!({
            "Sid": "Grants", "Effect": "Allow", "Resource": keys, "Action": "kms:CreateGrant",
            "Condition": { "Bool": { "kms:GrantIsForAWSResource": "true" } },
        }),
    ];
    let description = "Makes, copies and deletes the backups of Aurora".to_owned();
    let service = "backup.amazonaws.com";
    let purpose = Purpose { description, service, for_account: false, statements };
    Some(add(builder, Side::Primary, "backup", purpose))
}

/// A number of the plan that its rules keep small.
fn signed(number: u32) -> i32 {
    i32::try_from(number).expect("the plan's rules keep numbers of days small")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Plan, Suffix};
    use crate::reference::resolve;
    use crate::resources::Kind;
    use crate::topology::{Inputs, Resource, Topology};

    fn topology(plan: &Plan) -> Topology {
        named(plan, "dev")
    }

    fn named(plan: &Plan, suffix: &str) -> Topology {
        let suffix = suffix.parse().unwrap();
        let code = BTreeMap::new();
        let inputs = Inputs {
            plan,
            suffix: &suffix,
            account: "123456789012",
            engine_version: None,
            parent_zone: None,
            code: &code,
        };
        let mut builder = Builder::new(inputs);
        build(&mut builder);
        builder.topology
    }

    /// Invariant 1.
    #[test]
    fn only_statements_that_say_why_are_about_everything() {
        let topology = topology(&Plan::default());
        let roles = topology.resources.values().filter(|resource| resource.address.kind() == Role::TRAITS.name);
        let mut seen = 0;
        for role in roles {
            for statement in role.spec["policies"]["main"]["Statement"].as_array().unwrap() {
                let id = statement["Sid"].as_str().unwrap();
                let excused = id.contains("Arn") || id.contains("Demands");
                assert_eq!(statement["Resource"] == "*", excused, "{}: {id}", role.address);
                seen += 1;
            }
        }
        assert!(seen > 20, "{seen}");
    }

    fn resource<'t>(topology: &'t Topology, address: &str) -> &'t Resource {
        &topology.resources[&address.parse().unwrap()]
    }

    fn references(topology: &Topology, address: &str) -> Vec<String> {
        resource(topology, address).references.iter().map(ToString::to_string).collect()
    }

    /// `iam.policy.inline`: IAM takes 10,240 characters of inline policies on a role.
    #[test]
    fn the_policies_of_every_role_fit_on_it_whatever_the_plan() {
        let mut large = Plan::default();
        let function = large.functions[0].clone();
        large.functions = (0..20)
            .map(|n| Function { name: format!("function_with_a_long_name_{n}").parse().unwrap(), ..function.clone() })
            .collect();
        let key = format!("arn:aws:kms:us-east-1:123456789012:key/mrk-{}", "0".repeat(32));
        for topology in [topology(&Plan::default()), named(&large, &"x".repeat(Suffix::MAX_LEN))] {
            let roles = topology.resources.values().filter(|resource| resource.address.kind() == Role::TRAITS.name);
            let mut seen = 0;
            for role in roles {
                let policies = resolve(&role.spec["policies"], &|_, _| Some(json!(key)));
                let length: usize =
                    policies.as_object().unwrap().values().map(|policy| policy.to_string().chars().count()).sum();
                assert!((1..=10_240).contains(&length), "{}: {length} characters", role.address);
                seen += 1;
            }
            assert!(seen > 8, "{seen} roles");
        }
    }

    /// `kms.key.create.lockout`, `logs.create.kms`.
    #[test]
    fn the_account_can_always_change_a_key_and_the_log_groups_of_its_region_can_use_it() {
        let topology = topology(&Plan::default());
        for (region, kind) in [("us-east-1", "kms_key"), ("us-east-2", "kms_replica_key")] {
            let policy = &resource(&topology, &format!("{region}/{kind}/main")).spec["policy"];
            let statement = |principal: Value| {
                let all = policy["Statement"].as_array().unwrap();
                all.iter()
                    .find(|statement| statement["Principal"] == principal && statement["Effect"] == "Allow")
                    .unwrap()
            };
            let account = statement(json!({ "AWS": "arn:aws:iam::123456789012:root" }));
            assert_eq!((&account["Action"], &account["Resource"]), (&json!("kms:*"), &json!("*")), "{region}");
            assert!(account["Condition"].is_null(), "{account}");

            let logs = statement(json!({ "Service": format!("logs.{region}.amazonaws.com") }));
            let actions = logs["Action"].as_array().unwrap();
            for action in ["Encrypt*", "Decrypt*", "ReEncrypt*", "GenerateDataKey*", "Describe*"] {
                assert!(actions.contains(&json!(format!("kms:{action}"))), "{region}: {actions:?}");
            }
            let groups = format!("arn:aws:logs:{region}:123456789012:log-group:*");
            assert_eq!(logs["Condition"], json!({ "ArnLike": { "kms:EncryptionContext:aws:logs:arn": groups } }));
        }
    }

    /// `kms.alias.regional`, `kms.mrk.delete`: what refers to a key goes before it.
    #[test]
    fn each_region_has_an_alias_of_its_own_key_and_the_replica_goes_before_the_primary() {
        let topology = topology(&Plan::default());
        assert_eq!(references(&topology, "us-east-1/kms_alias/main"), ["us-east-1/kms_key/main"]);
        assert_eq!(references(&topology, "us-east-2/kms_alias/main"), ["us-east-2/kms_replica_key/main"]);
        assert_eq!(references(&topology, "us-east-2/kms_replica_key/main"), ["us-east-1/kms_key/main"]);
    }

    /// `lambda.vpc.rules`.
    #[test]
    fn every_function_may_have_network_interfaces() {
        let (plan, topology) = (Plan::default(), topology(&Plan::default()));
        for function in &plan.functions {
            for region in ["us-east-1", "us-east-2"] {
                let role = resource(&topology, &format!("global/iam_role/{}-{region}", function.name));
                let statements = role.spec["policies"]["main"]["Statement"].as_array().unwrap();
                let of_everything = statements.iter().filter(|statement| statement["Resource"] == "*");
                let allowed: Vec<&Value> =
                    of_everything.filter_map(|statement| statement["Action"].as_array()).flatten().collect();
                for action in [
                    "CreateNetworkInterface",
                    "DescribeNetworkInterfaces",
                    "DescribeSubnets",
                    "DeleteNetworkInterface",
                    "AssignPrivateIpAddresses",
                    "UnassignPrivateIpAddresses",
                ] {
                    assert!(allowed.contains(&&json!(format!("ec2:{action}"))), "{}: {action}", role.address);
                }
            }
        }
    }

    /// No circle: roles wait for keys alone, keys for nothing.
    #[test]
    fn roles_need_nothing_but_keys() {
        for resource in topology(&Plan::default()).resources.values() {
            let kinds: Vec<_> = resource.references.iter().map(|address| address.kind()).collect();
            assert!(kinds.iter().all(|kind| ["kms_key", "kms_replica_key"].contains(kind)), "{}", resource.address);
        }
    }

    /// Invariant 2.
    #[test]
    fn what_is_switched_off_has_no_role() {
        let mut plan = Plan::default();
        plan.backup.enabled = false;
        plan.events.forwarding = false;
        plan.storage.replication.replicate_back = false;
        plan.network.flow_logs.enabled = false;
        plan.api.access_logs.enabled = false;
        let roles: Vec<_> = topology(&plan)
            .resources
            .into_keys()
            .filter(|address| address.kind() == Role::TRAITS.name)
            .map(|address| address.name().to_owned())
            .collect();
        let functions = ["health_check-us-east-1", "health_check-us-east-2"];
        let others = ["payment_processor-us-east-1", "payment_processor-us-east-2", "replication-us-east-1"];
        assert_eq!(roles, [&functions[..], &others].concat());
    }

    /// The route says which function it is, not a name that the plan chose.
    #[test]
    fn the_health_check_can_only_read() {
        let mut plan = Plan::default();
        let names = [("payment_processor", "health_check"), ("health_check", "alive")];
        for (function, (was, name)) in plan.functions.iter_mut().zip(names) {
            assert_eq!(function.name.as_str(), was);
            function.name = name.parse().unwrap();
        }
        let topology = topology(&plan);
        let payments = topology.resources[&"global/iam_role/health_check-us-east-2".parse().unwrap()].spec.to_string();
        assert!(payments.contains("dynamodb:PutItem") && payments.contains("s3:PutObject"), "{payments}");
        let role = "global/iam_role/alive-us-east-2".parse().unwrap();
        let policy = topology.resources[&role].spec["policies"]["main"].to_string();
        assert!(policy.contains("dynamodb:GetItem") && policy.contains("us-east-2:123456789012:table/dr-payments-dev"));
        assert!(!policy.contains("PutItem") && !policy.contains("s3:") && !policy.contains("events:"), "{policy}");
    }
    /// The statement of a policy that has this id.
    fn statement<'a>(policy: &'a Value, id: &str) -> &'a Value {
        let statements = policy["Statement"].as_array().unwrap();
        statements.iter().find(|statement| statement["Sid"] == id).unwrap()
    }

    /// S3 takes any role and says nothing when it cannot copy with it.
    #[test]
    fn each_direction_of_replication_has_all_rights_it_needs_and_no_others() {
        let topology = topology(&Plan::default());
        let keys = [("us-east-1", "us-east-1/kms_key/main#arn"), ("us-east-2", "us-east-2/kms_replica_key/main#arn")];
        for (from, to) in [(0, 1), (1, 0)] {
            let ((here, own_key), (there, other_key)) = (keys[from], keys[to]);
            let role = &topology.resources[&format!("global/iam_role/replication-{here}").parse().unwrap()];
            let policy = &role.spec["policies"]["main"];
            let bucket = |region: &str| format!("arn:aws:s3:::dr-payment-data-{region}-dev");
            assert_eq!(role.spec["trust"]["Statement"][0]["Principal"]["Service"], "s3.amazonaws.com");
            for (id, key, region) in [("Decrypt", own_key, here), ("Encrypt", other_key, there)] {
                let statement = statement(policy, id);
                let through = &statement["Condition"];
                assert_eq!(statement["Resource"]["$ref"], key);
                assert_eq!(through["StringEquals"]["kms:ViaService"], format!("s3.{region}.amazonaws.com"));
                // With bucket keys the context is the bucket.
                let context = &through["StringLike"]["kms:EncryptionContext:aws:s3:arn"];
                assert_eq!(*context, json!([bucket(region), format!("{}/*", bucket(region))]));
            }
            assert_eq!(statement(policy, "Decrypt")["Action"], "kms:Decrypt");
            assert_eq!(statement(policy, "Configuration")["Resource"], bucket(here));
            assert_eq!(statement(policy, "Read")["Resource"], format!("{}/*", bucket(here)));
            assert_eq!(statement(policy, "Write")["Resource"], format!("{}/*", bucket(there)));
        }
    }

    /// `bk.vault.kms`: AWS Backup reads a snapshot with the key of its cluster and writes the copy with that of the other vault.
    #[test]
    fn the_role_of_backups_may_use_the_keys_of_both_regions() {
        let topology = topology(&Plan::default());
        let policy = &resource(&topology, "global/iam_role/backup-us-east-1").spec["policies"]["main"];
        let keys = json!([{ "$ref": "us-east-1/kms_key/main#arn" }, { "$ref": "us-east-2/kms_replica_key/main#arn" }]);
        for (id, actions) in [
            ("Keys", json!("kms:DescribeKey")),
            ("Encrypt", json!(["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"])),
            ("Grants", json!("kms:CreateGrant")),
        ] {
            let statement = statement(policy, id);
            assert_eq!((&statement["Action"], &statement["Resource"]), (&actions, &keys), "{id}");
        }
    }

    /// `bk.selection.create`
    #[test]
    fn aws_backup_is_trusted_without_a_condition_that_it_may_not_meet() {
        let topology = topology(&Plan::default());
        let trust = &resource(&topology, "global/iam_role/backup-us-east-1").spec["trust"]["Statement"][0];
        assert_eq!(trust["Principal"]["Service"], "backup.amazonaws.com");
        assert!(trust.get("Condition").is_none(), "{trust}");
    }

    /// What alarms and rules publish to is encrypted with these keys; without the right their messages are lost without a word.
    #[test]
    fn the_services_that_publish_may_use_the_key_of_each_region() {
        let topology = topology(&Plan::default());
        for key in ["us-east-1/kms_key/main", "us-east-2/kms_replica_key/main"] {
            let publishers = statement(&topology.resources[&key.parse().unwrap()].spec["policy"], "Publishers");
            let services = json!(["cloudwatch.amazonaws.com", "events.amazonaws.com"]);
            assert_eq!(publishers["Principal"]["Service"], services);
            assert_eq!(publishers["Action"], json!(["kms:Decrypt", "kms:GenerateDataKey*"]));
        }
    }
}
