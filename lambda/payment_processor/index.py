"""Processes one payment per call: `POST /payment`.

API Gateway (REST proxy integration) and an application load balancer (Lambda target) both call `handler`. A payment is
validated, committed to the table by one conditional put, then its receipt is written to the bucket and an event is put
on the bus. It never logs or echoes a request body, and never computes with binary floats.

Invariants:

1. Nothing is called before the whole request is valid; every problem of a request is reported at once.
2. The conditional put is the commit. What fails before it or in it is an error the caller repeats safely; what fails
   after it never turns the answer into a failure.
3. A repeat with the same content answers with the first result. A repeat with different content changes nothing.
4. The record says which parts are still pending. A part is marked done only after it succeeded, never back again, and
   a repeat of the payment does exactly the parts that are pending. So a receipt may be rewritten, with the same bytes
   at the same key, and an event may come more than once: consumers recognise a payment by its `transactionId`.

What the conditional put guarantees, and what not: within one region, of any number of simultaneous requests with one
`transactionId` exactly one commits. Global tables replicate asynchronously and the last writer of an item wins, so two
regions that receive the same `transactionId` within the replication lag (usually about a second, longer while a region
is isolated) both commit, both write a receipt and both publish, and one record silently replaces the other. Send a
customer's repeats to one region, and reconcile by receipts and events after a failover. The guarantee also ends when a
record expires (`RECORD_TTL_DAYS`); without that variable records are kept for good.

An SDK retry whose first attempt had committed unseen looks like a repeat: the caller then gets `200` and
`"replayed": true` for a payment sent once. The record is right either way.
"""

import base64
import json
import os
import re
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http import HTTPStatus
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

TABLE_NAME = os.environ["TABLE_NAME"]
BUCKET_NAME = os.environ["BUCKET_NAME"]
BUCKET_OWNER = os.environ["BUCKET_OWNER"]
EVENT_BUS_NAME = os.environ["EVENT_BUS_NAME"]
REGION = os.environ["AWS_REGION"]
TTL_ATTRIBUTE = os.environ.get("TTL_ATTRIBUTE", "expiresAt")
RECORD_TTL = timedelta(days=int(days)) if (days := os.environ.get("RECORD_TTL_DAYS")) else None

# With bucket and bus both at their slowest, the answer still comes within the 29 s after which API Gateway gives up.
_CONFIG = Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard", "total_max_attempts": 3})
dynamodb: Any = boto3.client("dynamodb", region_name=REGION, config=_CONFIG)
s3: Any = boto3.client("s3", region_name=REGION, config=_CONFIG)
events: Any = boto3.client("events", region_name=REGION, config=_CONFIG)

PENDING, DONE = "pending", "done"
FIELDS = ("transactionId", "customerId", "amount", "currency")
STATUSES = ("receiptStatus", "eventStatus")
MAX_BODY_BYTES = 4096
# ISO 8583 gives an amount twelve digits of minor units, so no clearing network carries more.
MAX_MINOR_UNITS = Decimal(10**12 - 1)
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_AMOUNT = re.compile(r"(?:0|[1-9][0-9]*)(?:\.([0-9]+))?")
_MINOR_DIGITS = {
    **dict.fromkeys(("CLP", "ISK", "JPY", "KRW", "VND"), 0),
    **dict.fromkeys(("BHD", "JOD", "KWD", "OMR", "TND"), 3),
    **dict.fromkeys(("AED", "AUD", "BRL", "CAD", "CHF", "CNY", "CZK", "DKK", "EUR", "GBP", "HKD", "HUF"), 2),
    **dict.fromkeys(("IDR", "ILS", "INR", "MXN", "MYR", "NOK", "NZD", "PHP", "PLN", "RON", "SAR", "SEK"), 2),
    **dict.fromkeys(("SGD", "THB", "TRY", "TWD", "UAH", "USD", "ZAR"), 2),
}

Event = Mapping[str, Any]
Response = dict[str, Any]


class Numeral(str):
    """The text of a JSON number as it was sent, so that `10.10` is never anything but 10.10."""


class InvalidPayment(Exception):
    """A request that is refused, with every problem found as (field, problem)."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        super().__init__("invalid payment")
        self.problems = problems


class EventRefused(Exception):
    """The bus took the call and refused the event; the argument is its error code."""


@dataclass(frozen=True)
class Payment:
    """A valid payment, under the names of the contract.

    `amount` is decimal text with exactly the currency's minor digits, so equal amounts are equal texts.
    """

    transactionId: str
    customerId: str
    amount: str
    currency: str


@dataclass(frozen=True)
class Record:
    """What the table holds for one payment."""

    payment: Payment
    processed_at: datetime
    region: str
    statuses: Mapping[str, str]

    @property
    def receipt_key(self) -> str:
        return f"receipts/{self.processed_at:%Y/%m/%d}/{self.payment.transactionId}.json"

    @property
    def result(self) -> dict[str, str]:
        """The facts of the payment that never change after the commit; receipt and event carry exactly these."""
        processed_at = self.processed_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {**vars(self.payment), "processedAt": processed_at, "region": self.region}

    def to_item(self) -> dict[str, dict[str, str]]:
        item = {name: {"S": text} for name, text in {**self.result, **self.statuses}.items()}
        if RECORD_TTL:
            item[TTL_ATTRIBUTE] = {"N": str(int((self.processed_at + RECORD_TTL).timestamp()))}
        return item

    @classmethod
    def from_item(cls, item: Mapping[str, Mapping[str, str]]) -> "Record":
        return cls(
            Payment(**{name: item[name]["S"] for name in FIELDS}),
            datetime.fromisoformat(item["processedAt"]["S"]),
            item["region"]["S"],
            {name: item[name]["S"] for name in STATUSES},
        )


def handler(event: Event, context: Any) -> Response:
    """Answers one request; whatever happens, the answer is JSON and says no more than the caller may know."""
    request = event.get("requestContext") or {}
    request_id = str(request.get("requestId") or getattr(context, "aws_request_id", ""))
    try:
        status, body, headers = _route(event, request_id)
    except Exception as error:  # The boundary of the function: the caller gets the request id, the log gets the place.
        stack = [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
        _log("error", "unexpected error", request_id, error=type(error).__name__, stack=stack)
        status, body, headers = HTTPStatus.INTERNAL_SERVER_ERROR, {"error": "internal error"}, {}
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        body = {**body, "requestId": request_id}
    response: Response = {
        "statusCode": int(status),
        "headers": {"Content-Type": "application/json", "Cache-Control": "no-store", **headers},
        "body": json.dumps(body),
        "isBase64Encoded": False,
    }
    if "elb" in request:
        response["statusDescription"] = f"{int(status)} {status.phrase}"
    return response


def _route(event: Event, request_id: str) -> tuple[HTTPStatus, dict[str, Any], dict[str, str]]:
    if event.get("path") != "/payment":
        return HTTPStatus.NOT_FOUND, {"error": "not found"}, {}
    if event.get("httpMethod") != "POST":
        return HTTPStatus.METHOD_NOT_ALLOWED, {"error": "method not allowed"}, {"Allow": "POST"}
    try:
        payment = parse_payment(event)
    except InvalidPayment as invalid:
        # The name of an unknown field is the caller's text and stays out of the log.
        fields = sorted({name if name in (*FIELDS, "body") else "(unknown)" for name, _ in invalid.problems})
        _log("warning", "invalid payment", request_id, fields=fields)
        problems = [{"field": name, "problem": problem} for name, problem in invalid.problems]
        return HTTPStatus.BAD_REQUEST, {"error": "invalid payment", "problems": problems}, {}
    try:
        record, replayed = _commit(Record(payment, _now(), REGION, dict.fromkeys(STATUSES, PENDING)))
    except (BotoCoreError, ClientError) as error:
        _log("error", "payment not committed", request_id, payment.transactionId, error=_reason(error))
        message = "payment not processed; send the same payment again"
        return HTTPStatus.SERVICE_UNAVAILABLE, {"error": message}, {"Retry-After": "2"}
    if differing := [name for name in FIELDS if getattr(payment, name) != getattr(record.payment, name)]:
        _log("warning", "transactionId used before", request_id, payment.transactionId, fields=differing)
        return HTTPStatus.CONFLICT, {"error": "transactionId was used for a different payment", "fields": differing}, {}
    record = _finish(record, request_id)
    _log("info", "payment replayed" if replayed else "payment processed", request_id, payment.transactionId)
    status = HTTPStatus.OK if replayed else HTTPStatus.CREATED
    return status, {**record.result, "receiptKey": record.receipt_key, **record.statuses, "replayed": replayed}, {}


def parse_payment(event: Event) -> Payment:
    """Reads the payment out of a request; raises `InvalidPayment` with every problem it has."""
    fields = _read_body(event)
    problems = [(name, "is not a known field") for name in fields if name not in FIELDS]
    problems += [(name, "is required") for name in FIELDS if name not in fields]

    for name in ("transactionId", "customerId"):
        value = fields.get(name)
        # `type` and not `isinstance`: a Numeral is a JSON number, not a JSON string.
        if name in fields and not (type(value) is str and _ID.fullmatch(value)):
            problems.append((name, "must be a string of 1 to 64 letters, digits, dots, underscores or hyphens"))

    currency = fields.get("currency")
    minor_digits = _MINOR_DIGITS.get(currency) if type(currency) is str else None
    if "currency" in fields and minor_digits is None:
        problems.append(("currency", "must be a supported ISO 4217 code in capitals, such as EUR, JPY or USD"))

    amount = fields.get("amount")
    number = _AMOUNT.fullmatch(amount) if isinstance(amount, str) else None
    if "amount" in fields:
        if number is None or not Decimal(number[0]):
            problems.append(("amount", "must be a positive decimal such as 10.50, as a number or a string"))
        elif minor_digits is not None:
            if len(number[1] or "") > minor_digits:
                problems.append(("amount", f"must have at most {minor_digits} digits after the point in {currency}"))
            if Decimal(number[0]) > (maximum := MAX_MINOR_UNITS.scaleb(-minor_digits)):
                problems.append(("amount", f"must be at most {maximum:f} {currency}"))

    if problems or number is None or minor_digits is None:
        raise InvalidPayment(problems)
    return Payment(
        transactionId=str(fields["transactionId"]),
        customerId=str(fields["customerId"]),
        amount=f"{Decimal(number[0]):.{minor_digits}f}",
        currency=str(currency),
    )


def _read_body(event: Event) -> dict[str, Any]:
    body = event.get("body")
    if not body:
        raise InvalidPayment([("body", "is required")])
    try:
        # A load balancer encodes every body whose content type it does not know as text, also plain `curl --data`.
        data = base64.b64decode(body, validate=True) if event.get("isBase64Encoded") else body.encode()
        if len(data) > MAX_BODY_BYTES:
            raise InvalidPayment([("body", f"must be at most {MAX_BODY_BYTES} bytes")])
        fields = json.loads(
            data.decode(),
            parse_float=Numeral,
            parse_int=Numeral,
            parse_constant=_refuse_constant,
            object_pairs_hook=_unique_fields,
        )
    except (ValueError, RecursionError):
        raise InvalidPayment([("body", "must be a JSON object in UTF-8")]) from None
    if not isinstance(fields, dict):
        raise InvalidPayment([("body", "must be a JSON object in UTF-8")])
    return fields


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _unique_fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuses a name that comes twice: which of two amounts counts would otherwise depend on who reads it."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        raise InvalidPayment([(name, "is given more than once") for name in fields if names.count(name) > 1])
    return fields


def _commit(record: Record) -> tuple[Record, bool]:
    """Stores the record unless its `transactionId` has one; returns the stored record, and whether it was there."""
    try:
        dynamodb.put_item(
            TableName=TABLE_NAME,
            Item=record.to_item(),
            ConditionExpression="attribute_not_exists(transactionId)",
            # Hands back the record that is in the way at no extra read, and without a gap in which it could expire.
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
        return Record.from_item(error.response["Item"]), True
    return record, False


def _finish(record: Record, request_id: str) -> Record:
    """Does the pending parts of a committed payment; returns the record as the table then has it."""
    transaction_id = record.payment.transactionId
    done = []
    for status, do in zip(STATUSES, (_store_receipt, _publish_event), strict=True):
        if record.statuses[status] == DONE:
            continue
        try:
            do(record)
        except Exception as error:  # The payment is committed: no failure of any kind may hide that from the caller.
            _log("error", f"{status} stays pending", request_id, transaction_id, error=_reason(error))
        else:
            done.append(status)
    if not done:
        return record
    try:
        dynamodb.update_item(
            TableName=TABLE_NAME,
            Key={"transactionId": {"S": transaction_id}},
            UpdateExpression="SET " + ", ".join(f"{status} = :done" for status in done),
            # Without it, the update of a record that expired meanwhile would create an empty one.
            ConditionExpression="attribute_exists(transactionId)",
            ExpressionAttributeValues={":done": {"S": DONE}},
        )
    except Exception as error:  # As above; a repeat does the same parts again, which harms nobody.
        _log("error", "statuses not recorded", request_id, transaction_id, fields=done, error=_reason(error))
        return record
    return replace(record, statuses={**record.statuses, **dict.fromkeys(done, DONE)})


def _store_receipt(record: Record) -> None:
    s3.put_object(
        Bucket=BUCKET_NAME,
        Key=record.receipt_key,
        Body=json.dumps(record.result, sort_keys=True).encode(),
        ContentType="application/json",
        # Anybody may take the name of a bucket that was deleted: what is theirs gets no receipt.
        ExpectedBucketOwner=BUCKET_OWNER,
    )


def _publish_event(record: Record) -> None:
    answer = events.put_events(
        Entries=[
            {
                "Source": "dr.payments",
                "DetailType": "PaymentProcessed",
                "Detail": json.dumps({**record.result, "receiptKey": record.receipt_key}),
                "Time": record.processed_at,
                "EventBusName": EVENT_BUS_NAME,
            }
        ]
    )
    # A refused entry comes with HTTP 200; only the count tells.
    if answer["FailedEntryCount"]:
        raise EventRefused(answer["Entries"][0].get("ErrorCode", "Unknown"))


def _reason(error: Exception) -> str:
    """The class of a failure: its message may hold resource names or data."""
    if isinstance(error, ClientError):
        return str(error.response["Error"]["Code"])
    return str(error) if isinstance(error, EventRefused) else type(error).__name__


def _now() -> datetime:
    return datetime.now(UTC)


def _log(level: str, message: str, request_id: str, transaction_id: str | None = None, **details: Any) -> None:
    entry = {"level": level, "message": message, "requestId": request_id, "transactionId": transaction_id}
    print(json.dumps({**entry, "region": REGION, **details}), flush=True)
