"""The payment processor on its own: every answer and every failure, against stubbed clients.

botocore's Stubber checks each call's parameters against the service model and refuses any call that was not foretold.
"""

import base64
import json
import unittest
from datetime import UTC, datetime
from typing import Any, ClassVar
from unittest import mock

from botocore.exceptions import EndpointConnectionError
from botocore.stub import Stubber
from support import ALONE, Answer, api_gateway_event, load, load_balancer_event

NOW = datetime(2025, 3, 9, 23, 59, 59, 120000, tzinfo=UTC)
PAYMENT = {"transactionId": "tx-1", "customerId": "customer_7", "amount": 10.5, "currency": "EUR"}
RESULT = {
    "transactionId": "tx-1",
    "customerId": "customer_7",
    "amount": "10.50",
    "currency": "EUR",
    "processedAt": "2025-03-09T23:59:59.120Z",
    "region": "us-east-1",
}
RECEIPT_KEY = "receipts/2025/03/09/tx-1.json"
# A record of an earlier day and another region, so that a replay cannot be mistaken for a new result.
EARLIER = {**RESULT, "processedAt": "2025-03-01T00:00:00.000Z", "region": "us-east-2"}
EARLIER_KEY = "receipts/2025/03/01/tx-1.json"


def answered(result: dict[str, str], key: str, receipt: str, event: str, replayed: bool) -> dict[str, Any]:
    return {**result, "receiptKey": key, "receiptStatus": receipt, "eventStatus": event, "replayed": replayed}


def item(result: dict[str, str], receipt: str, event: str) -> dict[str, dict[str, str]]:
    return {name: {"S": text} for name, text in {**result, "receiptStatus": receipt, "eventStatus": event}.items()}


class Case(unittest.TestCase):
    environment: ClassVar[dict[str, str]] = {}
    index: Any

    @classmethod
    def setUpClass(cls) -> None:
        cls.index = load("payment_processor", **ALONE, **cls.environment)

    def setUp(self) -> None:
        self.dynamodb, self.s3, self.events = (
            self.enterContext(Stubber(getattr(self.index, name))) for name in ("dynamodb", "s3", "events")
        )
        self.enterContext(mock.patch.object(self.index, "_now", return_value=NOW))

    def ask(self, payment: dict[str, Any] | None = None, event: dict[str, Any] | None = None) -> Answer:
        """Sends a payment, and proves that exactly the foretold calls were made."""
        answer = Answer(self.index, event or api_gateway_event("POST", "/payment", json.dumps(payment or PAYMENT)))
        for stub in (self.dynamodb, self.s3, self.events):
            stub.assert_no_pending_responses()
        return answer

    def commit(self, **extra: Any) -> None:
        self.dynamodb.add_response("put_item", {}, self.put(**extra))

    def put(self, **extra: Any) -> dict[str, Any]:
        return {
            "TableName": "payments",
            "Item": {**item(RESULT, "pending", "pending"), **extra},
            "ConditionExpression": "attribute_not_exists(transactionId)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }

    def commit_is_refused(self, stored: dict[str, dict[str, str]]) -> None:
        code = "ConditionalCheckFailedException"
        self.dynamodb.add_client_error("put_item", code, modeled_fields={"Item": stored})

    def receipt(self, result: dict[str, str] = RESULT, key: str = RECEIPT_KEY) -> None:
        body = json.dumps(result, sort_keys=True).encode()
        parameters = {
            "Bucket": "receipts",
            "Key": key,
            "Body": body,
            "ContentType": "application/json",
            "ExpectedBucketOwner": "000000000000",
        }
        self.s3.add_response("put_object", {}, parameters)

    def event(self, result: dict[str, str] = RESULT, key: str = RECEIPT_KEY, refused: str | None = None) -> None:
        entry = {
            "Source": "dr.payments",
            "DetailType": "PaymentProcessed",
            "Detail": json.dumps({**result, "receiptKey": key}),
            "Time": datetime.fromisoformat(result["processedAt"]),
            "EventBusName": "bus",
        }
        answer = {"ErrorCode": refused, "ErrorMessage": "a secret detail"} if refused else {"EventId": "1"}
        response = {"FailedEntryCount": int(refused is not None), "Entries": [answer]}
        self.events.add_response("put_events", response, {"Entries": [entry]})

    def done(self, *statuses: str) -> None:
        self.dynamodb.add_response("update_item", {}, self.update(*statuses))

    def update(self, *statuses: str) -> dict[str, Any]:
        return {
            "TableName": "payments",
            "Key": {"transactionId": {"S": "tx-1"}},
            "UpdateExpression": "SET " + ", ".join(f"{status} = :done" for status in statuses),
            "ConditionExpression": "attribute_exists(transactionId)",
            "ExpressionAttributeValues": {":done": {"S": "done"}},
        }

    def assert_logged_error(self, answer: Answer, message: str, error: str) -> None:
        errors = [line for line in answer.logs if line["level"] == "error"]
        self.assertEqual([(line["message"], line["error"]) for line in errors], [(message, error)])
        self.assertEqual(errors[0]["requestId"], "gateway-request")
        self.assertEqual(errors[0]["region"], "us-east-1")


class FirstPayment(Case):
    def test_is_committed_then_receipted_and_published(self) -> None:
        self.commit()
        self.receipt()
        self.event()
        self.done("receiptStatus", "eventStatus")
        answer = self.ask()
        self.assertEqual(answer.status, 201)
        self.assertEqual(answer.body, answered(RESULT, RECEIPT_KEY, "done", "done", False))
        self.assertNotIn("statusDescription", answer.response)
        self.assertEqual([(line["level"], line["transactionId"]) for line in answer.logs], [("info", "tx-1")])
        self.assertNotIn("customer_7", answer.log_text)
        self.assertNotIn("10.5", answer.log_text)

    def test_comes_base64_encoded_through_a_load_balancer(self) -> None:
        self.commit()
        self.receipt()
        self.event()
        self.done("receiptStatus", "eventStatus")
        body = base64.b64encode(json.dumps(PAYMENT).encode()).decode()
        answer = self.ask(event=load_balancer_event("POST", "/payment", body, encoded=True))
        self.assertEqual(answer.response["statusDescription"], "201 Created")
        self.assertIs(answer.response["isBase64Encoded"], False)
        self.assertEqual(answer.body["transactionId"], "tx-1")
        self.assertEqual(answer.logs[0]["requestId"], "context-request")

    def test_survives_a_bucket_that_is_down(self) -> None:
        self.commit()
        self.s3.add_client_error("put_object", "InternalError", "a secret detail", 500)
        self.event()
        self.done("eventStatus")
        answer = self.ask()
        self.assertEqual(answer.status, 201)
        self.assertEqual(answer.body, answered(RESULT, RECEIPT_KEY, "pending", "done", False))
        self.assert_logged_error(answer, "receiptStatus stays pending", "InternalError")
        self.assertNotIn("secret", answer.log_text)

    def test_survives_a_bus_that_refuses_the_event(self) -> None:
        self.commit()
        self.receipt()
        self.event(refused="ThrottlingException")
        self.done("receiptStatus")
        answer = self.ask()
        self.assertEqual(answer.status, 201)
        self.assertEqual(answer.body, answered(RESULT, RECEIPT_KEY, "done", "pending", False))
        self.assert_logged_error(answer, "eventStatus stays pending", "ThrottlingException")

    def test_survives_both_being_unreachable(self) -> None:
        self.commit()
        down = EndpointConnectionError(endpoint_url="https://secret.example")
        with (
            mock.patch.object(self.index.s3, "put_object", side_effect=down),
            mock.patch.object(self.index.events, "put_events", side_effect=down),
        ):
            answer = self.ask()
        self.assertEqual(answer.status, 201)
        self.assertEqual(answer.body, answered(RESULT, RECEIPT_KEY, "pending", "pending", False))
        self.assertEqual(
            [(line["message"], line.get("error")) for line in answer.logs],
            [
                ("receiptStatus stays pending", "EndpointConnectionError"),
                ("eventStatus stays pending", "EndpointConnectionError"),
                ("payment processed", None),
            ],
        )
        self.assertEqual({line["transactionId"] for line in answer.logs}, {"tx-1"})

    def test_says_pending_when_the_statuses_could_not_be_recorded(self) -> None:
        self.commit()
        self.receipt()
        self.event()
        self.dynamodb.add_client_error("update_item", "ThrottlingException", "a secret detail")
        answer = self.ask()
        self.assertEqual(answer.status, 201)
        self.assertEqual(answer.body, answered(RESULT, RECEIPT_KEY, "pending", "pending", False))
        self.assert_logged_error(answer, "statuses not recorded", "ThrottlingException")

    def test_is_not_processed_when_the_table_refuses(self) -> None:
        for code in ("ThrottlingException", "ResourceNotFoundException", "AccessDeniedException"):
            with self.subTest(code):
                self.dynamodb.add_client_error("put_item", code, "a secret detail")
                answer = self.ask()
                self.assertEqual(answer.status, 503)
                self.assertGreater(int(answer.headers["Retry-After"]), 0)
                self.assertEqual(answer.body.keys(), {"error", "requestId"})
                self.assertNotIn(code, answer.response["body"])
                self.assert_logged_error(answer, "payment not committed", code)
                self.assertEqual(answer.logs[0]["transactionId"], "tx-1")

    def test_is_not_processed_when_the_table_is_unreachable(self) -> None:
        down = EndpointConnectionError(endpoint_url="https://secret.example")
        with mock.patch.object(self.index.dynamodb, "put_item", side_effect=down):
            answer = self.ask()
        self.assertEqual(answer.status, 503)
        self.assertNotIn("secret", answer.response["body"] + answer.log_text)

    def test_shows_only_the_request_id_of_an_unexpected_error(self) -> None:
        with mock.patch.object(self.index, "_commit", side_effect=KeyError("a secret detail")):
            answer = self.ask()
        self.assertEqual(answer.status, 500)
        self.assertEqual(answer.body, {"error": "internal error", "requestId": "gateway-request"})
        self.assert_logged_error(answer, "unexpected error", "KeyError")
        self.assertTrue(any(place.startswith("_route:") for place in answer.logs[0]["stack"]))
        self.assertNotIn("secret", answer.log_text)


class Repeat(Case):
    def test_returns_the_first_result_and_does_nothing(self) -> None:
        self.commit_is_refused(item(EARLIER, "done", "done"))
        answer = self.ask()
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.body, answered(EARLIER, EARLIER_KEY, "done", "done", True))

    def test_is_the_same_payment_whatever_the_form_of_its_amount(self) -> None:
        for amount in (10.5, "10.5", "10.50"):
            with self.subTest(amount):
                self.commit_is_refused(item(EARLIER, "done", "done"))
                self.assertEqual(self.ask({**PAYMENT, "amount": amount}).status, 200)

    def test_does_exactly_the_pending_parts_at_their_first_key_and_time(self) -> None:
        for receipt, event in (("pending", "done"), ("done", "pending"), ("pending", "pending")):
            with self.subTest(receipt=receipt, event=event):
                self.commit_is_refused(item(EARLIER, receipt, event))
                done = []
                if receipt == "pending":
                    self.receipt(EARLIER, EARLIER_KEY)
                    done.append("receiptStatus")
                if event == "pending":
                    self.event(EARLIER, EARLIER_KEY)
                    done.append("eventStatus")
                self.done(*done)
                answer = self.ask()
                self.assertEqual(answer.status, 200)
                self.assertEqual(answer.body, answered(EARLIER, EARLIER_KEY, "done", "done", True))

    def test_stays_pending_while_the_bus_still_refuses(self) -> None:
        self.commit_is_refused(item(EARLIER, "done", "pending"))
        self.event(EARLIER, EARLIER_KEY, refused="InternalFailure")
        answer = self.ask()
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.body, answered(EARLIER, EARLIER_KEY, "done", "pending", True))

    def test_with_other_content_names_the_differing_fields_and_changes_nothing(self) -> None:
        self.commit_is_refused(item(EARLIER, "pending", "pending"))
        answer = self.ask({**PAYMENT, "amount": "10.51", "customerId": "somebody-else"})
        self.assertEqual(answer.status, 409)
        self.assertEqual(answer.body["fields"], ["customerId", "amount"])
        self.assertNotIn("10.5", answer.response["body"])
        self.assertNotIn("customer_7", answer.response["body"])


class ExpiryByAnotherName(Case):
    environment: ClassVar[dict[str, str]] = {"RECORD_TTL_DAYS": "1", "TTL_ATTRIBUTE": "forget_at"}

    def test_is_written_where_the_table_looks_for_it(self) -> None:
        self.commit(forget_at={"N": str(int(NOW.timestamp()) + 24 * 3600)})
        self.receipt()
        self.event()
        self.done("receiptStatus", "eventStatus")
        self.assertEqual(self.ask().status, 201)


class Expiry(Case):
    environment: ClassVar[dict[str, str]] = {"RECORD_TTL_DAYS": "30"}

    def test_counts_from_the_processing(self) -> None:
        self.commit(expiresAt={"N": str(int(NOW.timestamp()) + 30 * 24 * 3600)})
        self.receipt()
        self.event()
        self.done("receiptStatus", "eventStatus")
        self.assertEqual(self.ask().status, 201)


class Validation(Case):
    """Nothing may be called for a request that is refused: the stubs foretell no call at all."""

    def problems(self, body: str | None, encoded: bool = False) -> list[tuple[str, str]]:
        answer = self.ask(event=api_gateway_event("POST", "/payment", body, encoded))
        self.assertEqual(answer.status, 400, answer.body)
        self.assertEqual(answer.body["error"], "invalid payment")
        return [(problem["field"], problem["problem"]) for problem in answer.body["problems"]]

    def test_refuses_what_is_no_json_object(self) -> None:
        self.assertEqual(self.problems(None), [("body", "is required")])
        self.assertEqual(self.problems(""), [("body", "is required")])
        for body in (
            "[]",
            "7",
            "null",
            '"text"',
            "{",
            "{'a': 1}",
            '{"amount": NaN}',
            "[" * 4000,
            "9" * 4000,
            "\ufeff{}",
        ):
            with self.subTest(body[:20]):
                self.assertEqual(self.problems(body), [("body", "must be a JSON object in UTF-8")])
        for body in ("not base64!", base64.b64encode(b"\xff\xfe{}").decode()):
            with self.subTest(body):
                self.assertEqual(self.problems(body, encoded=True), [("body", "must be a JSON object in UTF-8")])

    def test_refuses_a_body_that_is_too_long(self) -> None:
        body = json.dumps({**PAYMENT, "note": "x" * 5000})
        self.assertEqual(self.problems(body), [("body", "must be at most 4096 bytes")])
        encoded = base64.b64encode(body.encode()).decode()
        self.assertEqual(self.problems(encoded, encoded=True), [("body", "must be at most 4096 bytes")])

    def test_refuses_a_field_that_comes_twice(self) -> None:
        body = json.dumps(PAYMENT)[:-1] + ', "amount": 99}'
        self.assertEqual(self.problems(body), [("amount", "is given more than once")])

    def test_requires_every_field(self) -> None:
        for name in PAYMENT:
            body = json.dumps({field: value for field, value in PAYMENT.items() if field != name})
            with self.subTest(name):
                self.assertEqual(self.problems(body), [(name, "is required")])

    def test_reports_every_problem_at_once(self) -> None:
        body = json.dumps({"transactionId": "a b", "amount": -1, "currency": "eur", "cardNumber": "4111111111111111"})
        self.assertEqual(
            [field for field, _ in self.problems(body)],
            ["cardNumber", "customerId", "transactionId", "currency", "amount"],
        )

    def test_logs_no_text_of_the_caller(self) -> None:
        body = json.dumps({**PAYMENT, "amount": "a secret", "4111111111111111": "a secret"})
        answer = self.ask(event=api_gateway_event("POST", "/payment", body))
        self.assertEqual(answer.logs[0]["fields"], ["(unknown)", "amount"])
        self.assertNotIn("secret", answer.log_text)
        self.assertNotIn("4111", answer.log_text)

    def test_limits_identifiers(self) -> None:
        for name in ("transactionId", "customerId"):
            for value in ("", "x" * 65, "a/b", "a\n", "é", "٣", 7, 7.5, None, True, ["a"], {"a": 1}):
                with self.subTest(name=name, value=value):
                    problems = self.problems(json.dumps({**PAYMENT, name: value}))
                    self.assertEqual([field for field, _ in problems], [name])

    def test_limits_currencies(self) -> None:
        for value in ("", "eur", "XXX", "EURO", 978, None, ["EUR"], {"EUR": 2}):
            with self.subTest(value):
                problems = self.problems(json.dumps({**PAYMENT, "currency": value}))
                self.assertEqual([field for field, _ in problems], ["currency"])

    def test_refuses_amounts_that_are_no_positive_plain_decimal(self) -> None:
        texts = ("0", "0.00", "-0", "-1", "1e2", "1E400", "1e-2", "true", "null", "[1]", "{}")
        strings = ("", " 1", "1 ", "+1", "01", "1.", ".5", "1,5", "1_0", "NaN", "Infinity", "1e2", "٣", "0x1", "1\n")
        for text in (*texts, *map(json.dumps, strings)):
            with self.subTest(text):
                body = json.dumps(PAYMENT).replace("10.5", text)
                problem = "must be a positive decimal such as 10.50, as a number or a string"
                self.assertEqual(self.problems(body), [("amount", problem)])

    def test_limits_digits_and_size_by_currency(self) -> None:
        too_fine = "must have at most {} digits after the point in {}"
        too_much = "must be at most {} {}"
        for text, currency, problem in (
            ("1.001", "EUR", too_fine.format(2, "EUR")),
            ("1.000", "EUR", too_fine.format(2, "EUR")),
            ("1.0", "JPY", too_fine.format(0, "JPY")),
            ("1.0001", "KWD", too_fine.format(3, "KWD")),
            ("10000000000.00", "EUR", too_much.format("9999999999.99", "EUR")),
            ("1000000000000", "JPY", too_much.format("999999999999", "JPY")),
            ("9" * 3000, "KWD", too_much.format("999999999.999", "KWD")),
        ):
            with self.subTest(text=text[:20], currency=currency):
                body = json.dumps({**PAYMENT, "currency": currency}).replace("10.5", text)
                self.assertEqual(self.problems(body), [("amount", problem)])

    def test_keeps_every_digit_of_an_amount(self) -> None:
        # As a binary float, 9999999999.99 and 0.1 would both come back as something else sooner or later.
        for text, currency, amount in (
            ("9999999999.99", "EUR", "9999999999.99"),
            ('"0.1"', "USD", "0.10"),
            ("0.07", "USD", "0.07"),
            ("999999999.999", "KWD", "999999999.999"),
            ("999999999999", "JPY", "999999999999"),
            ("5", "EUR", "5.00"),
        ):
            with self.subTest(text):
                body = json.dumps({**PAYMENT, "currency": currency}).replace("10.5", text)
                payment = self.index.parse_payment(api_gateway_event("POST", "/payment", body))
                self.assertEqual(payment.amount, amount)


class Routing(Case):
    def test_knows_one_path_and_one_method(self) -> None:
        for build in (api_gateway_event, load_balancer_event):
            self.assertEqual(self.ask(event=build("POST", "/payments")).status, 404)
            answer = self.ask(event=build("GET", "/payment"))
            self.assertEqual((answer.status, answer.headers["Allow"]), (405, "POST"))

    def test_ends_before_the_gateway_gives_up(self) -> None:
        for client in (self.index.dynamodb, self.index.s3, self.index.events):
            config = client.meta.config
            attempts = config.retries["total_max_attempts"]
            # Standard retries pause at most 1 s before the second attempt and 2 s before the third.
            waits = attempts * (config.connect_timeout + config.read_timeout)
            self.assertLess(2 * (waits + sum(2**n for n in range(attempts - 1))), 29)


if __name__ == "__main__":
    unittest.main()
