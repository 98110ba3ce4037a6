//! A deployment's life, as a user meets it.

use serde_json::{Value, json};

use crate::harness::{LocalAws, ODD_PLAN, Workspace};

/// Everything that has the deployment's name or tags, in both regions and the global services.
const CENSUS: &str = r#"
import os
found = []
def note(kind, name):
    if SUFFIX_MARK in json.dumps(name, default=str):
        found.append(f"{kind}: {name}")
for region in ["us-east-1", "us-east-2"]:
    def client(service):
        return boto3.client(service, region_name=region)
    ec2 = client("ec2")
    tagged = [{"Name": "tag:drctl:deployment", "Values": [SUFFIX]}]
    for kind, call, key in [
        ("vpc", ec2.describe_vpcs, "Vpcs"), ("subnet", ec2.describe_subnets, "Subnets"),
        ("route table", ec2.describe_route_tables, "RouteTables"), ("group", ec2.describe_security_groups, "SecurityGroups"),
        ("gateway", ec2.describe_internet_gateways, "InternetGateways"), ("address", ec2.describe_addresses, "Addresses"),
        ("endpoint", ec2.describe_vpc_endpoints, "VpcEndpoints"),
    ]:
        # Some calls of the emulator ignore filters.
        own = [one for one in call(Filters=tagged)[key] if {"Key": "drctl:deployment", "Value": SUFFIX} in one.get("Tags", [])]
        found += [f"{region} {kind}: {one}" for one in own]
    for nat in ec2.describe_nat_gateways(Filters=tagged)["NatGateways"]:
        if nat["State"] != "deleted":
            found.append(f"{region} nat: {nat['NatGatewayId']}")
    for name in client("dynamodb").list_tables()["TableNames"]: note("table", name)
    for one in client("rds").describe_db_clusters()["DBClusters"]: note("cluster", one["DBClusterIdentifier"])
    for one in client("rds").describe_db_instances()["DBInstances"]: note("instance", one["DBInstanceIdentifier"])
    for one in client("rds").describe_db_subnet_groups()["DBSubnetGroups"]: note("subnet group", one["DBSubnetGroupName"])
    for one in client("lambda").list_functions()["Functions"]: note("function", one["FunctionName"])
    for one in client("logs").describe_log_groups()["logGroups"]: note("log group", one["logGroupName"])
    for one in client("apigateway").get_rest_apis()["items"]: note("api", one["name"])
    for one in client("apigateway").get_domain_names()["items"]: note("domain", one["domainName"])
    for one in client("acm").list_certificates()["CertificateSummaryList"]: note("certificate", one["DomainName"])
    for one in client("elbv2").describe_load_balancers()["LoadBalancers"]: note("load balancer", one["LoadBalancerName"])
    for one in client("elbv2").describe_target_groups()["TargetGroups"]: note("target group", one["TargetGroupName"])
    for one in client("events").list_event_buses()["EventBuses"]: note("bus", one["Name"])
    for one in client("events").list_archives()["Archives"]: note("archive", one["ArchiveName"])
    for one in client("sqs").list_queues().get("QueueUrls", []): note("queue", one)
    for one in client("sns").list_topics()["Topics"]: note("topic", one["TopicArn"])
    for one in client("cloudwatch").describe_alarms()["MetricAlarms"]: note("alarm", one["AlarmName"])
    for one in client("cloudwatch").list_dashboards()["DashboardEntries"]: note("dashboard", one["DashboardName"])
    for one in client("secretsmanager").list_secrets()["SecretList"]: note("secret", one["Name"])
    for one in client("backup").list_backup_vaults()["BackupVaultList"]: note("vault", one["BackupVaultName"])
    for one in client("backup").list_backup_plans()["BackupPlansList"]: note("backup plan", one["BackupPlanName"])
    for one in client("kms").list_aliases()["Aliases"]: note("alias", one["AliasName"])
    # Deleted keys stay until their window is over; one that is not about to go is an orphan or a duplicate.
    for page in client("kms").get_paginator("list_keys").paginate():
        for one in page["Keys"]:
            key = client("kms").describe_key(KeyId=one["KeyId"])["KeyMetadata"]
            own = {"TagKey": "drctl:deployment", "TagValue": SUFFIX} in client("kms").list_resource_tags(KeyId=one["KeyId"])["Tags"]
            if own and key["KeyState"] not in ("PendingDeletion", "PendingReplicaDeletion"):
                found.append(f"{region} key: {one['KeyId']}")
for one in boto3.client("rds", region_name="us-east-1").describe_global_clusters()["GlobalClusters"]: note("global cluster", one["GlobalClusterIdentifier"])
for one in boto3.client("s3", region_name="us-east-1").list_buckets()["Buckets"]: note("bucket", one["Name"])
for one in boto3.client("iam", region_name="us-east-1").list_roles()["Roles"]: note("role", one["RoleName"])
for one in boto3.client("route53", region_name="us-east-1").list_hosted_zones()["HostedZones"]: note("zone", one["Name"])
for zone in boto3.client("route53", region_name="us-east-1").list_hosted_zones()["HostedZones"]:
    for one in boto3.client("route53", region_name="us-east-1").list_resource_record_sets(HostedZoneId=zone["Id"])["ResourceRecordSets"]: note("record", one["Name"])
for one in boto3.client("route53", region_name="us-east-1").list_health_checks()["HealthChecks"]: note("health check", one["HealthCheckConfig"])
for one in boto3.client("globalaccelerator", region_name="us-west-2").list_accelerators()["Accelerators"]: note("accelerator", one["Name"])
result = found
"#;

pub(crate) fn census(aws: &LocalAws, suffix: &str) -> Vec<String> {
    let found = aws.python(&format!("SUFFIX = {suffix:?}\nSUFFIX_MARK = '-' + SUFFIX\n{CENSUS}"));
    serde_json::from_value(found).expect("a list of texts")
}

/// Nothing is changed, nothing is called that could change something, and few calls are made.
#[track_caller]
fn expect_no_changes(workspace: &Workspace<'_>, suffix: &str) {
    workspace.aws.forget_calls();
    workspace.drctl(&["up", "--suffix", suffix]).expect(0).shows(&["no changes"]);
    assert_eq!(workspace.aws.calls(true), Vec::<Value>::new(), "an up without changes changes nothing");
    workspace.drctl(&["plan", "--suffix", suffix, "--detailed-exitcode"]).expect(0).shows(&["no changes"]);
}

fn payment(id: &str) -> Value {
    json!({ "transactionId": id, "customerId": "customer-7", "amount": "12.50", "currency": "EUR" })
}

/// Points 1 to 3 and 6 of a deployment's life: it is deployed, handles payments in both regions, is healthy, has no changes, and
/// goes without a trace; and all of that twice with the same suffix.
#[test]
fn a_deployment_lives_handles_payments_and_goes_without_a_trace() {
    let aws = LocalAws::start();
    let workspace = aws.workspace();
    for round in ["first", "second"] {
        aws.forget_calls();
        let up = workspace.drctl(&["up", "--suffix", "dev"]).expect(0);
        for output in ["global_accelerator_dns = \"", "route53_failover_domain = \"api.dr-payments-dev.example.com\""] {
            assert!(up.stdout.contains(output), "{}", up.stdout);
        }
        let records = workspace.drctl(&["state", "list", "--output", "json"]).expect(0).json();
        let resources = records.as_array().map_or_else(|| records["records"].as_array().map_or(0, Vec::len), Vec::len);
        assert!(resources > 200, "a deployment has {resources} resources only");
        let calls = aws.calls(false).len();
        assert!(calls * 10 <= resources * 22, "{calls} calls for {resources} resources");

        for region in ["us_east_1", "us_east_2"] {
            pay(&workspace, round, region);
        }
        let status = workspace.drctl(&["status", "--output", "json"]).expect(0).json();
        assert_eq!(status["counts"]["healthy"], json!(resources), "{status:#}");
        expect_no_changes(&workspace, "dev");
        // The `up` and the `plan` of that each looked at the deployment's own zone.
        let zones = aws.calls(false).iter().filter(|call| call["operation"] == "GetHostedZone").count();
        assert_eq!(zones, 2, "only the deployment's own zone is looked at");
        // Of what can only be listed by its parent there is one list of each, however many there are (`eb.list`).
        for (operation, parent) in [("ListRules", "/eventbridge_bus/"), ("ListTargetsByRule", "/eventbridge_rule/")] {
            let lists = aws.calls(false).iter().filter(|call| call["operation"] == operation).count();
            let parents = records["records"].as_array().expect("a list of records").iter();
            let parents = parents.filter(|record| record["address"].as_str().is_some_and(|text| text.contains(parent)));
            assert_eq!(lists, 2 * parents.count(), "{operation}");
        }

        workspace.drctl(&["down", "--suffix", "dev", "--yes"]).expect(0);
        assert_eq!(census(&aws, "dev"), Vec::<String>::new());
        assert!(!workspace.path("state/dev.json").exists());
    }
}

fn pay(workspace: &Workspace<'_>, round: &str, region: &str) {
    let aws = workspace.aws;
    let outputs = workspace.outputs("dev");
    let endpoint = aws.local_url(outputs[format!("api_endpoint_{region}")].as_str().expect("an endpoint"));
    let id = format!("{round}-{region}");
    let (status, first) = aws.http("POST", &format!("{endpoint}/payment"), Some(&payment(&id)));
    assert_eq!((status, &first["replayed"]), (201, &json!(false)), "{first}");
    assert_eq!((&first["receiptStatus"], &first["eventStatus"]), (&json!("done"), &json!("done")), "{first}");

    let (status, again) = aws.http("POST", &format!("{endpoint}/payment"), Some(&payment(&id)));
    assert_eq!((status, &again["replayed"]), (200, &json!(true)));
    assert_eq!(again["processedAt"], first["processedAt"]);

    let bad = json!({ "transactionId": id, "customerId": "c", "amount": "-1", "currency": "EUR" });
    let (status, refused) = aws.http("POST", &format!("{endpoint}/payment"), Some(&bad));
    assert_eq!((status, &refused["problems"][0]["field"]), (400, &json!("amount")), "{refused}");

    let (status, health) = aws.http("GET", &format!("{endpoint}/health"), None);
    assert_eq!((status, &health["region"]), (200, &json!(region.replace('_', "-"))), "{health}");

    let bucket = outputs[format!("s3_bucket_{region}")].as_str().expect("a bucket");
    let receipts = aws.python(&format!(
        "client = boto3.client('s3', region_name={:?})\nresult = [o['Key'] for o in client.list_objects_v2(Bucket={bucket:?}).get('Contents', [])]",
        region.replace('_', "-")
    ));
    assert!(receipts.to_string().contains(&id), "no receipt of {id} in {bucket}: {receipts}");
}

/// Points 4 and 5: the plan changes, the code changes, somebody else changes things; and two deployments side by side.
#[test]
fn changes_and_drift_are_named_exactly_and_made_exactly() {
    let aws = LocalAws::start();
    let workspace = aws.odd_workspace();
    workspace.drctl(&["up", "--suffix", "dev"]).expect(0);

    // Point 4: five changes of the plan, in place, and nothing else.
    let plan = ODD_PLAN;
    workspace.edit(plan, "emails = []", "emails = [\"oncall@example.com\"]");
    workspace.edit(plan, "memory_mb = 512", "memory_mb = 640");
    workspace.edit(plan, "noncurrent_days = 90", "noncurrent_days = 91");
    workspace.edit(plan, "cron(0 5 ", "cron(0 6 ");
    let planned = workspace.drctl(&["plan", "--suffix", "dev", "--detailed-exitcode", "--output", "json"]).expect(2);
    let changed: Vec<String> = changed_kinds(&planned.json());
    let expected = ["backup_plan", "lambda_alias", "lambda_function", "s3_bucket", "sns_subscription"];
    assert_eq!(changed, expected, "{}", planned.stdout);
    workspace.drctl(&["plan", "--suffix", "dev"]).expect(0).shows(&["memory_mb", "512", "640"]);
    workspace.drctl(&["up", "--suffix", "dev"]).expect(0);
    expect_no_changes(&workspace, "dev");

    // A version of Aurora that AWS takes from nobody but a person is refused before anything else is done (`rds.global.major-resets-pg`).
    workspace.edit(plan, "engine_version = \"14\"", "engine_version = \"16\"");
    for command in ["plan", "up"] {
        let refused = workspace.drctl(&[command, "--suffix", "dev"]).expect(6);
        refused.shows(&["another major version", "ModifyGlobalCluster", "nothing was changed"]);
    }
    workspace.edit(plan, "engine_version = \"16\"", "engine_version = \"14\"");
    expect_no_changes(&workspace, "dev");

    // A new class restarts what stands by first, then what reads, and what writes last, which hands over before (`rds.instance.restart`).
    // The group of the log goes when the clusters no longer write it.
    workspace.edit(plan, "instance_class = \"db.r6g.large\"", "instance_class = \"db.r6g.xlarge\"");
    workspace.edit(plan, "export_logs = true", "export_logs = false");
    workspace.drctl(&["plan", "--suffix", "dev"]).expect(0).shows(&["instances restart one at a time"]);
    aws.forget_calls();
    workspace.drctl(&["up", "--suffix", "dev"]).expect(0);
    let made = aws.calls(true);
    let of =
        |operation: &str| -> Vec<usize> { (0..made.len()).filter(|&at| made[at]["operation"] == operation).collect() };
    let restarts: Vec<&Value> = of("ModifyDBInstance").into_iter().map(|at| &made[at]["region"]).collect();
    assert_eq!(restarts, ["us-east-2", "us-east-2", "us-east-1", "us-east-1"]);
    let (failover, restarts) = (of("FailoverDBCluster"), of("ModifyDBInstance"));
    assert!(failover.len() == 1 && restarts[2] < failover[0] && failover[0] < restarts[3], "{failover:?} {restarts:?}");
    let (clusters, groups) = (of("ModifyDBCluster"), of("DeleteLogGroup"));
    for region in ["us-east-1", "us-east-2"] {
        let last = |operations: &[usize]| operations.iter().copied().filter(|&at| made[at]["region"] == region).max();
        assert!(last(&clusters) < last(&groups), "{region}: the cluster stops before its log's group goes");
    }
    expect_no_changes(&workspace, "dev");

    // Somebody took the second cluster out of the global database: it is seen, and made anew only when that is allowed
    // (`rds.failover.detach-style`).
    aws.python(
        r#"
here = boto3.client("rds", region_name="us-east-2")
arn = [c["DBClusterArn"] for c in here.describe_db_clusters()["DBClusters"] if c["DBClusterIdentifier"].endswith("-dev")][0]
boto3.client("rds", region_name="us-east-1").remove_from_global_cluster(
    GlobalClusterIdentifier="dr-payments-dev", DbClusterIdentifier=arn)
result = None
"#,
    );
    workspace.drctl(&["status"]).expect(0).shows(&["us-east-2/rds_cluster/aurora", "global_cluster"]);
    let refused = workspace.drctl(&["up", "--suffix", "dev"]).expect(6);
    refused.shows(&["replace us-east-2/rds_cluster/aurora", "--allow-data-loss"]);
    workspace.drctl(&["up", "--suffix", "dev", "--allow-data-loss"]).expect(0);
    expect_no_changes(&workspace, "dev");

    // A changed source updates the code only, and callers get it in the standby region first.
    workspace.edit("lambda/health_check/index.py", "\"\"\"", "\"\"\" ");
    let planned = workspace.drctl(&["plan", "--suffix", "dev", "--output", "json"]).expect(0).json();
    assert_eq!(changed_kinds(&planned), ["lambda_alias", "lambda_function"]);
    aws.forget_calls();
    workspace.drctl(&["up", "--suffix", "dev"]).expect(0);
    let calls = aws.calls(true);
    let of = |region: &str| -> Vec<(usize, String)> {
        let calls = calls.iter().enumerate().filter(|(_, call)| call["region"] == region);
        calls.map(|(at, call)| (at, call["operation"].as_str().unwrap_or_default().to_owned())).collect()
    };
    let (primary, standby) = (of("us-east-1"), of("us-east-2"));
    for calls in [&primary, &standby] {
        let operations: Vec<_> = calls.iter().map(|(_, operation)| operation.as_str()).collect();
        assert_eq!(operations, ["UpdateFunctionCode", "PublishVersion", "Invoke", "UpdateAlias"]);
    }
    assert!(standby[3].0 < primary[1].0, "the standby region has it before the primary region begins: {calls:?}");

    // Code that does not run is not switched to in the standby region, and does not get to the primary one at all.
    let outputs = workspace.outputs("dev");
    let health = |region: &str| {
        aws.http(
            "GET",
            &aws.local_url(outputs[format!("health_check_url_{region}")].as_str().expect("an address")),
            None,
        )
    };
    workspace.edit("lambda/health_check/index.py", "import boto3", "import boto4");
    aws.forget_calls();
    workspace.drctl(&["up", "--suffix", "dev"]).expect(1).shows(&[
        "us-east-2/lambda_alias/health_check: update failed",
        "does not answer `GET /health` well",
        "No module named 'boto4'",
        "skipped because of it",
    ]);
    let moved = |call: &Value| matches!(call["operation"].as_str(), Some("UpdateAlias" | "CreateAlias"));
    assert!(!aws.calls(true).iter().any(moved));
    for region in ["us_east_1", "us_east_2"] {
        assert_eq!(health(region).0, 200, "{region} answers as before");
    }
    // Going back needs no new version, and going on deletes the one that never served.
    workspace.edit("lambda/health_check/index.py", "import boto4", "import boto3");
    aws.forget_calls();
    workspace.drctl(&["up", "--suffix", "dev"]).expect(0);
    assert!(!aws.calls(true).iter().any(|call| call["operation"] == "PublishVersion"));
    workspace.edit("lambda/health_check/index.py", "\"\"\" ", "\"\"\"  ");
    workspace.drctl(&["up", "--suffix", "dev"]).expect(0);
    let versions = aws.python(
        r#"
client = boto3.client("lambda", region_name="us-east-2")
function = "dr-health_check-us-east-2-dev"
served = client.get_alias(FunctionName=function, Name="live")["FunctionVersion"]
versions = [v["Version"] for v in client.list_versions_by_function(FunctionName=function)["Versions"]]
result = [served, sorted(versions)]
"#,
    );
    assert_eq!(versions, json!(["4", ["$LATEST", "2", "4"]]), "that of now and the one before");
    expect_no_changes(&workspace, "dev");

    // What forces replacement says so, and data is not lost without a word.
    workspace.edit(plan, "cidr = \"10.1.0.0/16\"", "cidr = \"10.9.0.0/16\"");
    workspace.drctl(&["plan", "--suffix", "dev"]).expect(0).shows(&["forces replacement", "10.9.0.0/16"]);
    workspace.drctl(&["up", "--suffix", "dev"]).expect(6).shows(&["--allow-data-loss"]);
    workspace.edit(plan, "cidr = \"10.9.0.0/16\"", "cidr = \"10.1.0.0/16\"");

    // Point 5: drift of five kinds.
    aws.python(
        r#"
ec2 = boto3.client("ec2", region_name="us-east-1")
own = [{"Name": "tag:drctl:deployment", "Values": ["dev"]}]
vpc = ec2.describe_vpcs(Filters=own)["Vpcs"][0]["VpcId"]
ec2.create_tags(Resources=[vpc], Tags=[{"Key": "Name", "Value": "somebody-elses"}])
groups = ec2.describe_security_groups(Filters=own)["SecurityGroups"]
group = [g for g in groups if any(t["Value"].endswith("/functions") for t in g["Tags"])][0]["GroupId"]
rules = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])["SecurityGroupRules"]
ec2.revoke_security_group_egress(GroupId=group, SecurityGroupRuleIds=[[r for r in rules if r["IsEgress"]][0]["SecurityGroupRuleId"]])
cloudwatch = boto3.client("cloudwatch", region_name="us-east-1")
alarm = [a["AlarmName"] for a in cloudwatch.describe_alarms()["MetricAlarms"] if a["AlarmName"].endswith("-dev")][0]
cloudwatch.delete_alarms(AlarmNames=[alarm])
s3 = boto3.client("s3", region_name="us-east-1")
bucket = [b["Name"] for b in s3.list_buckets()["Buckets"] if b["Name"].endswith("us-east-1-dev")][0]
s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "x", "Value": "y"}]})
other = [b["Name"] for b in s3.list_buckets()["Buckets"] if b["Name"].endswith("us-east-2-dev")][0]
boto3.client("s3", region_name="us-east-2").put_bucket_versioning(Bucket=other, VersioningConfiguration={"Status": "Suspended"})
result = None
"#,
    );
    workspace.drctl(&["status"]).expect(0).shows(&[
        "somebody-elses",
        "ec2_security_group_rule",
        "cloudwatch_alarm",
        "us-east-1/s3_bucket",
        "us-east-2/s3_bucket",
        "versioning",
    ]);
    // A bucket that no longer says it is ours is not touched before it says so again.
    let refused = workspace.drctl(&["up", "--suffix", "dev"]).expect(5);
    refused.shows(&["us-east-1/s3_bucket/payment-data", "drctl:deployment", "state forget", "nothing was changed"]);
    aws.python(
        r#"
s3 = boto3.client("s3", region_name="us-east-1")
bucket = [b["Name"] for b in s3.list_buckets()["Buckets"] if b["Name"].endswith("us-east-1-dev")][0]
tags = {"x": "y", "drctl:deployment": "dev"}
s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": key, "Value": tags[key]} for key in tags]})
result = None
"#,
    );
    workspace.drctl(&["plan", "--suffix", "dev"]).expect(0).shows(&["somebody-elses"]);
    workspace.drctl(&["up", "--suffix", "dev"]).expect(0);
    expect_no_changes(&workspace, "dev");

    // Two deployments side by side, and one goes without the other.
    workspace.drctl(&["up", "--suffix", "qa", "--plan", "plans/minimal.toml"]).expect(0);
    workspace.drctl(&["status"]).expect(64).shows(&["dev", "qa"]);
    let down = workspace.drctl(&["down", "--suffix", "qa", "--yes"]).expect(0);
    // The role by which API Gateway writes logs is the region's, so it stays for the others.
    down.shows(&["us-east-1/apigateway_account/logging stays", "because the deployment `dev` has the API"]);
    assert_eq!(census(&aws, "qa"), Vec::<String>::new());
    assert!(logging_role(&aws).ends_with(":role/drctl-apigateway-logs-us-east-1"));
    expect_no_changes(&workspace, "dev");

    // What belongs to the account or to another deployment makes no deployment of a suffix that never was one.
    let nothing = workspace.drctl(&["state", "rebuild", "--suffix", "nothere"]).expect(0);
    nothing.shows(&["found 0 of"]);
    workspace.drctl(&["down", "--suffix", "nothere", "--yes"]).expect(0);
    assert!(logging_role(&aws).ends_with(":role/drctl-apigateway-logs-us-east-1"));

    // The state is lost and made anew from tags and names.
    std::fs::remove_dir_all(workspace.path("the state")).expect("the state folder can be removed");
    let other_plan = ["state", "rebuild", "--suffix", "dev", "--plan", "plans/minimal.toml"];
    workspace
        .drctl(&other_plan)
        .expect(0)
        .shows(&["this plan does not have them", "us-west-2/sns_topic/failover (arn:"]);
    let rebuilt = workspace.drctl(&["state", "rebuild", "--suffix", "dev", "--yes"]).expect(0);
    assert!(!rebuilt.stderr.contains("does not have them"), "the plan leads to everything: {}", rebuilt.stderr);
    expect_no_changes(&workspace, "dev");

    // A bucket with many versions is emptied.
    aws.python(
        r#"
s3 = boto3.client("s3", region_name="us-east-1")
bucket = [b["Name"] for b in s3.list_buckets()["Buckets"] if b["Name"].endswith("us-east-1-dev")][0]
for number in range(1200):
    s3.put_object(Bucket=bucket, Key=f"many/{number % 400}", Body=b"x")
for number in range(100):
    s3.delete_object(Bucket=bucket, Key=f"many/{number}")
result = None
"#,
    );
    let down = workspace.drctl(&["down", "--suffix", "dev", "--yes"]).expect(0);
    assert!(!format!("{}{}", down.stdout, down.stderr).contains("apigateway_account/logging stays"));
    assert_eq!(census(&aws, "dev"), Vec::<String>::new());
    assert_eq!(logging_role(&aws), "", "nobody needs it any more");
    let roles = "result = [role['RoleName'] for role in boto3.client('iam', region_name='us-east-1').list_roles()['Roles'] if role['RoleName'].startswith('drctl')]";
    assert_eq!(aws.python(roles), serde_json::json!([]));
}

/// The role by which all APIs of the primary region write logs.
fn logging_role(aws: &LocalAws) -> String {
    let role = aws
        .python("result = boto3.client('apigateway', region_name='us-east-1').get_account().get('cloudwatchRoleArn')");
    role.as_str().unwrap_or_default().to_owned()
}

/// The kinds that a plan changes, each once.
fn changed_kinds(plan: &Value) -> Vec<String> {
    let changes = plan["changes"].as_array().expect("a list of changes");
    let mut kinds: Vec<String> = changes
        .iter()
        .filter(|change| change["action"] != "none")
        .map(|change| change["address"].as_str().unwrap_or_default().split('/').nth(1).unwrap_or_default().to_owned())
        .collect();
    kinds.sort();
    kinds.dedup();
    kinds
}
