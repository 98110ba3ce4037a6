//! The rights that a deployment needs, as the statements of an IAM policy.
//!
//! Each kind declares its actions; [`OWN`] holds those that drctl needs whatever the kinds are; [`reach`] says on which objects. From
//! these alone come the policies that `drctl iam-policy` prints and what is asked of AWS before the first change, so that the
//! two cannot differ. Pure: it contacts nobody.
//!
//! Invariants:
//! 1. Every action that a kind declares is in some statement.
//! 2. The same kinds and suffix always give the same text.
//! 3. No document is larger than AWS takes as one managed policy (`iam.limits`).

pub mod reach;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::resources::Permissions;
use reach::{EVERYTHING, REACHES, Reach};

/// What drctl itself calls: to find out who we are, what the regions offer, who has which tags, and what is allowed.
pub const OWN: Permissions = Permissions {
    read: &[
        "backup:DescribeRegionSettings",
        "ec2:DescribeAvailabilityZones",
        "rds:DescribeDBEngineVersions",
        "route53:GetHostedZone",
        "route53:ListHostedZonesByName",
        "sts:GetCallerIdentity",
        "tag:GetResources",
    ],
    // The claim on a deployment is a log group.
    change: &[
        "iam:SimulatePrincipalPolicy",
        "logs:CreateLogGroup",
        "logs:DeleteLogGroup",
        "logs:ListTagsForResource",
        "logs:TagResource",
    ],
};

/// Rights that spare calls: without them drctl reads the same objects one by one, so that lacking them stops no run.
pub const OPTIONAL: &[&str] = &["iam:GetAccountAuthorizationDetails", "iam:ListRoles"];

/// The actions of a kind that look at its objects, change them and take them away, and none that makes a new one. A kind whose objects a plan
/// gave up needs these as long as one of them is on record.
pub fn without_making(permissions: Permissions) -> impl Iterator<Item = &'static str> {
    permissions.read.iter().chain(permissions.change).copied().filter(|action| !makes(action))
}

/// Tells whether an action is for new objects. A database that goes leaves a last snapshot, made with its key.
fn makes(action: &str) -> bool {
    const GOING: &[&str] = &["kms:CreateGrant", "rds:CreateDBClusterSnapshot"];
    let (_, verb) = action.split_once(':').unwrap_or_default();
    let news = ["Allocate", "Create", "PassRole", "POST", "Request"];
    !GOING.contains(&action) && news.iter().any(|new| verb.starts_with(new))
}

/// How many characters other than white space AWS takes in one managed policy.
pub const LARGEST_POLICY: usize = 6144;

/// Actions that are allowed on the same objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Its name, unique among the statements of a deployment.
    pub name: &'static str,
    /// The actions, sorted.
    pub actions: BTreeSet<&'static str>,
    /// The ARNs of the objects, with wildcards.
    pub objects: Vec<String>,
    /// What must hold besides: operator, key, values.
    pub conditions: Vec<(&'static str, &'static str, Vec<String>)>,
}

impl Statement {
    fn new(reach: &Reach, actions: BTreeSet<&'static str>, suffix: &str) -> Self {
        let filled = |texts: &[&str]| texts.iter().map(|text| text.replace("{suffix}", suffix)).collect();
        let conditions = reach.conditions.iter().map(|one| (one.operator, one.key, filled(one.values))).collect();
        Self { name: reach.name, actions, objects: filled(reach.objects), conditions }
    }

    /// The statement as policies write it.
    fn document(&self) -> Value {
        let mut statement = json!({
            "Sid": self.name, "Effect": "Allow", "Action": self.actions, "Resource": self.objects,
        });
        let mut conditions: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
        for (operator, key, values) in &self.conditions {
            conditions.entry(operator).or_default().insert((*key).to_owned(), json!(values));
        }
        if !conditions.is_empty() {
            statement["Condition"] = json!(conditions);
        }
        statement
    }
}

/// The statements that allow these actions for a deployment. The suffix may have wildcards.
pub fn statements(actions: impl IntoIterator<Item = &'static str>, suffix: &str) -> Vec<Statement> {
    let mut by_name: BTreeMap<&str, BTreeSet<&'static str>> = BTreeMap::new();
    for action in actions {
        for reach in reach::reaches(action) {
            by_name.entry(reach.name).or_default().insert(action);
        }
    }
    let statement = |reach: &Reach| Some(Statement::new(reach, by_name.get(reach.name)?.clone(), suffix));
    merged(std::iter::once(&EVERYTHING).chain(REACHES).filter_map(statement))
}

/// Puts together what is allowed on everything without a condition.
fn merged(statements: impl Iterator<Item = Statement>) -> Vec<Statement> {
    let (open, narrow): (Vec<_>, Vec<_>) =
        statements.partition(|one| one.objects == ["*"] && one.conditions.is_empty());
    let mut open = open.into_iter();
    let first = open.next().map(|first| {
        let actions = open.fold(first.actions, |actions, one| &actions | &one.actions);
        Statement { name: EVERYTHING.name, actions, ..first }
    });
    first.into_iter().chain(narrow).collect()
}

/// The policies that hold these statements, as few as their size allows.
pub fn documents(statements: &[Statement]) -> Vec<Value> {
    let mut documents: Vec<Vec<Value>> = Vec::new();
    for statement in statements.iter().map(Statement::document) {
        let fits = |open: &&mut Vec<Value>| {
            let all: Vec<Value> = open.iter().chain([&statement]).cloned().collect();
            size(&policy(&all)) <= LARGEST_POLICY
        };
        match documents.last_mut().filter(fits) {
            Some(open) => open.push(statement),
            None => documents.push(vec![statement]),
        }
    }
    documents.iter().map(|statements| policy(statements)).collect()
}

fn policy(statements: &[Value]) -> Value {
    json!({ "Version": "2012-10-17", "Statement": statements })
}

/// The size of a policy as AWS counts it.
pub fn size(policy: &Value) -> usize {
    policy.to_string().chars().filter(|character| !character.is_whitespace()).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::KINDS;
    use crate::topology::Names;

    fn all() -> BTreeSet<&'static str> {
        let kinds = KINDS.iter().map(|kind| kind.traits().permissions);
        kinds.chain([OWN]).flat_map(|permissions| permissions.read.iter().chain(permissions.change).copied()).collect()
    }

    /// What AWS's own reference of actions says, so that no table of ours is its own judge.
    fn reference() -> Map<String, Value> {
        whole_reference()["actions"].as_object().unwrap().clone()
    }

    fn whole_reference() -> Value {
        serde_json::from_str(include_str!("reference/service-authorization.json")).unwrap()
    }

    fn listed<'a>(entry: &'a Value, field: &str) -> impl Iterator<Item = &'a str> {
        entry[field].as_array().unwrap().iter().map(|one| one.as_str().unwrap())
    }

    #[test]
    fn every_action_is_one_that_aws_knows() {
        let reference = reference();
        for action in all() {
            assert!(
                reference.contains_key(action),
                "{action}: misspelt, or reference/service_authorization.py is to be run"
            );
        }
    }

    /// Actions that AWS asks for only in cases that no plan has: actions, what they depend on, why it is not needed.
    const EXCUSED: &[(&str, &str, &str)] = &[
        ("backup:*BackupPlan", "iam:PassRole", "no role is in a plan; the selection passes it"),
        ("ec2:CreateFlowLogs", "ecs:*", "no flow log is of a service of ECS"),
        ("lambda:CreateFunction", "lambda:PassCapacityProvider", "no function runs on instances of our own"),
        ("rds:*", "iam:PassRole", "no role for monitoring, a directory or S3 is set"),
        ("rds:*", "secretsmanager:*", "drctl makes the password, RDS doesn't"),
        ("rds:*", "rds:*TenantDatabase", "that is for Oracle"),
        (
            "rds:*Cluster",
            "rds:*DBInstance",
            "that is for Multi-AZ clusters; Aurora's instances are a kind of their own",
        ),
        ("rds:*Instance", "kms:*", "storage of Aurora's instances is encrypted by their cluster"),
        ("rds:ModifyDBCluster", "kms:*", "a key is never changed in place"),
        (
            "rds:CreateDBCluster",
            "kms:GenerateDataKey",
            "that is for a password that RDS makes, and for activity streams",
        ),
        ("rds:DeleteDBInstance", "rds:CreateDBSnapshot", "Aurora's instances have no snapshots of their own"),
        ("route53:*", "ec2:DescribeVpcs", "our zones are public"),
        ("sns:*", "iam:PassRole", "no role for delivery logs is set"),
    ];

    /// A kind has all that its own actions depend on, as AWS's reference says, also when it is the only kind that changes.
    #[test]
    fn what_actions_depend_on_is_declared_by_the_same_kind() {
        let reference = reference();
        let fits = |pattern: &str, action: &str| matches(pattern, action);
        let (mut missing, mut used) = (Vec::new(), BTreeSet::new());
        for kind in KINDS.iter() {
            let Permissions { read, change } = kind.traits().permissions;
            let declared: BTreeSet<&str> = read.iter().chain(change).copied().collect();
            for action in &declared {
                let Some(entry) = reference.get(*action) else { continue };
                for needed in listed(entry, "dependent").filter(|needed| !declared.contains(needed)) {
                    match EXCUSED.iter().find(|(of, what, _)| fits(of, action) && fits(what, needed)) {
                        Some(excuse) => _ = used.insert(excuse),
                        None => missing.push(format!("{}: {action} needs {needed}", kind.traits().name)),
                    }
                }
            }
        }
        assert!(missing.is_empty(), "{missing:#?}");
        let idle: Vec<_> = EXCUSED.iter().filter(|excuse| !used.contains(excuse)).collect();
        assert!(idle.is_empty(), "these excuse nothing: {idle:?}");
    }

    /// What only looks is what AWS's reference calls reading or listing.
    #[test]
    fn looking_changes_nothing_by_the_word_of_aws() {
        let reference = reference();
        for kind in KINDS.iter() {
            for action in kind.traits().permissions.read.iter().filter(|action| !action.starts_with("apigateway:")) {
                let access = reference[*action]["access"].as_str().unwrap();
                assert!(["Read", "List"].contains(&access), "{}: {action} is {access}", kind.traits().name);
            }
        }
    }

    /// What of a statement allows nothing, by AWS's reference: an action on objects that it is not for, an object that
    /// none of the actions is for, a condition on what AWS does not tell of the action.
    fn idle(statement: &Statement, reference: &Value) -> Vec<String> {
        let wild = |text: &str| {
            let mut parts = text.split("${");
            let first = parts.next().unwrap_or_default().to_owned();
            parts.fold(first, |all, part| all + "*" + part.split_once('}').map_or("", |(_, rest)| rest))
        };
        let mut idle = Vec::new();
        let mut reached = BTreeSet::new();
        for action in &statement.actions {
            let (entry, service) = (&reference["actions"][*action], action.split(':').next().unwrap());
            let types: Vec<&Value> =
                listed(entry, "resources").map(|name| &reference["types"][format!("{service}:{name}")]).collect();
            let forms: Vec<String> = types.iter().map(|one| wild(one["arn"].as_str().unwrap())).collect();
            let hit = |object: &&String| *object == "*" || forms.iter().any(|form| parts_overlap(object, form));
            let hits: Vec<&String> = statement.objects.iter().filter(hit).collect();
            if hits.is_empty() {
                idle.push(format!("{}: {action} is for none of the objects, but for {forms:?}", statement.name));
            }
            reached.extend(hits);
            let known: BTreeSet<&str> =
                std::iter::once(entry).chain(types).flat_map(|of| listed(of, "conditions")).collect();
            for (_, key, _) in &statement.conditions {
                let key =
                    key.split_once("Tag/").map_or((*key).to_owned(), |(start, _)| format!("{start}Tag/${{TagKey}}"));
                if !known.contains(key.as_str()) {
                    idle.push(format!("{}: {action} does not know {key}", statement.name));
                }
            }
        }
        // Of API Gateway's two versions, which share their actions, the fixture's source has most objects of the second alone.
        let is_told = |object: &&String| !object.starts_with("arn:aws:apigateway:");
        let unreached = statement.objects.iter().filter(is_told).filter(|object| !reached.contains(object));
        idle.extend(unreached.map(|object| format!("{}: no action is for {object}", statement.name)));
        idle
    }

    /// Tells whether some ARN matches both patterns: part by part, because a `*` does not reach over a colon between the six.
    fn parts_overlap(one: &str, other: &str) -> bool {
        one.splitn(6, ':').zip(other.splitn(6, ':')).all(|(one, other)| overlap(one, other))
    }

    /// Tells whether some text matches both patterns, in which `*` stands for any text.
    fn overlap(one: &str, other: &str) -> bool {
        let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
        // Whether the patterns from these places on overlap, the last places first.
        let mut table = vec![vec![false; other.len() + 1]; one.len() + 1];
        for i in (0..=one.len()).rev() {
            for j in (0..=other.len()).rev() {
                let (a, b) = (one.get(i), other.get(j));
                table[i][j] = match (a, b) {
                    (None, None) => true,
                    (Some('*'), _) => table[i + 1][j] || (b.is_some() && table[i][j + 1]),
                    (_, Some('*')) => table[i][j + 1] || (a.is_some() && table[i + 1][j]),
                    (Some(a), Some(b)) => a == b && table[i + 1][j + 1],
                    _ => false,
                };
            }
        }
        table[0][0]
    }

    /// A right on an object that AWS does not have for the action, or under a condition that it does not tell, is none.
    #[test]
    fn every_statement_is_for_objects_and_conditions_that_aws_has() {
        let reference = whole_reference();
        let idle: Vec<String> = statements(all(), "dev").iter().flat_map(|one| self::idle(one, &reference)).collect();
        assert!(idle.is_empty(), "{idle:#?}");
    }

    #[test]
    fn a_statement_that_allows_nothing_is_noticed() {
        let told = |actions: &[&'static str], object: &str, key: Option<&'static str>| {
            let conditions = key.map(|key| ("StringLike", key, vec!["dev".to_owned()])).into_iter().collect();
            let (actions, objects) = (actions.iter().copied().collect(), vec![object.to_owned()]);
            idle(&Statement { name: "Made", actions, objects, conditions }, &whole_reference()).join("; ")
        };
        let queue = "arn:aws:sqs:*:*:dr-*-dev";
        assert_eq!(told(&["sqs:CreateQueue"], queue, Some("aws:ResourceTag/drctl:deployment")), "");
        assert!(told(&["rds:DeleteDBInstance"], "arn:aws:rds:*:*:cluster:dr-*", None).contains("is for none of"));
        assert!(told(&["sns:CreateTopic"], queue, None).contains("no action is for arn:aws:sqs"));
        assert!(told(&["ec2:DescribeVpcs"], "arn:aws:ec2:*:*:vpc/*", None).contains("is for none of"));
        assert!(told(&["sqs:CreateQueue"], queue, Some("kms:ViaService")).contains("does not know kms:ViaService"));
    }

    /// Invariant 1.
    #[test]
    fn every_action_is_allowed_somewhere() {
        let allowed: BTreeSet<&str> = statements(all(), "dev").into_iter().flat_map(|one| one.actions).collect();
        assert_eq!(allowed, all());
    }

    /// Invariant 3, for the longest suffix there is.
    #[test]
    fn every_document_fits_into_a_managed_policy() {
        for document in documents(&statements(all(), "abcdefghijklmnop")) {
            assert!(size(&document) <= LARGEST_POLICY, "{}", size(&document));
        }
    }

    #[test]
    fn the_longest_pattern_decides_and_equals_add_up() {
        let names = |action| reach::reaches(action).iter().map(|reach| reach.name).collect::<Vec<_>>();
        assert_eq!(names("sns:Subscribe"), ["Topics"]);
        assert_eq!(names("sns:Unsubscribe"), ["Subscriptions"]);
        assert_eq!(names("ec2:CreateSubnet"), ["NewNetworks", "OwnNetworks"]);
        assert_eq!(names("sts:GetCallerIdentity"), ["Everything"]);
    }

    /// A misspelt action would narrow nothing.
    #[test]
    fn every_reach_is_for_some_action() {
        for reach in REACHES {
            for pattern in reach.actions {
                let start = pattern.trim_end_matches('*');
                let named = all().into_iter().any(|action| match *pattern == start {
                    true => action == start,
                    false => action.starts_with(start),
                });
                assert!(named, "no kind declares {pattern}, which {} is for", reach.name);
            }
        }
    }

    /// The names that policies allow are the names that objects get.
    #[test]
    fn the_names_of_a_deployment_are_within_reach() {
        let names = Names::new("dev", "123456789012", "example.com");
        let region = "us-east-1";
        let balancer = format!("loadbalancer/app/{}/50dc6c495c0c9188", names.elb("alb", region));
        let group = format!("targetgroup/{}/6d0ecf831eec9f09", names.elb("payment_processor", region));
        let regional = |service: &str| names.regional(service, region);
        for (action, arn) in [
            ("dynamodb:CreateTable", names.table_arn(region)),
            ("lambda:CreateFunction", names.function_arn("payment_processor", region)),
            ("logs:CreateLogGroup", names.log_group_arn(&names.function_logs("health_check", region), region)),
            ("logs:TagResource", names.log_group_arn("/aws/rds/cluster/dr-aurora-us-east-1-dev/postgresql", region)),
            ("logs:PutRetentionPolicy", format!("{}:*", names.log_group_arn(&names.flow_logs(region), region))),
            ("s3:CreateBucket", names.bucket_arn(region)),
            ("s3:DeleteObject", format!("{}/receipts/1", names.bucket_arn(region))),
            ("events:CreateEventBus", names.bus_arn(region)),
            ("events:PutRule", names.rule_arn(&regional("forward"), region)),
            ("sqs:CreateQueue", names.queue_arn(&regional("dead-letter"), region)),
            ("sns:CreateTopic", names.topic_arn(&regional("failover"), region)),
            ("iam:CreateRole", names.role_arn(&regional("backup"))),
            ("iam:PassRole", names.role_arn(&regional("flow-logs"))),
            ("rds:CreateDBCluster", names.arn("rds", region, &format!("cluster:{}", regional("aurora")))),
            ("rds:CreateGlobalCluster", format!("arn:aws:rds::123456789012:global-cluster:{}", names.shared())),
            (
                "secretsmanager:CreateSecret",
                names.arn("secretsmanager", region, &format!("secret:{}-AbCdEf", names.secret("aurora"))),
            ),
            (
                "cloudwatch:PutMetricAlarm",
                names.arn("cloudwatch", region, &format!("alarm:{}", regional("api-errors"))),
            ),
            ("backup:CreateBackupVault", names.arn("backup", region, &format!("backup-vault:{}", regional("backup")))),
            ("kms:CreateAlias", names.arn("kms", region, &format!("alias/{}", names.shared()))),
            ("elasticloadbalancing:CreateLoadBalancer", names.arn("elasticloadbalancing", region, &balancer)),
            ("elasticloadbalancing:CreateTargetGroup", names.arn("elasticloadbalancing", region, &group)),
        ] {
            let statements = statements([action], "dev");
            let reached = statements.iter().flat_map(|one| &one.objects).any(|pattern| matches(pattern, &arn));
            assert!(reached, "{action} does not reach {arn}");
            let foreign = arn.replace("-dev", "-qa");
            let reached = statements.iter().flat_map(|one| &one.objects).any(|pattern| matches(pattern, &foreign));
            assert!(!reached || action.starts_with("elasticloadbalancing"), "{action} reaches {foreign}");
        }
    }

    /// Matches as IAM does: `*` stands for any text.
    fn matches(pattern: &str, text: &str) -> bool {
        match pattern.split_once('*') {
            None => pattern == text,
            Some((start, rest)) => text.strip_prefix(start).is_some_and(|text| {
                text.char_indices().map(|(at, _)| at).chain([text.len()]).any(|at| matches(rest, &text[at..]))
            }),
        }
    }
}
