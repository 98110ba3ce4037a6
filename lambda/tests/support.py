"""Loads a function as AWS does, alone and with its own environment, and builds the events it is called with."""

import contextlib
import importlib.util
import io
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

SOURCES = Path(__file__).resolve().parent.parent
CONTEXT = SimpleNamespace(aws_request_id="context-request")
# Names of nothing, and credentials of nobody: a test without a local AWS must not be able to reach anything.
ALONE = {
    "TABLE_NAME": "payments",
    "BUCKET_NAME": "receipts",
    "BUCKET_OWNER": "000000000000",
    "EVENT_BUS_NAME": "bus",
    "AWS_REGION": "us-east-1",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
}


def load(function: str, **environment: str) -> Any:
    """Imports the function afresh: its environment is read once, at import."""
    spec = importlib.util.spec_from_file_location(f"{function}_index", SOURCES / function / "index.py")
    assert spec and spec.loader  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    # The folder is what gets deployed: no byte code may be left in it.
    with mock.patch.dict(os.environ, environment), mock.patch.object(sys, "dont_write_bytecode", True):
        spec.loader.exec_module(module)
    return module


def api_gateway_event(method: str, path: str, body: str | None = None, encoded: bool = False) -> dict[str, Any]:
    return {
        "resource": path,
        "path": path,
        "httpMethod": method,
        "headers": {"Content-Type": "application/json"},
        "requestContext": {"requestId": "gateway-request", "stage": "prod"},
        "body": body,
        "isBase64Encoded": encoded,
    }


def load_balancer_event(method: str, path: str, body: str = "", encoded: bool = False) -> dict[str, Any]:
    target_group = "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/payments/0123456789abcdef"
    return {
        "requestContext": {"elb": {"targetGroupArn": target_group}},
        "httpMethod": method,
        "path": path,
        "queryStringParameters": {},
        "headers": {"content-type": "application/json"},
        "body": body,
        "isBase64Encoded": encoded,
    }


class Answer:
    """One answer of a function, with the log lines it wrote."""

    def __init__(self, function: Any, event: dict[str, Any]) -> None:
        with contextlib.redirect_stdout(io.StringIO()) as output:
            self.response = function.handler(event, CONTEXT)
        self.status = self.response["statusCode"]
        self.headers = self.response["headers"]
        self.body = json.loads(self.response["body"])
        self.log_text = output.getvalue()
        self.logs = [json.loads(line) for line in self.log_text.splitlines()]
