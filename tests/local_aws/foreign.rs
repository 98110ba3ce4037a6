//! What other people and other events do to a deployment before its `down`.

use serde_json::Value;

use crate::harness::{LocalAws, Workspace};
use crate::story::census;

/// Puts things of somebody else's in the way: an interface into a subnet, an endpoint into another, a group whose rule names one of
/// ours, a record into the zone, an object that a court wants kept into a bucket.
const INTRUDE: &str = r#"
ec2 = boto3.client("ec2", region_name="us-east-1")
def own(call, key, address):
    found = call()[key]
    return [one for one in found if {"Key": "drctl:address", "Value": address} in one.get("Tags", [])][0]
subnet = own(ec2.describe_subnets, "Subnets", "us-east-1/ec2_subnet/private-b")
group = own(ec2.describe_security_groups, "SecurityGroups", "us-east-1/ec2_security_group/functions")["GroupId"]
interface = ec2.create_network_interface(SubnetId=subnet["SubnetId"], Description="their server")["NetworkInterface"]
place = own(ec2.describe_subnets, "Subnets", "us-east-1/ec2_subnet/private-a")["SubnetId"]
service = {"ServiceName": "com.amazonaws.us-east-1.guardduty-data", "VpcEndpointType": "Interface"}
endpoint = ec2.create_vpc_endpoint(VpcId=subnet["VpcId"], SubnetIds=[place], **service)["VpcEndpoint"]["VpcEndpointId"]
theirs = ec2.create_security_group(GroupName="theirs", Description="theirs", VpcId=subnet["VpcId"])["GroupId"]
rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "UserIdGroupPairs": [{"GroupId": group}]}
ec2.authorize_security_group_ingress(GroupId=theirs, IpPermissions=[rule])
route53 = boto3.client("route53", region_name="us-east-1")
zone = [one for one in route53.list_hosted_zones()["HostedZones"] if one["Name"].startswith("dr-payments-dev.")][0]
record = {"Name": "theirs." + zone["Name"], "Type": "TXT", "TTL": 60, "ResourceRecords": [{"Value": '"theirs"'}]}
def change(action):
    route53.change_resource_record_sets(HostedZoneId=zone["Id"], ChangeBatch={"Changes": [{"Action": action, "ResourceRecordSet": record}]})
change("CREATE")
s3 = boto3.client("s3", region_name="us-east-1")
bucket = [one["Name"] for one in s3.list_buckets()["Buckets"] if one["Name"].endswith("us-east-1-dev")][0]
s3.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"})
s3.put_object(Bucket=bucket, Key="evidence", Body=b"x", ObjectLockLegalHoldStatus="ON")
result = {"interface": interface["NetworkInterfaceId"], "endpoint": endpoint, "group": theirs}
result |= {"zone": zone["Id"], "record": record, "bucket": bucket}
"#;

/// Tells whether all of it is still there.
const STILL_THERE: &str = r#"
ec2 = boto3.client("ec2", region_name="us-east-1")
ec2.describe_network_interfaces(NetworkInterfaceIds=[THEIRS["interface"]])["NetworkInterfaces"][0]
ec2.describe_vpc_endpoints(VpcEndpointIds=[THEIRS["endpoint"]])["VpcEndpoints"][0]
group = ec2.describe_security_groups(GroupIds=[THEIRS["group"]])["SecurityGroups"][0]
records = boto3.client("route53", region_name="us-east-1").list_resource_record_sets(HostedZoneId=THEIRS["zone"])["ResourceRecordSets"]
boto3.client("s3", region_name="us-east-1").head_object(Bucket=THEIRS["bucket"], Key="evidence")
result = len(group["IpPermissions"]) == 1 and THEIRS["record"]["Name"] in [one["Name"] for one in records]
"#;

/// Takes it away.
const LEAVE: &str = r#"
ec2 = boto3.client("ec2", region_name="us-east-1")
ec2.delete_network_interface(NetworkInterfaceId=THEIRS["interface"])
ec2.delete_vpc_endpoints(VpcEndpointIds=[THEIRS["endpoint"]])
ec2.delete_security_group(GroupId=THEIRS["group"])
s3 = boto3.client("s3", region_name="us-east-1")
for version in s3.list_object_versions(Bucket=THEIRS["bucket"], Prefix="evidence")["Versions"]:
    hold = {"Bucket": THEIRS["bucket"], "Key": "evidence", "VersionId": version["VersionId"], "LegalHold": {"Status": "OFF"}}
    s3.put_object_legal_hold(**hold)
change = {"Action": "DELETE", "ResourceRecordSet": THEIRS["record"]}
boto3.client("route53", region_name="us-east-1").change_resource_record_sets(HostedZoneId=THEIRS["zone"], ChangeBatch={"Changes": [change]})
result = None
"#;

/// The addresses on record.
fn on_record(workspace: &Workspace<'_>) -> Vec<String> {
    let list = workspace.drctl(&["state", "list", "--suffix", "dev"]).expect(0);
    list.stdout
        .lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.contains('/')))
        .map(str::to_owned)
        .collect()
}

/// R1 and R3, `s3.delete.lock` and `vpc.delete.guardduty`: interfaces of functions are waited for; what somebody else put in the way is
/// named and left alone, everything else goes, and when it is out of the way the next `down` ends the work.
#[test]
fn what_is_somebody_elses_is_named_and_left_alone() {
    let aws = LocalAws::start();
    let workspace = aws.workspace();
    aws.play(&["dependency-violations", "lingering-interfaces"], 600);
    workspace.drctl(&["up", "--suffix", "dev"]).expect(0);
    let theirs = aws.python(INTRUDE);
    let with = |code: &str| aws.python(&format!("THEIRS = json.loads({:?})\n{code}", theirs.to_string()));
    let text = |name: &str| theirs[name].as_str().expect("it has an id");

    let down = workspace.drctl(&["down", "--suffix", "dev", "--yes"]).expect(5);
    let endpoint = format!("used by the endpoint {} (com.amazonaws.us-east-1.guardduty-data)", text("endpoint"));
    down.shows(&[text("interface"), &endpoint, text("group"), "theirs.dr-payments-dev.example.com"])
        .shows(&["which drctl did not make"])
        .shows(&[&format!("the object evidence of the bucket {} cannot be deleted: AccessDenied", text("bucket"))]);
    assert_eq!(with(STILL_THERE), Value::Bool(true));
    // What stays is what somebody else holds, what that needs, the roles that are to go after it, and the key that they name.
    let left = on_record(&workspace);
    for held in ["us-east-1/ec2_subnet/private-a", "us-east-1/ec2_subnet/private-b"] {
        assert!(left.iter().any(|address| address == held), "{held} is not among {left:?}");
    }
    assert!(
        left.iter().all(|address| {
            ["us-east-1/ec2_", "us-east-1/s3_bucket/", "global/iam_role/", "global/route53_zone/", "us-east-1/kms_key/"]
                .iter()
                .any(|start| address.starts_with(start))
        }),
        "{left:?}"
    );

    with(LEAVE);
    workspace.drctl(&["down", "--suffix", "dev", "--yes"]).expect(0);
    assert_eq!(census(&aws, "dev"), Vec::<String>::new());
}

/// Lets the secondary region take over, as an operator would in the console.
const FAIL_OVER: &str = r#"
rds = boto3.client("rds", region_name="us-east-2")
members = rds.describe_global_clusters(GlobalClusterIdentifier="dr-payments-dev")["GlobalClusters"][0]["GlobalClusterMembers"]
target = [one["DBClusterArn"] for one in members if not one["IsWriter"]][0]
rds.failover_global_cluster(GlobalClusterIdentifier="dr-payments-dev", TargetDbClusterIdentifier=target, AllowDataLoss=True)
members = rds.describe_global_clusters(GlobalClusterIdentifier="dr-payments-dev")["GlobalClusters"][0]["GlobalClusterMembers"]
result = [one["DBClusterArn"].split(":")[3] for one in members if one["IsWriter"]]
"#;

/// R2, R5, R7 and R21: after a failover nothing is to be changed, and one `down` takes everything apart in the order that the new
/// roles demand, whatever comes back or stays a while.
#[test]
fn a_deployment_that_failed_over_has_no_changes_and_goes_without_a_trace() {
    let aws = LocalAws::start();
    let workspace = aws.workspace();
    workspace.edit("plans/payments.toml", "emails = []", "emails = [\"ops@example.com\"]");
    let behaviours =
        ["deletion-windows", "dependency-violations", "recovery-points", "returning-log-groups", "unconfirmed-emails"];
    aws.play(&behaviours, 600);
    for _ in 0..2 {
        workspace.drctl(&["up", "--suffix", "dev"]).expect(0);
        assert_eq!(aws.python(FAIL_OVER), serde_json::json!(["us-east-2"]));
        workspace.drctl(&["plan", "--suffix", "dev", "--detailed-exitcode"]).expect(0).shows(&["no changes"]);
        let told = ["all healthy", "the writer is in us-east-2", "until ops@example.com confirms"];
        workspace.drctl(&["status", "--suffix", "dev"]).expect(0).shows(&told);
        workspace.drctl(&["down", "--suffix", "dev", "--yes"]).expect(0);
        assert_eq!(census(&aws, "dev"), Vec::<String>::new());
    }
}

/// Makes and deletes the public zone of shop.example.com, to which that of example.com leads.
const SHOP: &str = r#"
import time
route53, result = boto3.client("route53", region_name="us-east-1"), None
def zone(name):
    return [one["Id"] for one in route53.list_hosted_zones()["HostedZones"] if one["Name"] == name][0]
def change(action, zone_id, records):
    changes = [{"Action": action, "ResourceRecordSet": one} for one in records]
    route53.change_resource_record_sets(HostedZoneId=zone_id, ChangeBatch={"Changes": changes})
def make():
    made = route53.create_hosted_zone(Name="shop.example.com.", CallerReference=str(time.time()))
    servers = [{"Value": name} for name in made["DelegationSet"]["NameServers"]]
    change("UPSERT", zone("example.com."), [{"Name": "shop.example.com.", "Type": "NS", "TTL": 300, "ResourceRecords": servers}])
def unmake():
    shop = zone("shop.example.com.")
    records = route53.list_resource_record_sets(HostedZoneId=shop)["ResourceRecordSets"]
    change("DELETE", shop, [one for one in records if one["Name"] != "shop.example.com."])
    route53.delete_hosted_zone(Id=shop)
"#;

/// A certificate can only go when nothing uses it any more, and load balancers take another one in place: with another domain the
/// new certificates are in use before the old ones are deleted (`acm.update`, `listener.update`).
#[test]
fn another_domain_takes_everything_along() {
    let aws = LocalAws::start();
    let workspace = aws.workspace();
    aws.play(&["deletion-windows", "dependency-violations"], 600);
    workspace.drctl(&["up", "--suffix", "dev"]).expect(0);
    aws.python(&format!("{SHOP}\nmake()"));
    workspace.edit("plans/payments.toml", "domain = \"example.com\"", "domain = \"shop.example.com\"");
    workspace.drctl(&["up", "--suffix", "dev", "--yes"]).expect(0);
    workspace.drctl(&["plan", "--suffix", "dev", "--detailed-exitcode"]).expect(0).shows(&["no changes"]);
    let left = census(&aws, "dev");
    let names: Vec<_> = left.iter().filter(|name| name.contains("example.com")).collect();
    assert!(names.iter().all(|name| name.contains("shop.example.com")) && !names.is_empty(), "{names:?}");

    // The zone above was deleted and made anew: the delegation goes into the new one.
    aws.python(&format!("{SHOP}\nunmake()\nmake()"));
    workspace.drctl(&["up", "--suffix", "dev", "--yes"]).expect(0);
    workspace.drctl(&["plan", "--suffix", "dev", "--detailed-exitcode"]).expect(0).shows(&["no changes"]);
    workspace.drctl(&["down", "--suffix", "dev", "--yes"]).expect(0);
    assert_eq!(census(&aws, "dev"), Vec::<String>::new());
}

/// R6: DynamoDB holds the table for a day. Everything else goes, and the `down` of the next day ends the work.
#[test]
fn a_table_that_aws_holds_back_is_deleted_a_day_later() {
    let aws = LocalAws::start();
    let workspace = aws.workspace();
    // A day that does not end while the test runs, and then one that is over at once.
    aws.play(&["held-source-tables"], 1);
    workspace.drctl(&["up", "--suffix", "dev"]).expect(0);
    workspace
        .drctl(&["down", "--suffix", "dev", "--yes"])
        .expect(5)
        .shows(&["us-east-1/dynamodb_table/payments: not before"]);
    assert_eq!(on_record(&workspace), ["us-east-1/dynamodb_table/payments", "us-east-1/kms_key/main"]);
    let status = workspace.drctl(&["status", "--suffix", "dev", "--output", "json"]).expect(0).json();
    assert_eq!(status["outputs"], serde_json::json!({}), "what they named is gone");
    aws.play(&[], 1);
    workspace.drctl(&["down", "--suffix", "dev", "--yes"]).expect(0);
    assert_eq!(census(&aws, "dev"), Vec::<String>::new());
}

/// A REST API that logs in the primary region, and a WebSocket API in the other.
const OTHER_APIS: &str = r#"
apigateway = boto3.client("apigateway", region_name="us-east-1")
api = apigateway.create_rest_api(name="theirs")["id"]
root = apigateway.get_resources(restApiId=api)["items"][0]["id"]
apigateway.put_method(restApiId=api, resourceId=root, httpMethod="GET", authorizationType="NONE")
apigateway.put_integration(restApiId=api, resourceId=root, httpMethod="GET", type="MOCK")
deployment = apigateway.create_deployment(restApiId=api)["id"]
apigateway.create_stage(restApiId=api, stageName="live", deploymentId=deployment)
logs = {"destinationArn": "arn:aws:logs:us-east-1:123456789012:log-group:theirs", "format": "$context.requestId"}
patch = [{"op": "replace", "path": "/accessLogSettings/" + name, "value": logs[name]} for name in logs]
apigateway.update_stage(restApiId=api, stageName="live", patchOperations=patch)
sockets = boto3.client("apigatewayv2", region_name="us-east-2")
sockets.create_api(Name="chat", ProtocolType="WEBSOCKET", RouteSelectionExpression="$request.body.action")
result = None
"#;

/// The roles by which the APIs of both regions write logs.
const LOGGING_ROLES: &str = r#"
regions = ["us-east-1", "us-east-2"]
result = [boto3.client("apigateway", region_name=region).get_account().get("cloudwatchRoleArn") for region in regions]
result = [(role or "").split("/")[-1] for role in result]
"#;

/// `apigw.account.shared`: the role by which all APIs of a region write logs stays where somebody else needs it, and `down` says who.
#[test]
fn the_role_for_logs_stays_where_somebody_else_needs_it() {
    let aws = LocalAws::start();
    let workspace = aws.workspace();
    workspace.drctl(&["up", "--suffix", "dev", "--plan", "plans/minimal.toml"]).expect(0);
    aws.python(OTHER_APIS);
    workspace.drctl(&["down", "--suffix", "dev", "--yes"]).expect(0).shows(&[
        "us-east-1/apigateway_account/logging stays",
        "because the API theirs (",
        "us-east-2/apigateway_account/logging stays",
        "because the WebSocket API chat (",
        "aws iam delete-role --role-name drctl-apigateway-logs-us-east-2",
    ]);
    let roles = serde_json::json!(["drctl-apigateway-logs-us-east-1", "drctl-apigateway-logs-us-east-2"]);
    assert_eq!(aws.python(LOGGING_ROLES), roles);
    assert_eq!(census(&aws, "dev"), Vec::<String>::new());
}

/// An edit of a state, and its name.
type Edit = (&'static str, fn(&mut Value));

/// Lets records of all but some kinds refer to nothing wherever they have an output of what they refer to.
fn unresolve(state: &mut Value, but: &[&str]) {
    let records = state["records"].clone();
    for (address, record) in state["records"].as_object_mut().expect("there are records") {
        let references: Vec<Value> = record["references"].as_array().cloned().unwrap_or_default();
        let referents = references.iter().filter_map(|address| records[address.as_str()?]["outputs"].as_object());
        let outputs: Vec<&Value> = referents.flat_map(|outputs| outputs.values()).collect();
        if but.iter().any(|kind| address.contains(kind)) {
            continue;
        }
        for field in record["spec"].as_object_mut().into_iter().flat_map(|spec| spec.values_mut()) {
            if outputs.contains(&&*field) {
                *field = serde_json::json!({ "$ref": "us-east-1/ec2_vpc/nowhere#id" });
            }
        }
    }
}

/// Kinds with a plain text that is also an output of something else: no reference may be there.
const PLAIN: [&str; 6] =
    ["backup_plan", "backup_selection", "eventbridge_archive", "lambda_alias", "lambda_function", "rds_cluster"];

/// Kinds whose objects are ours by what they are in.
const PARTS: [&str; 12] = [
    "apigateway_base_path_mapping",
    "apigateway_deployment",
    "apigateway_method",
    "apigateway_resource",
    "ec2_route/",
    "ec2_route_table_association",
    "eventbridge_target",
    "lambda_permission",
    "elb_target/",
    "secretsmanager_replica",
    "kms_alias",
    "s3_bucket_replication",
];

/// Edits that leave a state readable and say what is not so: one over all records at a time. Those of references end at the look, at the
/// question whose the objects are, and at the changes themselves.
fn edits() -> [Edit; 6] {
    fn each_record(state: &mut Value, edit: impl Fn(&mut Value)) {
        state["records"].as_object_mut().expect("there are records").values_mut().for_each(edit);
    }
    let half_joined = |state: &mut Value| {
        each_record(state, |record| {
            for field in record["spec"].as_object_mut().into_iter().flat_map(|spec| spec.values_mut()) {
                if field.is_string() {
                    *field = serde_json::json!({ "$join": ["a", { "$ref": "nonsense" }] });
                }
            }
        });
    };
    let without_outputs = |state: &mut Value| each_record(state, |record| record["outputs"] = serde_json::json!({}));
    let foreign_kinds = |state: &mut Value| {
        let records = state["records"].as_object().expect("there are records").clone();
        let renamed =
            records.into_iter().map(|(address, record)| (address.replace("ec2_subnet", "ec2_teapot"), record));
        state["records"] = Value::Object(renamed.collect());
    };
    [
        ("unresolved", |state| unresolve(state, &[])),
        ("unresolved where references are", |state| unresolve(state, &PLAIN)),
        ("unresolved where tags say whose it is", |state| unresolve(state, &[&PLAIN[..], &PARTS[..]].concat())),
        ("half joined", half_joined),
        ("without outputs", without_outputs),
        ("of foreign kinds", foreign_kinds),
    ]
}

/// No state makes drctl panic, and whatever cannot be done is told with the address that it is about.
#[test]
fn any_edited_state_ends_in_an_error_that_names_an_address() {
    let aws = LocalAws::start();
    let workspace = aws.workspace();
    let plan = ["--suffix", "dev", "--plan", "plans/minimal.toml"];
    let up = [&["up", "--yes"], &plan[..]].concat();
    workspace.drctl(&up).expect(0);
    let good = std::fs::read_to_string(workspace.path("state/dev.json")).expect("the state can be read");
    let addresses = on_record(&workspace);
    let mut failed = Vec::new();
    for (name, edit) in edits() {
        let mut state: Value = serde_json::from_str(&good).expect("the state is JSON");
        edit(&mut state);
        state["checksum"] = "edited".into();
        for arguments in [&[&["plan"], &plan[..]].concat(), &up, &vec!["down", "--yes", "--suffix", "dev"]] {
            workspace.put_state("dev", &state.to_string());
            let run = workspace.drctl(arguments);
            let said = format!("{}{}", run.stdout, run.stderr);
            let names_one = addresses.iter().any(|address| said.contains(address)) || said.contains("ec2_teapot");
            if !matches!(run.code, Some(0..=7)) || run.code != Some(0) && !names_one {
                failed.push(format!("{name}: {arguments:?} ended with {:?}: {said}", run.code));
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
    // Whatever the edits took along, the good state leads to the rest of it.
    workspace.put_state("dev", &good);
    workspace.drctl(&["down", "--suffix", "dev", "--yes"]).expect(0);
    assert_eq!(census(&aws, "dev"), Vec::<String>::new());
}

/// Attaches to a role what IAM wants gone before the role, and protects a load balancer.
const ATTACH: &str = r#"
iam = boto3.client("iam", region_name="us-east-1")
role = "dr-payment_processor-us-east-1-dev"
document = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*"}]})
policy = iam.create_policy(PolicyName="theirs", PolicyDocument=document)["Policy"]["Arn"]
iam.attach_role_policy(RoleName=role, PolicyArn=policy)
iam.put_role_policy(RoleName=role, PolicyName="theirs", PolicyDocument=document)
iam.create_instance_profile(InstanceProfileName="theirs")
iam.add_role_to_instance_profile(InstanceProfileName="theirs", RoleName=role)
elb = boto3.client("elbv2", region_name="us-east-1")
balancer = [one for one in elb.describe_load_balancers()["LoadBalancers"] if one["LoadBalancerName"].endswith("-dev")][0]
protection = [{"Key": "deletion_protection.enabled", "Value": "true"}]
elb.modify_load_balancer_attributes(LoadBalancerArn=balancer["LoadBalancerArn"], Attributes=protection)
result = None
"#;

/// What others attached to what is ours, and what they protected, does not keep it: a role goes without their policies and out of their
/// profile, a load balancer without its protection (`iam.role.delete`, `alb.delete`).
#[test]
fn what_others_attached_to_what_is_ours_does_not_keep_it() {
    let aws = LocalAws::start();
    let workspace = aws.workspace();
    aws.play(&["dependency-violations"], 600);
    workspace.drctl(&["up", "--suffix", "dev"]).expect(0);
    aws.python(ATTACH);
    workspace.drctl(&["down", "--suffix", "dev", "--yes"]).expect(0);
    assert_eq!(census(&aws, "dev"), Vec::<String>::new());
}
