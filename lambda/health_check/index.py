"""Says whether this region can process payments now: `GET /health`.

Route 53 (through API Gateway) and the load balancer (Lambda target) decide by this answer where payments go, so it is
never cached and never optimistic: the table is read on every call. The read is a strongly consistent GetItem of a key
that cannot exist: it goes the way of every payment (endpoint, credentials, encryption key, the table in this region)
and costs one read unit, whereas DescribeTable asks the control plane, which has low quotas and can be down while
payments still work.

There is one attempt and no retry: Route 53 gives a check 2 s to answer once connected, and by its threshold already
forgives a single failure. Receipts and events are no part of health: payments are accepted without them.
"""

import json
import os
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

TABLE_NAME = os.environ["TABLE_NAME"]
REGION = os.environ["AWS_REGION"]
# No payment can have this key: "#" is not allowed in a transactionId.
SENTINEL = {"transactionId": {"S": "#health"}}

_CONFIG = Config(connect_timeout=0.5, read_timeout=1, retries={"mode": "standard", "total_max_attempts": 1})
dynamodb: Any = boto3.client("dynamodb", region_name=REGION, config=_CONFIG)

Response = dict[str, Any]


def handler(event: Mapping[str, Any], context: Any) -> Response:
    """Answers 200 when the table answers, 503 with the class of the failure when it does not."""
    request = event.get("requestContext") or {}
    request_id = str(request.get("requestId") or getattr(context, "aws_request_id", ""))
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    body: dict[str, Any]
    if event.get("path") != "/health":
        status, body = HTTPStatus.NOT_FOUND, {"error": "not found"}
    elif event.get("httpMethod") != "GET":
        status, body = HTTPStatus.METHOD_NOT_ALLOWED, {"error": "method not allowed"}
        headers["Allow"] = "GET"
    else:
        table = check_table()
        healthy = table["status"] == "ok"
        status = HTTPStatus.OK if healthy else HTTPStatus.SERVICE_UNAVAILABLE
        body = {"status": "healthy" if healthy else "unhealthy", "region": REGION, "table": table}
        if not healthy:
            entry = {"level": "error", "message": "unhealthy", "requestId": request_id}
            print(json.dumps({**entry, "region": REGION, "table": table}), flush=True)
    response: Response = {
        "statusCode": int(status),
        "headers": headers,
        "body": json.dumps(body),
        "isBase64Encoded": False,
    }
    if "elb" in request:
        response["statusDescription"] = f"{int(status)} {status.phrase}"
    return response


def check_table() -> dict[str, Any]:
    """Reads the table once; `reason` is the class of a failure, never its message, which may name resources."""
    start = time.monotonic()
    reason = None
    try:
        dynamodb.get_item(TableName=TABLE_NAME, Key=SENTINEL, ConsistentRead=True, ProjectionExpression="transactionId")
    except ClientError as error:
        reason = error.response["Error"]["Code"]
    except Exception as error:  # Whatever keeps the table from answering makes this region unhealthy.
        reason = type(error).__name__
    latency = round((time.monotonic() - start) * 1000, 1)
    if reason is None:
        return {"status": "ok", "latencyMs": latency}
    return {"status": "failed", "reason": reason, "latencyMs": latency}
