//! AWS says what is not so: that nothing is there, that a thing is there twice, that a deletion has happened. And the state says what is not
//! so: that somebody else's objects are ours. Nobody loses anything by it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{LocalAws, Workspace};
use crate::story::census;

const UP: [&str; 4] = ["up", "--suffix", "dev", "--yes"];
const DOWN: [&str; 4] = ["down", "--suffix", "dev", "--yes"];

/// What answers do not tell, one after the other.
const FALSEHOODS: [&str; 5] = ["empty", "nothing", "doubled", "partial", "gone"];

/// What makes an object that holds data.
const MAKING_DATA: [&str; 8] = [
    "CreateTable",
    "CreateDBCluster",
    "CreateGlobalCluster",
    "CreateBucket",
    "CreateKey",
    "ReplicateKey",
    "CreateSecret",
    "CreateBackupVault",
];

/// Whether an operation takes something away. Tags are not among it.
fn takes_away(operation: &str) -> bool {
    let words = [
        "Delete",
        "Remove",
        "Release",
        "Revoke",
        "Disassociate",
        "Detach",
        "Deregister",
        "Schedule",
        "Cancel",
        "Failover",
    ];
    words.iter().any(|word| operation.starts_with(word)) && !operation.ends_with("Tags")
}

/// Every so many reads of an `up` that has nothing to do, by turns with each falsehood: nothing is deleted, and nothing that holds data is
/// made without leave. Returns what went wrong.
fn sweep(aws: &LocalAws, workspace: &Workspace<'_>, first: usize, step: usize) -> Vec<String> {
    aws.forget_calls();
    workspace.drctl(&UP).expect(0).shows(&["no changes"]);
    let reads = aws.calls(false).len();
    assert!(reads > 100, "an up looks at everything: {reads} reads");
    let mut wrong = Vec::new();
    for (turn, read) in (first..=reads).step_by(step).enumerate() {
        let answers = if step == 1 { &FALSEHOODS[..] } else { &FALSEHOODS[(first + turn) % FALSEHOODS.len()..][..1] };
        for answer in answers {
            aws.scenarios(&json!({ "names": ["false-answers"], "false_answer": { "answer": answer, "read": read } }));
            aws.forget_calls();
            let run = workspace.drctl(&UP);
            let calls = aws.calls(true);
            let names = calls.iter().filter_map(|call| call["operation"].as_str());
            let harm: BTreeSet<&str> = names.filter(|name| takes_away(name) || MAKING_DATA.contains(name)).collect();
            aws.scenarios(&json!({ "names": [] }));
            if !harm.is_empty() || run.code.is_none_or(|code| code == 70) {
                let read = aws.calls(false).into_iter().find(|call| call["scenario"] == "false-answers");
                let read = read.map_or("?".to_owned(), |call| format!("{}:{}", call["service"], call["operation"]));
                wrong.push(format!("{answer} {read}: {harm:?}, exit {:?}: {}", run.code, run.stderr));
            }
            // What it made on the way is not the next one's fault.
            if !calls.is_empty() {
                workspace.drctl(&[&UP[..], &["--allow-data-loss"]].concat()).expect(0);
            }
        }
    }
    wrong
}

/// The life of a deployment to whom AWS and its own state do not tell the truth.
#[test]
fn nobody_loses_anything_by_what_is_not_so() {
    let aws = LocalAws::start();
    let workspace = aws.workspace();
    workspace.drctl(&UP).expect(0);
    assert_eq!(sweep(&aws, &workspace, 7, 24), Vec::<String>::new());
    a_list_without_end_is_an_error(&aws, &workspace);
    roles_are_found_by_name_where_lists_of_all_are_not_allowed(&aws, &workspace);
    a_state_that_names_objects_of_others_ends_a_run(&aws, &workspace);
    what_somebody_else_uses_now_ends_a_run(&aws, &workspace);
    a_second_nat_gateway_is_named_and_removed_when_asked(&aws, &workspace);
    an_old_state_put_back_leaves_nothing(&aws, &workspace);
}

#[test]
#[ignore = "takes an hour"]
fn nobody_loses_anything_by_any_answer_that_is_not_so() {
    let aws = LocalAws::start();
    let workspace = aws.workspace();
    workspace.drctl(&UP).expect(0);
    let step = std::env::var("DRCTL_STRIDE").map_or(1, |text| text.parse().expect("DRCTL_STRIDE is a number"));
    let wrong = sweep(&aws, &workspace, 1, step);
    assert_eq!(wrong, Vec::<String>::new(), "{} answers did harm", wrong.len());
}

/// The lists that a look at a whole deployment reads, of those that the local AWS pages.
const LISTS: [&str; 21] = [
    "apigateway:GetBasePathMappings",
    "apigateway:GetDeployments",
    "apigateway:GetDomainNames",
    "apigateway:GetResources",
    "apigateway:GetRestApis",
    "backup:ListBackupVaults",
    "elasticloadbalancing:DescribeLoadBalancers",
    "elasticloadbalancing:DescribeRules",
    "elasticloadbalancing:DescribeTargetGroups",
    "events:ListRules",
    "events:ListTargetsByRule",
    "iam:GetAccountAuthorizationDetails",
    "iam:ListRoles",
    "kms:ListAliases",
    "logs:DescribeLogGroups",
    "rds:DescribeDBClusterParameters",
    "rds:DescribeDBClusters",
    "rds:DescribeDBInstances",
    "rds:DescribeGlobalClusters",
    "route53:ListHealthChecks",
    "tagging:GetResources",
];

/// A list whose next page is itself is neither read for ever nor taken for whole.
fn a_list_without_end_is_an_error(aws: &LocalAws, workspace: &Workspace<'_>) {
    let mut wrong = Vec::new();
    for operation in LISTS {
        let order = json!({ "answer": "endless", "operation": operation, "times": 1000 });
        aws.scenarios(&json!({ "names": ["false-answers"], "false_answer": order }));
        aws.forget_calls();
        let run = workspace.drctl(&["plan", "--suffix", "dev"]);
        let falsified = aws.calls(false).iter().filter(|call| call["scenario"] == "false-answers").count();
        let is_told = run.stderr.contains(&format!("the pages of {} have no end", told_name(operation)));
        if run.code != Some(1) || !is_told || !(1..200).contains(&falsified) {
            wrong.push(format!("{operation}: {falsified} answers, exit {:?}: {}", run.code, run.stderr));
        }
    }
    aws.scenarios(&json!({ "names": [] }));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// An operation as drctl names it: the tagging service by its name in policies.
fn told_name(operation: &str) -> String {
    operation.replace("tagging:", "tag:")
}

/// Who may not read the roles of the whole account reads those of the deployment by their names, and sees the same.
fn roles_are_found_by_name_where_lists_of_all_are_not_allowed(aws: &LocalAws, workspace: &Workspace<'_>) {
    for operation in ["iam:GetAccountAuthorizationDetails", "iam:ListRoles"] {
        let order = json!({ "answer": "denied", "operation": operation, "times": 1000 });
        aws.scenarios(&json!({ "names": ["false-answers"], "false_answer": order }));
        aws.forget_calls();
        workspace.drctl(&["plan", "--suffix", "dev", "--detailed-exitcode"]).expect(0).shows(&["no changes"]);
        let calls = aws.calls(false);
        let count = |name: &str| calls.iter().filter(|call| call["operation"] == name).count();
        assert!(calls.iter().any(|call| call["scenario"] == "false-answers"), "{operation} is refused");
        assert!(count("GetRole") > 3 && count("GetRolePolicy") > 3, "roles and policies are read one by one");
    }
    // What differs is seen there as well.
    let role = r#"boto3.client("iam", region_name="us-east-1").update_role(RoleName="dr-payment_processor-us-east-1-dev", Description="theirs")"#;
    aws.python(&format!("{role}\nresult = None"));
    let changed = ["plan", "--suffix", "dev", "--detailed-exitcode"];
    workspace.drctl(&changed).expect(2).shows(&["~ global/iam_role/", "description"]);
    aws.scenarios(&json!({ "names": [] }));
    workspace.drctl(&UP).expect(0);
}

/// An alias that stands for somebody else's key, and a record in the user's zone that has another value, are no longer ours.
fn what_somebody_else_uses_now_ends_a_run(aws: &LocalAws, workspace: &Workspace<'_>) {
    let run = |code: &str| {
        aws.python(&format!(
            r#"
kms, alias = boto3.client("kms", region_name="us-east-1"), "alias/dr-payments-dev"
def target():
    return [one["TargetKeyId"] for one in kms.list_aliases()["Aliases"] if one["AliasName"] == alias][0]
route53 = boto3.client("route53", region_name="us-east-1")
parent = [one["Id"] for one in route53.list_hosted_zones()["HostedZones"] if one["Name"] == "example.com."][0]
def delegate(servers):
    records = [{{"Value": server}} for server in servers]
    record = {{"Name": "dr-payments-dev.example.com.", "Type": "NS", "TTL": 300, "ResourceRecords": records}}
    changes = [{{"Action": "UPSERT", "ResourceRecordSet": record}}]
    route53.change_resource_record_sets(HostedZoneId=parent, ChangeBatch={{"Changes": changes}})
def delegated():
    records = route53.list_resource_record_sets(HostedZoneId=parent)["ResourceRecordSets"]
    record = [one for one in records if (one["Name"], one["Type"]) == ("dr-payments-dev.example.com.", "NS")][0]
    return [one["Value"] for one in record["ResourceRecords"]], record["TTL"]
{code}
"#
        ))
    };
    let ours = run("result = target()").as_str().expect("an id").to_owned();
    let theirs = run(
        "kms.update_alias(AliasName=alias, TargetKeyId=kms.create_key()[\"KeyMetadata\"][\"KeyId\"])\nresult = target()",
    );
    aws.forget_calls();
    for arguments in [&DOWN, &UP] {
        let refused = workspace.drctl(arguments).expect(5);
        refused.shows(&["us-east-1/kms_alias/main", theirs.as_str().expect("an id"), "nothing was changed"]);
    }
    assert_eq!(aws.calls(true), Vec::<Value>::new());
    run(&format!("kms.update_alias(AliasName=alias, TargetKeyId={ours:?})\nresult = None"));

    let before = run("result = delegated()");
    run("delegate([\"ns1.elsewhere.example\", \"ns2.elsewhere.example\"])\nresult = None");
    aws.forget_calls();
    let refused = workspace.drctl(&DOWN).expect(5);
    refused.shows(&["global/route53_record/delegation", "not as recorded", "nothing was changed"]);
    assert_eq!(aws.calls(true), Vec::<Value>::new());
    run(&format!("delegate(json.loads({:?}))\nresult = None", before[0].to_string()));
    workspace.drctl(&UP).expect(0).shows(&["no changes"]);
}

/// Lets a record name another object wherever it names its own by an output.
fn point_at(record: &mut Value, output: &str, with: &str) {
    let own = record["outputs"][output].as_str().expect("the record has the output").to_owned();
    *record = serde_json::from_str(&record.to_string().replace(&own, with)).expect("it stays JSON");
}

/// Invariant 4 of `changes`.
fn a_state_that_names_objects_of_others_ends_a_run(aws: &LocalAws, workspace: &Workspace<'_>) {
    let theirs = aws.python(
        r#"
s3, kms, ec2 = boto3.client("s3", region_name="us-east-1"), boto3.client("kms", region_name="us-east-1"), boto3.client("ec2", region_name="us-east-1")
s3.create_bucket(Bucket="their-payments")
s3.put_object(Bucket="their-payments", Key="all", Body=b"data")
key = kms.create_key()["KeyMetadata"]
vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"])
result = {"key_id": key["KeyId"], "vpc": vpc, "table": table}
"#,
    );
    let path = workspace.path("state/dev.json");
    let good = std::fs::read_to_string(&path).expect("the state can be read");
    let mut state: Value = serde_json::from_str(&good).expect("the state is JSON");
    let records = state["records"].as_object_mut().expect("there are records");
    for (address, output, with) in [
        ("us-east-1/s3_bucket/payment-data", "name", "their-payments"),
        ("us-east-1/ec2_vpc/vpc", "id", theirs["vpc"].as_str().expect("an id")),
        ("us-east-1/kms_key/main", "id", theirs["key_id"].as_str().expect("an ARN")),
    ] {
        let Some(record) = records.get_mut(address) else { panic!("{address} is on record: {:?}", records.keys()) };
        point_at(record, output, with);
    }
    let route = records.keys().find(|key| key.starts_with("us-east-1/ec2_route/")).expect("there are routes").clone();
    let record = &mut records[&route];
    point_at(record, "table", theirs["table"].as_str().expect("an id"));
    // What a person writes who accepts an edit.
    state["checksum"] = json!("edited");
    let edited = serde_json::to_string_pretty(&state).expect("JSON");
    workspace.put_state("dev", &edited);
    aws.forget_calls();
    for arguments in [&DOWN, &UP] {
        let run = workspace.drctl(arguments).expect(5);
        let run = run.shows(&["us-east-1/s3_bucket/payment-data", "their-payments", "us-east-1/kms_key/main", &route]);
        run.shows(&["state forget", "nothing was changed"]);
    }
    assert_eq!(aws.calls(true), Vec::<Value>::new(), "nothing is touched beside what is not ours");
    workspace.put_state("dev", &good);
    workspace.drctl(&UP).expect(0).shows(&["no changes"]);
}

/// A request that was carried out twice.
fn a_second_nat_gateway_is_named_and_removed_when_asked(aws: &LocalAws, workspace: &Workspace<'_>) {
    let twin = aws.python(
        r#"
ec2 = boto3.client("ec2", region_name="us-east-1")
one = [one for one in ec2.describe_nat_gateways()["NatGateways"] if one["State"] == "available"][0]
address = ec2.allocate_address(Domain="vpc")["AllocationId"]
tags = [{"ResourceType": "natgateway", "Tags": one["Tags"]}]
made = ec2.create_nat_gateway(SubnetId=one["SubnetId"], AllocationId=address, TagSpecifications=tags)
result = made["NatGateway"]["NatGatewayId"]
"#,
    );
    let twin = twin.as_str().expect("an id");
    let is_there = || {
        let state = aws.python(&format!(
            r#"result = [one["State"] for one in boto3.client("ec2", region_name="us-east-1").describe_nat_gateways(NatGatewayIds=[{twin:?}])["NatGateways"]]"#
        ));
        state == json!(["available"])
    };
    workspace.drctl(&["status", "--suffix", "dev"]).expect(0).shows(&["exists twice", twin, "--remove-twins"]);
    workspace.drctl(&["plan", "--suffix", "dev"]).expect(0).shows(&["exists twice", twin, "no changes"]);
    workspace.drctl(&UP).expect(0).shows(&["no changes"]);
    assert!(is_there(), "nobody asked for its removal");
    workspace.drctl(&[&UP[..], &["--remove-twins"]].concat()).expect(0).shows(&["1 deleted"]);
    assert!(!is_there(), "the one that is not on record went");
    workspace.drctl(&UP).expect(0).shows(&["no changes"]);
}

/// The deployment was made anew since, so the state has ids of objects that are gone.
fn an_old_state_put_back_leaves_nothing(aws: &LocalAws, workspace: &Workspace<'_>) {
    let old = std::fs::read_to_string(workspace.path("state/dev.json")).expect("the state can be read");
    workspace.drctl(&DOWN).expect(0);
    workspace.drctl(&UP).expect(0);
    workspace.put_state("dev", &old);
    workspace.drctl(&DOWN).expect(0).shows(&["more that were still there"]);
    assert_eq!(census(aws, "dev"), Vec::<String>::new(), "the last look found everything");
}
