//! What somebody changed is changed back, and what the plan changes is changed, by exactly the calls that it takes and in AWS's order.

use serde_json::{Value, json};

use crate::harness::{LocalAws, Workspace};
use crate::story::census;

const PLAN: &str = "plans/payments.toml";
const UP: [&str; 3] = ["up", "--suffix", "dev"];

/// Changes a role, a key, an alias, a log group, a load balancer and an API, as somebody might in the console.
const CHANGE: &str = r#"
def document(service):
    allowed = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": service}}
    return json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
policy = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*"}]})
iam, role = boto3.client("iam", region_name="us-east-1"), "dr-payment_processor-us-east-1-dev"
iam.update_assume_role_policy(RoleName=role, PolicyDocument=document("ec2.amazonaws.com"))
iam.update_role(RoleName=role, Description="theirs", MaxSessionDuration=7200)
iam.put_role_policy(RoleName=role, PolicyName="main", PolicyDocument=policy)
iam.put_role_policy(RoleName=role, PolicyName="theirs", PolicyDocument=policy)

account = boto3.client("sts", region_name="us-east-1").get_caller_identity()["Account"]
kms, alias = boto3.client("kms", region_name="us-east-1"), "alias/dr-payments-dev"
key = [one["TargetKeyId"] for one in kms.list_aliases()["Aliases"] if one["AliasName"] == alias][0]
everything = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "kms:*", "Resource": "*"}
kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps({"Version": "2012-10-17", "Statement": [everything]}))
kms.update_key_description(KeyId=key, Description="theirs")
kms.disable_key_rotation(KeyId=key)
kms.disable_key(KeyId=key)
# An earlier key of the deployment, which is on its way out.
earlier = kms.create_key(Tags=[{"TagKey": "drctl:deployment", "TagValue": "dev"}])["KeyMetadata"]["KeyId"]
kms.update_alias(AliasName=alias, TargetKeyId=earlier)
kms.schedule_key_deletion(KeyId=earlier, PendingWindowInDays=7)

logs, group = boto3.client("logs", region_name="us-east-1"), "/aws/lambda/dr-payment_processor-us-east-1-dev"
logs.put_retention_policy(logGroupName=group, retentionInDays=7)
logs.untag_resource(resourceArn=f"arn:aws:logs:us-east-1:{account}:log-group:{group}", tagKeys=["drctl:address"])

elb, ec2 = boto3.client("elbv2", region_name="us-east-1"), boto3.client("ec2", region_name="us-east-1")
balancer = [one for one in elb.describe_load_balancers()["LoadBalancers"] if one["LoadBalancerName"].endswith("-dev")][0]
tag = {"Key": "drctl:address", "Value": "us-east-1/ec2_security_group/functions"}
group = [one["GroupId"] for one in ec2.describe_security_groups()["SecurityGroups"] if tag in one.get("Tags", [])][0]
arn, subnets = balancer["LoadBalancerArn"], [zone["SubnetId"] for zone in balancer["AvailabilityZones"]]
elb.set_security_groups(LoadBalancerArn=arn, SecurityGroups=[group])
elb.set_subnets(LoadBalancerArn=arn, Subnets=subnets[:-1])
elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=[{"Key": "idle_timeout.timeout_seconds", "Value": "60"}])

apigateway = boto3.client("apigateway", region_name="us-east-1")
api = [one["id"] for one in apigateway.get_rest_apis()["items"] if one["name"].endswith("-dev")][0]
patch = {"op": "replace", "path": "/description", "value": "theirs"}
apigateway.update_rest_api(restApiId=api, patchOperations=[patch])
result = None
"#;

/// Deletes a topic, the listeners of a load balancer and their rules, a queue, and a rule with its targets.
const DELETE: &str = r#"
sns = boto3.client("sns", region_name="us-east-1")
for topic in sns.list_topics()["Topics"]:
    sns.delete_topic(TopicArn=topic["TopicArn"])
elb = boto3.client("elbv2", region_name="us-east-1")
for balancer in elb.describe_load_balancers()["LoadBalancers"]:
    for listener in elb.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]:
        elb.delete_listener(ListenerArn=listener["ListenerArn"])
sqs = boto3.client("sqs", region_name="us-east-1")
for queue in sqs.list_queues().get("QueueUrls", []):
    sqs.delete_queue(QueueUrl=queue)
events = boto3.client("events", region_name="us-east-1")
bus = [one["Name"] for one in events.list_event_buses()["EventBuses"] if one["Name"].endswith("-dev")][0]
for rule in events.list_rules(EventBusName=bus)["Rules"]:
    if not rule.get("ManagedBy"):
        targets = events.list_targets_by_rule(EventBusName=bus, Rule=rule["Name"])["Targets"]
        events.remove_targets(EventBusName=bus, Rule=rule["Name"], Ids=[one["Id"] for one in targets])
        events.delete_rule(EventBusName=bus, Name=rule["Name"])
result = None
"#;

/// How many deployments the API of each region has.
const DEPLOYMENTS: &str = r#"
result = []
for region in ["us-east-1", "us-east-2"]:
    apigateway = boto3.client("apigateway", region_name=region)
    api = [one["id"] for one in apigateway.get_rest_apis()["items"] if one["name"].endswith("-dev")][0]
    result.append(len(apigateway.get_deployments(restApiId=api)["items"]))
"#;

/// The changing operations since the log was forgotten, in order; with a region only those that were called there.
fn changes(aws: &LocalAws, region: Option<&str>) -> Vec<String> {
    let calls = aws.calls(true);
    let here = calls.iter().filter(|call| region.is_none_or(|region| call["region"] == region));
    here.map(|call| call["operation"].as_str().unwrap_or_default().to_owned()).collect()
}

fn expect_no_changes(workspace: &Workspace<'_>) {
    workspace.drctl(&["plan", "--suffix", "dev", "--detailed-exitcode"]).expect(0).shows(&["no changes"]);
}

/// `iam.role.update`, `kms.key.update`, `kms.alias.update`, `logs.update`, `alb.update`, `apigw.api.update`, `apigw.deploy.delete`,
/// `rule.update`.
#[test]
fn what_differs_is_changed_in_place_by_the_calls_that_it_takes() {
    let aws = LocalAws::start();
    let workspace = aws.workspace();
    aws.play(&["dependency-violations"], 600);
    workspace.drctl(&UP).expect(0);

    // Somebody else's changes: nothing is replaced, and what is as it should be is left alone.
    aws.python(CHANGE);
    workspace.drctl(&["plan", "--suffix", "dev"]).expect(0).shows(&["~ us-east-1/kms_alias/main"]);
    aws.forget_calls();
    workspace.drctl(&UP).expect(0);
    let called = changes(&aws, None);
    let place = |operation: &str| called.iter().position(|one| one == operation).expect("it is called");
    for change in ["PutKeyPolicy", "UpdateKeyDescription", "EnableKeyRotation"] {
        assert!(place("EnableKey") < place(change), "a disabled key takes no {change}: {called:?}");
    }
    let mut sorted = called.clone();
    sorted.sort();
    let expected = [
        "DeleteRolePolicy",
        "EnableKey",
        "EnableKeyRotation",
        "ModifyLoadBalancerAttributes",
        "PutKeyPolicy",
        "PutRetentionPolicy",
        "PutRolePolicy",
        "SetSecurityGroups",
        "SetSubnets",
        "TagResource",
        "UpdateAlias",
        "UpdateAssumeRolePolicy",
        "UpdateKeyDescription",
        "UpdateRestApi",
        "UpdateRole",
    ];
    assert_eq!(sorted, expected);
    expect_no_changes(&workspace);

    // Another route: the stage is led to the new deployment before the old one goes, and callers find the new path.
    workspace.edit(PLAN, "route = \"POST /payment\"", "route = \"POST /pay\"");
    workspace.edit("lambda/payment_processor/index.py", "!= \"/payment\"", "!= \"/pay\"");
    aws.forget_calls();
    workspace.drctl(&UP).expect(0);
    for region in ["us-east-1", "us-east-2"] {
        let order = ["CreateDeployment", "UpdateStage", "DeleteDeployment"];
        let called: Vec<String> =
            changes(&aws, Some(region)).into_iter().filter(|one| order.contains(&one.as_str())).collect();
        assert_eq!(called, order, "{region}");
    }
    assert_eq!(aws.python(DEPLOYMENTS), json!([1, 1]));
    let endpoint = workspace.outputs("dev")["api_endpoint_us_east_1"].as_str().expect("an endpoint").to_owned();
    let payment = json!({ "transactionId": "t-1", "customerId": "c-1", "amount": "12.50", "currency": "EUR" });
    let (status, paid): (u64, Value) = aws.http("POST", &format!("{}/pay", aws.local_url(&endpoint)), Some(&payment));
    assert_eq!(status, 201, "{paid}");
    expect_no_changes(&workspace);

    // Two functions change their routes: each rule wants the priority of the other.
    workspace.edit(PLAN, "route = \"POST /pay\"", "route = \"GET /health2\"");
    workspace.edit(PLAN, "route = \"GET /health\"", "route = \"POST /pay\"");
    workspace.edit(PLAN, "route = \"GET /health2\"", "route = \"GET /health\"");
    workspace.drctl(&UP).expect(0);
    expect_no_changes(&workspace);

    // What somebody deleted already is no obstacle to `down`.
    aws.python(DELETE);
    workspace.drctl(&["down", "--suffix", "dev", "--yes"]).expect(0);
    assert_eq!(census(&aws, "dev"), Vec::<String>::new());
}

/// `route.update`, `rds.cluster.modify-conflict`, `r53.hc.create`: a plan that wants more changes what is there in place, and replaces
/// only what AWS cannot change.
#[test]
fn a_cheap_deployment_grows_into_the_whole_one_in_place() {
    let aws = LocalAws::start();
    let workspace = aws.workspace();
    workspace.drctl(&["up", "--suffix", "dev", "--plan", "plans/minimal.toml"]).expect(0);
    aws.forget_calls();
    workspace.drctl(&UP).expect(0);
    let called = changes(&aws, None);
    for change in ["ReplaceRoute", "ModifyDBCluster", "ModifyDBSubnetGroup"] {
        assert!(called.iter().any(|one| one == change), "{change} is not among {called:?}");
    }
    // Nobody can change how often an existing health check looks; and the versions of the four functions that would hold the network go.
    let mut deleted: Vec<_> = called.iter().filter(|one| one.starts_with("Delete")).collect();
    deleted.sort();
    let (version, check) = ("DeleteFunction", "DeleteHealthCheck");
    assert_eq!(deleted, [version, version, version, version, check, check]);
    expect_no_changes(&workspace);
    workspace.drctl(&["down", "--suffix", "dev", "--yes"]).expect(0);
    assert_eq!(census(&aws, "dev"), Vec::<String>::new());
}
