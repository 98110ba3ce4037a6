"""What a client sees of the local AWS, asserted with boto3. Called by whole.rs with the endpoint and the access key."""

import http.client
import io
import json
import sys
import threading
import time
import urllib.error
import urllib.request
import zipfile

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError

ENDPOINT, KEY = sys.argv[1:]
HOME, AWAY = "eu-west-1", "eu-central-1"


def client(service, region=HOME):
    return boto3.client(
        service, region_name=region, endpoint_url=ENDPOINT, aws_access_key_id=KEY, aws_secret_access_key=KEY
    )


def impatient(service):
    """A client that sends every request once."""
    return boto3.client(
        service,
        region_name=HOME,
        endpoint_url=ENDPOINT,
        aws_access_key_id=KEY,
        aws_secret_access_key=KEY,
        config=Config(retries={"total_max_attempts": 1}),
    )


def own(path, method="GET", document=None):
    body = None if document is None else json.dumps(document).encode()
    headers = {"content-type": "application/json", "x-local-aws-key": KEY}
    request = urllib.request.Request(f"{ENDPOINT}/_local-aws/{path}", data=body, method=method, headers=headers)
    with urllib.request.urlopen(request) as answer:
        body = answer.read()
        return json.loads(body) if body else None


def refused(code, call, **parameters):
    try:
        call(**parameters)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error
        return
    raise AssertionError(f"{code} was expected")


def raw(method, path, headers=(), body=b"", port=None):
    """A request as it is, without what a client adds; `headers` may name another host."""
    here = ENDPOINT.removeprefix("http://")
    connection = http.client.HTTPConnection("127.0.0.1", port or int(here.split(":")[1]), timeout=10)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in {"Host": here, "Content-Length": str(len(body)), **dict(headers)}.items():
        connection.putheader(name, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    answer.read()
    shared = [name for name, _ in answer.getheaders() if name.lower().startswith("access-control")]
    assert not shared, f"a page may read the answer: {shared}"
    return answer.status


def door(api_path):
    """No web page and nobody without the key makes anything; what is deployed answers everybody but pages."""
    own("calls", "DELETE")
    scope = f"AWS4-HMAC-SHA256 Credential={KEY}/20260101/{HOME}/ec2/aws4_request, SignedHeaders=host, Signature=0"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    vpc = b"Action=CreateVpc&Version=2016-11-15&CidrBlock=10.9.0.0/16"
    function = json.dumps({"FunctionName": "evil", "Role": "arn:aws:iam::000000000000:role/r", "Handler": "x.y"})
    function = function.encode()

    # A page by its own script, by a form, with the key guessed right, and as a preflight.
    for origin in ("https://evil.example", "null", ENDPOINT):
        page = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
        assert raw("POST", "/2015-03-31/functions", page, function) == 403
        assert raw("POST", "/", {**page, **form}, vpc) == 403
        assert raw("POST", "/", {**page, **form, "Authorization": scope}, vpc) == 403
        assert raw("OPTIONS", "/", {**page, "Access-Control-Request-Method": "POST"}) == 403
        assert raw("GET", "/_local-aws/health", {**page, "x-local-aws-key": KEY}) == 403
        assert raw("GET", api_path, page) == 403
    # A page after DNS rebinding is of the same origin and sends neither header.
    for host in ("evil.example", f"evil.example:{ENDPOINT.rsplit(':')[-1]}", "abc.execute-api.evil.example"):
        assert raw("POST", "/", {**form, "Host": host, "Authorization": scope}, vpc) == 403
        assert raw("GET", api_path, {"Host": host}) == 403
    # Another user of the machine, at either port.
    assert raw("POST", "/", form, vpc) == 403
    assert raw("POST", "/2015-03-31/functions", {}, function) == 403
    assert raw("GET", "/_ministack/health") == 403
    assert raw("GET", "/_local-aws/health") == 403
    assert raw("PUT", "/_local-aws/scenarios", {"Content-Type": "application/json"}, b"{}") == 403
    emulator = own("health")["emulator_port"]
    assert raw("POST", "/", {**form, "Authorization": scope}, vpc, port=emulator) == 403
    guess = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": HOME, "endpoint_url": ENDPOINT}
    refused("AuthFailure", boto3.client("ec2", **guess).describe_vpcs)
    refused("UnrecognizedClientException", boto3.client("lambda", **guess).list_functions)
    refused("UnrecognizedClientException", boto3.client("dynamodb", **guess).list_tables)
    refused("InvalidClientTokenId", boto3.client("sts", **guess).get_caller_identity)

    made = [call for call in own("calls?mutating=true&kind=api") if call["status"] < 400]
    assert not made, made
    made = [vpc for vpc in client("ec2").describe_vpcs()["Vpcs"] if vpc["CidrBlock"] == "10.9.0.0/16"]
    assert not made and not [f for f in client("lambda").list_functions()["Functions"] if f["FunctionName"] == "evil"]
    assert raw("GET", api_path) == 200, "a deployed API is open"


def network():
    ec2 = client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=f"{HOME}{zone}")["Subnet"]["SubnetId"]
        for n, zone in enumerate("ab")
    ]
    ec2.create_flow_logs(
        ResourceIds=[vpc],
        ResourceType="VPC",
        TrafficType="REJECT",
        LogGroupName="/vpc/flow",
        DeliverLogsPermissionArn="arn:aws:iam::000000000000:role/flow",
        MaxAggregationInterval=60,
        TagSpecifications=[{"ResourceType": "vpc-flow-log", "Tags": [{"Key": "k", "Value": "v"}]}],
    )
    flow = ec2.describe_flow_logs(Filters=[{"Name": "tag:k", "Values": ["v"]}])["FlowLogs"][0]
    assert (flow["LogGroupName"], flow["MaxAggregationInterval"]) == ("/vpc/flow", 60), flow
    assert flow["DeliverLogsPermissionArn"].endswith("role/flow"), flow

    address = ec2.allocate_address(Domain="vpc")
    nat = ec2.create_nat_gateway(SubnetId=subnets[0], AllocationId=address["AllocationId"])["NatGateway"]
    read = ec2.describe_nat_gateways(NatGatewayIds=[nat["NatGatewayId"]])["NatGateways"][0]
    assert read["NatGatewayAddresses"][0]["PublicIp"] == address["PublicIp"], read

    group = ec2.create_security_group(GroupName="g", Description="d", VpcId=vpc)["GroupId"]
    everything = {"IpProtocol": "-1", "FromPort": 0, "ToPort": 0, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[everything])
    assert ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissionsEgress"] == []

    balancers = client("elbv2")
    balancer = balancers.create_load_balancer(Name="api", Subnets=subnets, Scheme="internal")["LoadBalancers"][0]
    assert balancer["VpcId"] == vpc, balancer
    assert [zone["ZoneName"] for zone in balancer["AvailabilityZones"]] == [f"{HOME}a", f"{HOME}b"], balancer
    targets = balancers.create_target_group(Name="f", TargetType="lambda")["TargetGroups"][0]
    assert "Port" not in targets and "Protocol" not in targets, targets
    return balancer["LoadBalancerArn"], vpc


def routes(vpc):
    ec2 = client("ec2")
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    anywhere = {"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0"}
    refused("InvalidParameterValue", ec2.replace_route, **anywhere, GatewayId=gateway)
    for _ in range(2):
        assert ec2.create_route(**anywhere, GatewayId=gateway)["Return"]
    refused("RouteAlreadyExists", ec2.create_route, **anywhere, GatewayId="igw-other")
    ec2.replace_route(**anywhere, GatewayId="igw-other")
    found = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Routes"]
    assert [route["GatewayId"] for route in found] == ["local", "igw-other"], found


def accelerator(balancer, vpc):
    ga = client("globalaccelerator", "us-west-2")
    refused("InvalidSignatureException", client("globalaccelerator", HOME).list_accelerators)
    tags = [{"Key": "owner", "Value": "test"}]
    arn = ga.create_accelerator(Name="a", IdempotencyToken="1", Tags=tags)["Accelerator"]["AcceleratorArn"]
    by_tag = client("resourcegroupstaggingapi", "us-west-2").get_resources(TagFilters=[{"Key": "owner"}])
    assert by_tag["ResourceTagMappingList"] == [{"ResourceARN": arn, "Tags": tags}], by_tag
    again = ga.create_accelerator(Name="a", IdempotencyToken="1")["Accelerator"]
    assert again["AcceleratorArn"] == arn and again["CreatedTime"].year > 2000
    listener = ga.create_listener(
        AcceleratorArn=arn, Protocol="TCP", PortRanges=[{"FromPort": 443, "ToPort": 443}], IdempotencyToken="1"
    )["Listener"]["ListenerArn"]

    def create(endpoint, token):
        return ga.create_endpoint_group(
            ListenerArn=listener,
            EndpointGroupRegion=HOME,
            EndpointConfigurations=[{"EndpointId": endpoint, "Weight": 100}],
            IdempotencyToken=token,
        )["EndpointGroup"]["EndpointGroupArn"]

    refused("InvalidArgumentException", create, endpoint=f"abc.execute-api.{HOME}.amazonaws.com", token="1")
    refused("InvalidArgumentException", create, endpoint=balancer + "0", token="2")
    refused("InvalidArgumentException", create, endpoint="eipalloc-0123456789abcdef0", token="3")
    # An internal load balancer needs an internet gateway at its network.
    refused("InvalidArgumentException", create, endpoint=balancer, token="4")
    ec2 = client("ec2")
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    group = create(balancer, "5")

    def deployed():
        while ga.describe_accelerator(AcceleratorArn=arn)["Accelerator"]["Status"] != "DEPLOYED":
            time.sleep(0.05)

    deployed()
    refused("AcceleratorNotDisabledException", ga.delete_accelerator, AcceleratorArn=arn)
    ga.delete_endpoint_group(EndpointGroupArn=group)
    ga.delete_listener(ListenerArn=listener)
    deployed()
    ga.update_accelerator(AcceleratorArn=arn, Enabled=False)
    deployed()
    ga.delete_accelerator(AcceleratorArn=arn)
    refused("AcceleratorNotFoundException", ga.describe_accelerator, AcceleratorArn=arn)


def data():
    alarms = client("cloudwatch")
    alarms.put_metric_alarm(
        AlarmName="p99", Namespace="n", MetricName="m", ExtendedStatistic="p99", Period=60, EvaluationPeriods=1,
        Threshold=1, ComparisonOperator="GreaterThanThreshold",
    )
    alarm = alarms.describe_alarms()["MetricAlarms"][0]
    assert alarm["ExtendedStatistic"] == "p99" and "Statistic" not in alarm, alarm

    secrets, replica = client("secretsmanager"), client("secretsmanager", AWAY)
    secrets.create_secret(Name="s", SecretString="one", AddReplicaRegions=[{"Region": AWAY}])
    status = secrets.describe_secret(SecretId="s")["ReplicationStatus"][0]
    assert (status["Region"], status["Status"]) == (AWAY, "InSync"), status
    secrets.put_secret_value(SecretId="s", SecretString="two")
    assert replica.get_secret_value(SecretId="s")["SecretString"] == "two"
    refused("InvalidParameterException", secrets.delete_secret, SecretId="s", ForceDeleteWithoutRecovery=True)
    secrets.remove_regions_from_replication(SecretId="s", RemoveReplicaRegions=[AWAY])
    refused("ResourceNotFoundException", replica.get_secret_value, SecretId="s")
    assert secrets.get_secret_value(SecretId="s")["SecretString"] == "two"
    secrets.delete_secret(SecretId="s", ForceDeleteWithoutRecovery=True)

    tables = client("dynamodb")
    tables.create_table(
        TableName="payments", KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}], BillingMode="PAY_PER_REQUEST",
        SSESpecification={"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": "home-key"},
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    tables.get_waiter("table_exists").wait(TableName="payments", WaiterConfig={"Delay": 1})
    tables.update_table(
        TableName="payments", ReplicaUpdates=[{"Create": {"RegionName": AWAY, "KMSMasterKeyId": "away-key"}}]
    )
    assert tables.describe_table(TableName="payments")["Table"]["Replicas"][0]["KMSMasterKeyId"] == "away-key"
    away = client("dynamodb", AWAY).describe_table(TableName="payments")["Table"]
    assert away["SSEDescription"]["KMSMasterKeyArn"] == "away-key", away

    databases = client("rds")
    cluster = databases.create_db_cluster(
        DBClusterIdentifier="c", Engine="aurora-postgresql", MasterUsername="u", MasterUserPassword="not-a-secret",
        EnableCloudwatchLogsExports=["postgresql"],
    )["DBCluster"]
    databases.create_db_instance(
        DBInstanceIdentifier="i", DBClusterIdentifier="c", Engine="aurora-postgresql", DBInstanceClass="db.r6g.large"
    )
    read = databases.describe_db_clusters(DBClusterIdentifier="c")["DBClusters"][0]
    assert read["EnabledCloudwatchLogsExports"] == ["postgresql"], read
    assert (read["Endpoint"], read["ReaderEndpoint"]) == (cluster["Endpoint"], cluster["ReaderEndpoint"]), read

    copies()
    tags()

    check = client("route53").create_health_check(
        CallerReference="1",
        HealthCheckConfig={"Type": "HTTPS", "FullyQualifiedDomainName": "a.example", "EnableSNI": True},
    )["HealthCheck"]
    assert check["HealthCheckConfig"]["EnableSNI"] is True, check

    # Larger than any limit a proxy has by default.
    files, content = client("s3"), bytes(20_000_000)
    files.create_bucket(Bucket="files", CreateBucketConfiguration={"LocationConstraint": HOME})
    files.put_object(Bucket="files", Key="large", Body=content)
    assert files.get_object(Bucket="files", Key="large")["Body"].read() == content
    assert files.head_object(Bucket="files", Key="large")["ContentLength"] == len(content)


def copies():
    """An encrypted cluster of another region is made by who signs for the region that writes, as boto3 does if told."""
    home, away = client("rds"), client("rds", AWAY)
    home.create_global_cluster(GlobalClusterIdentifier="g", Engine="aurora-postgresql", StorageEncrypted=True)
    home.create_db_cluster(
        DBClusterIdentifier="writer", GlobalClusterIdentifier="g", Engine="aurora-postgresql", StorageEncrypted=True,
        MasterUsername="u", MasterUserPassword="not-a-secret",
    )
    copy = {
        "DBClusterIdentifier": "copy", "GlobalClusterIdentifier": "g", "Engine": "aurora-postgresql",
        "StorageEncrypted": True, "KmsKeyId": "alias/k",
    }
    refused("InvalidParameterCombination", away.create_db_cluster, **copy)
    refused("InvalidParameterCombination", away.create_db_cluster, SourceRegion="eu-west-3", **copy)
    away.create_db_cluster(SourceRegion=HOME, **copy)


def tags():
    zones, roles = client("route53"), client("iam")
    zone = zones.create_hosted_zone(Name="tags.example", CallerReference="t")["HostedZone"]["Id"].rsplit("/", 1)[1]

    def change(**parameters):
        zones.change_tags_for_resource(ResourceType="hostedzone", ResourceId=zone, **parameters)

    change(AddTags=[{"Key": f"k{n}", "Value": "v"} for n in range(10)])
    refused("InvalidInput", change, AddTags=[{"Key": "k10", "Value": "v"}])
    change(AddTags=[{"Key": "k10", "Value": "v"}, {"Key": "k1", "Value": "w"}], RemoveTagKeys=["k0"])
    role = {"RoleName": "tags", "AssumeRolePolicyDocument": "{}"}
    same = [{"Key": "Owner", "Value": "a"}, {"Key": "owner", "Value": "b"}]
    refused("InvalidInput", roles.create_role, Tags=same, **role)
    roles.create_role(Tags=same[:1], **role)
    refused("InvalidInput", roles.tag_role, RoleName="tags", Tags=same)


CODE = """
import boto3
def handler(event, context):
    boto3.client("sqs").create_queue(QueueName="made-by-the-function")
    return {"statusCode": 200, "body": "from the function"}
"""


def function_and_api():
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("index.py", CODE)
    functions = client("lambda")
    arn = functions.create_function(
        FunctionName="f", Runtime="python3.12", Role="arn:aws:iam::000000000000:role/f", Handler="index.handler",
        Code={"ZipFile": package.getvalue()},
    )["FunctionArn"]
    functions.get_waiter("function_active_v2").wait(FunctionName="f", WaiterConfig={"Delay": 1})

    apis = client("apigateway")
    api = apis.create_rest_api(name="a")["id"]
    root = apis.get_resources(restApiId=api)["items"][0]["id"]
    method = {"restApiId": api, "resourceId": root, "httpMethod": "GET"}
    apis.put_method(**method, authorizationType="NONE")
    uri = f"arn:aws:apigateway:{HOME}:lambda:path/2015-03-31/functions/{arn}/invocations"
    apis.put_integration(**method, type="AWS_PROXY", integrationHttpMethod="POST", uri=uri)
    deployment = apis.create_deployment(restApiId=api)["id"]
    stage = apis.create_stage(restApiId=api, stageName="prod", deploymentId=deployment)
    assert "accessLogSettings" not in stage, stage
    apis.create_domain_name(
        domainName="a.example", regionalCertificateArn=f"arn:aws:acm:{HOME}:000000000000:certificate/c",
        endpointConfiguration={"types": ["REGIONAL"]},
    )
    apis.create_base_path_mapping(domainName="a.example", restApiId=api, stage="prod", basePath="")
    mapping = apis.get_base_path_mapping(domainName="a.example", basePath="(none)")
    assert mapping["restApiId"] == api, mapping
    mapping = {"domainName": "a.example", "basePath": ""}
    refused("ConflictException", apis.create_base_path_mapping, **mapping, restApiId=api)
    refused("BadRequestException", apis.create_domain_name, domainName="a.example")
    apis.create_stage(restApiId=api, stageName="next", deploymentId=deployment)
    switch = [{"op": "replace", "path": "/stage", "value": "next"}]
    apis.update_base_path_mapping(domainName="a.example", basePath="(none)", patchOperations=switch)
    certificate = f"arn:aws:acm:{HOME}:000000000000:certificate/d"
    renew = [{"op": "replace", "path": "/regionalCertificateArn", "value": certificate}]
    updated = apis.update_domain_name(domainName="a.example", patchOperations=renew)
    assert updated["regionalCertificateArn"] == certificate, updated
    assert apis.get_domain_name(domainName="a.example")["regionalCertificateArn"] == certificate
    mapping = apis.get_base_path_mapping(domainName="a.example", basePath="(none)")
    assert mapping["stage"] == "next", mapping

    # Neither the call of the API nor that of its function is one of the tool under test.
    own("freeze", "PUT", {"call": 1})
    with urllib.request.urlopen(f"{ENDPOINT}/_aws/execute-api/{api}/prod/") as answer:
        assert answer.read() == b"from the function"
    assert own("freeze")["seen"] == 0
    own("freeze", "DELETE")
    # The function's own call came through the proxy.
    calls = own("calls?service=sqs&operation=CreateQueue")
    assert len(calls) == 1 and calls[0]["mutating"] and calls[0]["region"] == HOME, calls
    return f"/_aws/execute-api/{api}/prod/"


def log():
    data_plane = own("calls?kind=data-plane")
    assert [call["service"] for call in data_plane] == ["execute-api"], data_plane
    failed = own("calls?service=globalaccelerator&operation=DeleteAccelerator")[0]
    assert (failed["status"], failed["error"]) == (400, "AcceleratorNotDisabledException"), failed
    assert failed["region"] == "us-west-2", failed
    unnamed = [call["operation"] for call in own("calls") if " " in call["operation"]]
    assert unnamed == [], unnamed
    summary = own("summary")
    assert summary["data_plane"] == 1 and summary["calls"] == len(own("calls?kind=api")), summary
    last = summary["last_seq"]
    client("ec2").describe_vpcs()
    later = own(f"calls?since={last}")
    assert [(call["seq"], call["operation"], call["mutating"]) for call in later] == [(last + 1, "DescribeVpcs", False)]
    own("calls", "DELETE")
    assert own("calls") == []
    try:
        own("no-such-thing")
        raise AssertionError("404 was expected")
    except urllib.error.HTTPError as error:
        assert error.code == 404, error


def refusals():
    """A refusal by a scenario is understood in every protocol, and the log tells who refused."""
    for service, operation, method, parameters, status, code in [
        ("ec2", "CreateVpc", "create_vpc", {"CidrBlock": "10.9.0.0/16"}, 400, "VpcLimitExceeded"),
        ("sns", "CreateTopic", "create_topic", {"Name": "t"}, 403, "TopicLimitExceeded"),
        ("dynamodb", "DeleteTable", "delete_table", {"TableName": "none"}, 400, "LimitExceededException"),
        ("sqs", "CreateQueue", "create_queue", {"QueueName": "q"}, 400, "LimitExceededException"),
        ("apigateway", "CreateRestApi", "create_rest_api", {"name": "a"}, 429, "LimitExceededException"),
        ("route53", "CreateHostedZone", "create_hosted_zone", {"Name": "z.example", "CallerReference": "z"}, 400, "TooManyHostedZones"),
        ("s3", "CreateBucket", "create_bucket", {"Bucket": "one-too-many"}, 400, "TooManyBuckets"),
        ("cloudwatch", "DeleteAlarms", "delete_alarms", {"AlarmNames": ["a"]}, 400, "LimitExceeded"),
    ]:
        signed = {"cloudwatch": "monitoring"}.get(service, service)
        own("scenarios", "PUT", {"names": ["hard-limits"], "limit": f"{signed}:{operation}"})
        try:
            getattr(impatient(service), method)(**parameters)
            raise AssertionError(f"{code} was expected")
        except ClientError as error:
            answer = error.response
            assert answer["Error"]["Code"] == code, (service, answer)
            assert answer["Error"]["Message"].startswith("The maximum number of resources"), (service, answer)
            assert answer["ResponseMetadata"]["HTTPStatusCode"] == status, (service, answer)
    refused_calls = own("calls?scenario=hard-limits")
    assert len(refused_calls) == 8 and all(call["error"] for call in refused_calls), refused_calls


def quotas():
    own("scenarios", "PUT", {"names": ["quotas"]})
    apis = impatient("apigateway")
    refused("NotFoundException", apis.delete_rest_api, restApiId="none")
    refused("TooManyRequestsException", apis.delete_rest_api, restApiId="none")
    assert own("summary")["throttled"] == 1
    own("scenarios", "PUT", {"names": []})
    refused("NotFoundException", apis.delete_rest_api, restApiId="none")


def vpcs():
    return len(client("ec2").describe_vpcs()["Vpcs"])


def cut(endings, method, **parameters):
    try:
        endings.append(getattr(impatient("ec2"), method)(**parameters))
    except ConnectionClosedError as error:
        endings.append(error)


def freeze():
    before = vpcs()
    for after, made in [(False, 0), (True, 1)]:
        own("freeze", "PUT", {"call": 2, "after": after})
        assert not own("freeze")["frozen"]
        client("ec2").create_internet_gateway()
        endings = []
        chosen = threading.Thread(target=cut, args=(endings, "create_vpc"), kwargs={"CidrBlock": "10.7.0.0/16"})
        chosen.start()
        state = own("freeze?wait=60")
        expected = {"frozen": True, "call": 2, "after": after, "operation": "ec2:CreateVpc", "seen": 2}
        assert state == expected, state
        later = threading.Thread(target=cut, args=(endings, "describe_vpcs"))
        later.start()
        assert endings == [], "nothing is answered"
        own("freeze", "DELETE")
        chosen.join()
        # The second may arrive when all is over, and is answered then.
        later.join()
        assert sum(isinstance(ending, ConnectionClosedError) for ending in endings) >= 1, endings
        before += made
        assert vpcs() == before, (after, before)
        assert own("freeze") == {"frozen": False, "seen": 0}


balancer, vpc = network()
routes(vpc)
accelerator(balancer, vpc)
data()
api_path = function_and_api()
log()
refusals()
quotas()
freeze()
own("scenarios", "PUT", {"names": []})
door(api_path)
