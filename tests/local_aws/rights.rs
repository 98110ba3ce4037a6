//! What drctl calls, what its policies allow, and what happens when something is not allowed.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::{LocalAws, Workspace};

const PLAN: &str = "plans/payments.toml";

/// Operations whose rights are named otherwise, or that need more than one.
const OTHERWISE: &[(&str, &str, &[&str])] = &[
    ("s3", "CreateBucket", &["s3:CreateBucket", "s3:TagResource"]),
    ("s3", "DeleteBucketLifecycle", &["s3:PutLifecycleConfiguration"]),
    ("s3", "DeleteBucketReplication", &["s3:PutReplicationConfiguration"]),
    ("s3", "DeleteObjects", &["s3:DeleteObject", "s3:DeleteObjectVersion"]),
    ("s3", "GetBucketEncryption", &["s3:GetEncryptionConfiguration"]),
    ("s3", "GetBucketLifecycleConfiguration", &["s3:GetLifecycleConfiguration"]),
    ("s3", "GetBucketReplication", &["s3:GetReplicationConfiguration"]),
    ("s3", "GetPublicAccessBlock", &["s3:GetBucketPublicAccessBlock"]),
    ("s3", "HeadBucket", &["s3:ListBucket"]),
    ("s3", "ListMultipartUploads", &["s3:ListBucketMultipartUploads"]),
    ("s3", "ListObjectVersions", &["s3:ListBucketVersions"]),
    ("s3", "PutBucketEncryption", &["s3:PutEncryptionConfiguration"]),
    ("s3", "PutBucketLifecycleConfiguration", &["s3:PutLifecycleConfiguration"]),
    ("s3", "PutBucketReplication", &["s3:PutReplicationConfiguration", "iam:PassRole"]),
    ("s3", "PutPublicAccessBlock", &["s3:PutBucketPublicAccessBlock"]),
    ("apigateway", "TagResource", &["apigateway:PUT"]),
    ("apigateway", "UntagResource", &["apigateway:DELETE"]),
    ("lambda", "Invoke", &["lambda:InvokeFunction"]),
    ("lambda", "CreateFunction", &["lambda:CreateFunction", "lambda:TagResource", "iam:PassRole"]),
    ("kms", "ReplicateKey", &["kms:ReplicateKey", "kms:CreateKey", "kms:TagResource"]),
    ("events", "PutTargets", &["events:PutTargets", "iam:PassRole"]),
    ("backup", "CreateBackupSelection", &["backup:CreateBackupSelection", "iam:PassRole"]),
    ("backup", "CreateBackupVault", &["backup:CreateBackupVault", "backup-storage:MountCapsule", "backup:TagResource"]),
];

/// What services need beside the operation when it makes an object with tags.
const TAGGING: &[(&str, &[&str], &str)] = &[
    ("acm", &["RequestCertificate"], "acm:AddTagsToCertificate"),
    ("backup", &["CreateBackupPlan"], "backup:TagResource"),
    ("cloudwatch", &["PutMetricAlarm"], "cloudwatch:TagResource"),
    ("dynamodb", &["CreateTable"], "dynamodb:TagResource"),
    ("ec2", &["AllocateAddress", "CreateNatGateway", "CreateSubnet", "CreateVpc"], "ec2:CreateTags"),
    ("elasticloadbalancing", &["CreateListener", "CreateLoadBalancer", "CreateRule"], "elasticloadbalancing:AddTags"),
    ("events", &["CreateEventBus", "PutRule"], "events:TagResource"),
    ("globalaccelerator", &["CreateAccelerator"], "globalaccelerator:TagResource"),
    ("iam", &["CreateRole"], "iam:TagRole"),
    ("kms", &["CreateKey"], "kms:TagResource"),
    ("logs", &["CreateLogGroup"], "logs:TagResource"),
    ("rds", &["CreateDBCluster", "CreateDBInstance", "CreateDBSubnetGroup"], "rds:AddTagsToResource"),
    ("secretsmanager", &["CreateSecret"], "secretsmanager:TagResource"),
    ("sns", &["CreateTopic"], "sns:TagResource"),
    ("sqs", &["CreateQueue"], "sqs:TagQueue"),
];

/// The rights that a call needs.
fn needed(call: &Value) -> Vec<String> {
    let operation = call["operation"].as_str().expect("a call has an operation");
    let service = match call["service"].as_str().expect("a call has a service") {
        "monitoring" => "cloudwatch",
        "tagging" => "tag",
        service => service,
    };
    if let Some((.., rights)) = OTHERWISE.iter().find(|(of, name, _)| (*of, *name) == (service, operation)) {
        return rights.iter().map(|right| (*right).to_owned()).collect();
    }
    if service == "apigateway" {
        let verbs = [("Get", "GET"), ("Create", "POST"), ("Update", "PATCH"), ("Put", "PUT"), ("Delete", "DELETE")];
        let verb = verbs.iter().find(|(start, _)| operation.starts_with(start));
        let (_, verb) = verb.unwrap_or_else(|| panic!("apigateway:{operation} is no known verb"));
        return vec![format!("apigateway:{verb}")];
    }
    let tagging = TAGGING.iter().find(|(of, names, _)| *of == service && names.contains(&operation));
    let tagging = tagging.map(|(.., right)| (*right).to_owned());
    std::iter::once(format!("{service}:{operation}")).chain(tagging).collect()
}

/// The policies for the deployment.
fn policies(workspace: &Workspace<'_>, arguments: &[&str]) -> Vec<Value> {
    let all = [&["iam-policy", "--suffix", "dev", "--plan", PLAN, "--output", "json"], arguments].concat();
    workspace.drctl(&all).expect(0).json()["policies"].as_array().expect("a list of policies").clone()
}

fn rights(policies: &[Value]) -> BTreeSet<String> {
    let statements = policies.iter().flat_map(|policy| policy["Statement"].as_array().expect("a list"));
    let actions = statements.flat_map(|statement| statement["Action"].as_array().expect("a list"));
    actions.map(|action| action.as_str().expect("a text").to_owned()).collect()
}

/// Demands that every call so far is allowed, and forgets them.
#[track_caller]
fn expect_allowed(aws: &LocalAws, rights: &BTreeSet<String>, what: &str) {
    let calls = aws.calls(false);
    assert!(!calls.is_empty(), "{what} made no calls");
    let missing: BTreeSet<String> = calls.iter().flat_map(needed).filter(|right| !rights.contains(right)).collect();
    assert!(missing.is_empty(), "{what} needs what the policy does not allow: {missing:#?}");
    aws.forget_calls();
}

/// Makes a user with these policies; returns the variables of its credentials.
fn user(aws: &LocalAws, name: &str, policies: &[Value]) -> [(String, String); 2] {
    let documents: Vec<String> = policies.iter().map(Value::to_string).collect();
    let key = aws.python(&format!(
        r#"
iam = boto3.client("iam", region_name="us-east-1")
iam.create_user(UserName={name:?})
for number, document in enumerate(json.loads({documents:?})):
    iam.put_user_policy(UserName={name:?}, PolicyName=f"rights-{{number}}", PolicyDocument=document)
key = iam.create_access_key(UserName={name:?})["AccessKey"]
result = [key["AccessKeyId"], key["SecretAccessKey"]]
"#,
        documents = serde_json::to_string(&documents).expect("texts are JSON"),
    ));
    let text = |index: usize| key[index].as_str().expect("a text").to_owned();
    [("AWS_ACCESS_KEY_ID".to_owned(), text(0)), ("AWS_SECRET_ACCESS_KEY".to_owned(), text(1))]
}

fn borrowed(variables: &[(String, String)]) -> Vec<(&str, &str)> {
    variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// The whole life of a deployment, by a user who has the printed policies and nothing else: AWS is asked before each run and has
/// nothing to object, and no call needs a right that the policies do not give.
#[test]
fn the_printed_policies_are_enough() {
    let aws = LocalAws::start();
    let workspace = aws.workspace();
    workspace.edit(PLAN, "emails = []", "emails = [\"oncall@example.com\"]");
    let (all, looking) = (policies(&workspace, &[]), policies(&workspace, &["--read-only"]));
    let deployer = user(&aws, "deployer", &all);
    let deployer = borrowed(&deployer);
    let (all, looking) = (rights(&all), rights(&looking));
    let drctl = |arguments: &[&str]| workspace.drctl_with(arguments, &deployer);
    aws.forget_calls();

    drctl(&["plan", "--suffix", "dev"]).expect(0);
    expect_allowed(&aws, &looking, "the first plan");
    drctl(&["up", "--suffix", "dev", "--yes"]).expect(0);
    let simulated = aws.calls(false).iter().filter(|call| call["operation"] == "SimulatePrincipalPolicy").count();
    assert!((1..=10).contains(&simulated), "asked {simulated} times what is allowed");
    expect_allowed(&aws, &all, "the first up");
    drctl(&["status"]).expect(0);
    drctl(&["plan", "--suffix", "dev", "--detailed-exitcode"]).expect(0);
    expect_allowed(&aws, &looking, "status and plan");

    drctl(&["up", "--suffix", "dev", "--yes"]).expect(0);
    assert!(aws.calls(false).iter().all(|call| call["operation"] != "SimulatePrincipalPolicy"), "nothing changes");
    expect_allowed(&aws, &looking, "an up that changes nothing");

    workspace.edit(PLAN, "memory_mb = 512", "memory_mb = 640");
    workspace.edit(PLAN, "noncurrent_days = 90", "noncurrent_days = 91");
    workspace.edit(PLAN, "cron(0 5 ", "cron(0 6 ");
    workspace.edit("lambda/health_check/index.py", "\"\"\"", "\"\"\" ");
    drctl(&["up", "--suffix", "dev", "--yes"]).expect(0);
    expect_allowed(&aws, &all, "an up that changes the plan");

    drctl(&["down", "--suffix", "dev", "--yes"]).expect(0);
    expect_allowed(&aws, &all, "down");
}

/// A plan that gave up what is still on record prints the rights to look at that and to take it away.
#[test]
fn the_policies_of_a_smaller_plan_are_enough_to_take_away_a_bigger_deployment() {
    let aws = LocalAws::start();
    let workspace = aws.workspace();
    workspace.drctl(&["up", "--suffix", "dev"]).expect(0);
    workspace.edit(PLAN, "\ndashboard = true", "\ndashboard = false");
    workspace.edit(PLAN, "\nnat = \"per-az\"", "\nnat = \"none\"");
    let (all, looking) = (policies(&workspace, &[]), policies(&workspace, &["--read-only"]));
    let leaver = user(&aws, "leaver", &all);
    let leaver = borrowed(&leaver);
    aws.forget_calls();

    workspace.drctl_with(&["plan", "--suffix", "dev"], &leaver).expect(0).shows(&["ec2_nat_gateway", "dashboard"]);
    expect_allowed(&aws, &rights(&looking), "a plan that gives up much");
    workspace.drctl_with(&["down", "--suffix", "dev", "--yes"], &leaver).expect(0);
    let gone: BTreeSet<_> = aws.calls(true).iter().map(|call| call["operation"].to_string()).collect();
    assert!(gone.contains("\"DeleteNatGateway\"") && gone.contains("\"DeleteDashboards\""), "{gone:?}");
    expect_allowed(&aws, &rights(&all), "a down of what the plan gave up");
}

#[test]
fn missing_rights_are_all_named_before_anything_is_changed() {
    let aws = LocalAws::start();
    let workspace = aws.workspace();
    let missing = ["dynamodb:CreateTable", "ec2:CreateVpc", "iam:PassRole", "kms:CreateGrant", "sqs:CreateQueue"];
    let mut policies = policies(&workspace, &[]);
    for statement in policies.iter_mut().flat_map(|policy| policy["Statement"].as_array_mut().expect("a list")) {
        let actions = statement["Action"].as_array_mut().expect("a list");
        actions.retain(|action| !missing.contains(&action.as_str().unwrap_or_default()));
        if actions.is_empty() {
            actions.push("sts:GetCallerIdentity".into());
        }
    }
    let apprentice = user(&aws, "apprentice", &policies);
    let apprentice = borrowed(&apprentice);
    aws.forget_calls();

    let refused = workspace.drctl_with(&["up", "--suffix", "dev", "--yes"], &apprentice).expect(3);
    for action in missing {
        assert!(refused.stderr.contains(&format!("{action} is not allowed")), "{action}: {}", refused.stderr);
    }
    assert_eq!(refused.stderr.matches("is not allowed").count(), missing.len(), "{}", refused.stderr);
    assert!(refused.stderr.contains("nothing was changed"), "{}", refused.stderr);
    assert!(aws.calls(true).is_empty(), "something was changed");
    assert!(!workspace.path("state/dev.json").exists());

    // Where IAM does not say, the run goes on: here because asking is denied, and because the user says so.
    workspace.drctl_with(&["up", "--suffix", "dev", "--yes", "--allow-missing-rights"], &apprentice).expect(0);
    let refused = workspace.drctl_with(&["down", "--suffix", "dev", "--yes"], &apprentice).expect(3);
    // A run that only deletes makes nothing, and is not asked for the rights to make.
    let refused = refused.shows(&["kms:CreateGrant is not allowed"]);
    assert!(!refused.stderr.contains("dynamodb:CreateTable"), "{}", refused.stderr);
    workspace.drctl(&["down", "--suffix", "dev", "--yes"]).expect(0);
}
