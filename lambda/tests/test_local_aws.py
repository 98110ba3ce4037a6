"""Both functions against a local AWS: real boto3, a table, a bucket and a bus with a queue behind it, and once more as
deployed functions behind a REST API. Everything is made here under a fresh name and removed again."""

import io
import json
import os
import time
import unittest
import urllib.error
import urllib.request
import uuid
import zipfile
from typing import Any
from unittest import mock

import boto3
from support import ALONE, SOURCES, Answer, api_gateway_event, load

ENDPOINT = os.environ.get("AWS_ENDPOINT_URL", "")
# The key is the local AWS's own, which `local-aws start` makes and prints.
ACCOUNT = {
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": os.environ.get("AWS_ACCESS_KEY_ID", ""),
    "AWS_SECRET_ACCESS_KEY": os.environ.get("AWS_SECRET_ACCESS_KEY", ""),
}


@unittest.skipUnless(ENDPOINT, "AWS_ENDPOINT_URL is not set: there is no local AWS to test against")
class LocalAws(unittest.TestCase):
    name: str
    environment: dict[str, str]
    queue: str
    dynamodb: Any
    s3: Any
    sqs: Any
    payments: Any
    health: Any

    @classmethod
    def setUpClass(cls) -> None:
        cls.enterClassContext(mock.patch.dict(os.environ, ACCOUNT))
        # The session that other tests began keeps their credentials of nobody.
        boto3.setup_default_session()
        cls.addClassCleanup(boto3.setup_default_session)
        name = f"lambda-test-{uuid.uuid4().hex[:12]}"
        owner = cls.client("sts").get_caller_identity()["Account"]
        cls.environment = {"TABLE_NAME": name, "BUCKET_NAME": name, "BUCKET_OWNER": owner, "EVENT_BUS_NAME": name}
        cls.name = name
        cls.make_table()
        cls.s3 = cls.client("s3")
        cls.s3.create_bucket(Bucket=name)
        cls.addClassCleanup(cls.remove_bucket)
        cls.make_bus()
        cls.payments = load("payment_processor", **ACCOUNT, **cls.environment)
        cls.health = load("health_check", **ACCOUNT, **cls.environment)

    @staticmethod
    def client(service: str) -> Any:
        return boto3.client(service, region_name="us-east-1", endpoint_url=ENDPOINT)

    @classmethod
    def make_table(cls) -> None:
        cls.dynamodb = cls.client("dynamodb")
        cls.dynamodb.create_table(
            TableName=cls.name,
            AttributeDefinitions=[{"AttributeName": "transactionId", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "transactionId", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        cls.addClassCleanup(cls.dynamodb.delete_table, TableName=cls.name)
        cls.dynamodb.get_waiter("table_exists").wait(TableName=cls.name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})

    @classmethod
    def remove_bucket(cls) -> None:
        for entry in cls.s3.list_objects_v2(Bucket=cls.name).get("Contents", []):
            cls.s3.delete_object(Bucket=cls.name, Key=entry["Key"])
        cls.s3.delete_bucket(Bucket=cls.name)

    @classmethod
    def make_bus(cls) -> None:
        events, cls.sqs = cls.client("events"), cls.client("sqs")
        cls.queue = cls.sqs.create_queue(QueueName=cls.name)["QueueUrl"]
        cls.addClassCleanup(cls.sqs.delete_queue, QueueUrl=cls.queue)
        attributes = cls.sqs.get_queue_attributes(QueueUrl=cls.queue, AttributeNames=["QueueArn"])["Attributes"]
        events.create_event_bus(Name=cls.name)
        cls.addClassCleanup(events.delete_event_bus, Name=cls.name)
        rule = {"Name": cls.name, "EventBusName": cls.name}
        events.put_rule(
            **rule, EventPattern=json.dumps({"source": ["dr.payments"], "detail-type": ["PaymentProcessed"]})
        )
        cls.addClassCleanup(events.delete_rule, **rule)
        target = {"Id": "queue", "Arn": attributes["QueueArn"]}
        events.put_targets(Rule=cls.name, EventBusName=cls.name, Targets=[target])
        cls.addClassCleanup(events.remove_targets, Rule=cls.name, EventBusName=cls.name, Ids=["queue"])

    def payment(self, **fields: Any) -> dict[str, Any]:
        return {"transactionId": uuid.uuid4().hex, "customerId": "c-1", "amount": 12.3, "currency": "EUR", **fields}

    def pay(self, payment: dict[str, Any], function: Any = None) -> Answer:
        return Answer(function or self.payments, api_gateway_event("POST", "/payment", json.dumps(payment)))

    def item(self, transaction_id: str) -> dict[str, Any]:
        key = {"transactionId": {"S": transaction_id}}
        item: dict[str, Any] = self.dynamodb.get_item(TableName=self.name, Key=key, ConsistentRead=True)["Item"]
        return item

    def published(self, transaction_id: str, count: int) -> list[dict[str, Any]]:
        """Waits until the queue has given up `count` events of the payment; what comes beyond them counts too."""
        found: list[dict[str, Any]] = []
        for _ in range(20):
            wait = 0 if len(found) >= count else 1
            messages = self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10, WaitTimeSeconds=wait)
            for message in messages.get("Messages", []):
                self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
                event = json.loads(message["Body"])
                if event["detail"]["transactionId"] == transaction_id:
                    found.append(event)
            if len(found) >= count and not messages.get("Messages"):
                break
        return found

    def test_payment_is_recorded_receipted_and_published_once(self) -> None:
        payment = self.payment()
        first, second = self.pay(payment), self.pay(payment)
        self.assertEqual((first.status, second.status), (201, 200))
        self.assertEqual({**first.body, "replayed": True}, second.body)
        self.assertEqual((first.body["receiptStatus"], first.body["eventStatus"]), ("done", "done"))

        item = {name: value["S"] for name, value in self.item(payment["transactionId"]).items()}
        self.assertEqual(item, {name: first.body[name] for name in item})
        self.assertEqual(item["amount"], "12.30")
        receipt = json.loads(self.s3.get_object(Bucket=self.name, Key=first.body["receiptKey"])["Body"].read())
        self.assertEqual(receipt, {name: first.body[name] for name in receipt})
        self.assertEqual(receipt["transactionId"], payment["transactionId"])
        (event,) = self.published(payment["transactionId"], 1)
        self.assertEqual((event["source"], event["detail-type"]), ("dr.payments", "PaymentProcessed"))
        self.assertEqual(event["detail"], {**receipt, "receiptKey": first.body["receiptKey"]})

    def test_repeat_with_other_content_leaves_the_record_alone(self) -> None:
        payment = self.payment()
        self.pay(payment)
        before = self.item(payment["transactionId"])
        answer = self.pay({**payment, "amount": 99})
        self.assertEqual((answer.status, answer.body["fields"]), (409, ["amount"]))
        self.assertEqual(self.item(payment["transactionId"]), before)

    def test_repeat_finishes_what_a_missing_bucket_left_pending(self) -> None:
        payment = self.payment()
        environment = {**self.environment, "BUCKET_NAME": f"{self.name}-missing"}
        without_bucket = load("payment_processor", **ACCOUNT, **environment)
        first = self.pay(payment, without_bucket)
        self.assertEqual(
            (first.status, first.body["receiptStatus"], first.body["eventStatus"]), (201, "pending", "done")
        )
        self.assertEqual(self.item(payment["transactionId"])["receiptStatus"], {"S": "pending"})

        second = self.pay(payment)
        self.assertEqual((second.status, second.body["receiptStatus"]), (200, "done"))
        self.assertEqual(self.item(payment["transactionId"])["receiptStatus"], {"S": "done"})
        self.s3.head_object(Bucket=self.name, Key=first.body["receiptKey"])
        self.assertEqual(len(self.published(payment["transactionId"], 1)), 1)

    def test_payment_is_refused_without_a_table(self) -> None:
        environment = {**self.environment, "TABLE_NAME": f"{self.name}-missing"}
        self.assertEqual(self.pay(self.payment(), load("payment_processor", **ACCOUNT, **environment)).status, 503)

    def test_record_expires_when_asked_to(self) -> None:
        payment = self.payment()
        now = time.time()
        self.pay(payment, load("payment_processor", **ACCOUNT, **self.environment, RECORD_TTL_DAYS="1"))
        expires_in = int(self.item(payment["transactionId"])["expiresAt"]["N"]) - now
        self.assertTrue(23 * 3600 < expires_in < 25 * 3600, expires_in)

    def test_health_follows_the_table(self) -> None:
        healthy = Answer(self.health, api_gateway_event("GET", "/health"))
        self.assertEqual((healthy.status, healthy.body["region"]), (200, "us-east-1"))
        missing = load("health_check", **ACCOUNT, TABLE_NAME=f"{self.name}-missing")
        unhealthy = Answer(missing, api_gateway_event("GET", "/health"))
        self.assertEqual((unhealthy.status, unhealthy.body["table"]["reason"]), (503, "ResourceNotFoundException"))

    def test_unreachable_endpoint_is_unavailable_and_unhealthy(self) -> None:
        payments = load("payment_processor", **ALONE)
        self.assertEqual(self.pay(self.payment(), payments).status, 503)
        answer = Answer(load("health_check", **ALONE), api_gateway_event("GET", "/health"))
        self.assertEqual((answer.status, answer.body["table"]["reason"]), (503, "EndpointConnectionError"))

    def test_deployed_behind_a_rest_api(self) -> None:
        gateway = self.client("apigateway")
        api = gateway.create_rest_api(name=self.name, endpointConfiguration={"types": ["REGIONAL"]})["id"]
        self.addCleanup(gateway.delete_rest_api, restApiId=api)
        root = gateway.get_resources(restApiId=api)["items"][0]["id"]
        for method, path, function in (("POST", "payment", "payment_processor"), ("GET", "health", "health_check")):
            arn = self.deploy(function)
            resource = gateway.create_resource(restApiId=api, parentId=root, pathPart=path)["id"]
            route = {"restApiId": api, "resourceId": resource, "httpMethod": method}
            gateway.put_method(**route, authorizationType="NONE")
            invocation = f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{arn}/invocations"
            gateway.put_integration(**route, type="AWS_PROXY", integrationHttpMethod="POST", uri=invocation)
        gateway.create_deployment(restApiId=api, stageName="prod")
        base = f"{ENDPOINT}/_aws/execute-api/{api}/prod"

        payment = json.dumps(self.payment()).encode()
        statuses, bodies = zip(*(self.call(f"{base}/payment", payment) for _ in range(2)), strict=True)
        self.assertEqual(statuses, (201, 200))
        self.assertEqual({**bodies[0], "replayed": True}, bodies[1])
        status, body = self.call(f"{base}/payment", b"{}")
        self.assertEqual((status, len(body["problems"])), (400, 4))
        status, body = self.call(f"{base}/health")
        self.assertEqual((status, body["status"], body["region"]), (200, "healthy", "us-east-1"))

    def deploy(self, function: str) -> str:
        client = self.client("lambda")
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as content:
            content.write(SOURCES / function / "index.py", "index.py")
        name = f"{self.name}-{function}"
        arn: str = client.create_function(
            FunctionName=name,
            Runtime="python3.13",
            Handler="index.handler",
            Role="arn:aws:iam::000000000000:role/any",
            Timeout=30,
            Code={"ZipFile": archive.getvalue()},
            Environment={"Variables": self.environment},
        )["FunctionArn"]
        self.addCleanup(client.delete_function, FunctionName=name)
        client.get_waiter("function_active_v2").wait(FunctionName=name)
        return arn

    @staticmethod
    def call(url: str, body: bytes | None = None) -> tuple[int, dict[str, Any]]:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, body), timeout=30) as response:  # noqa: S310
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)


if __name__ == "__main__":
    unittest.main()
