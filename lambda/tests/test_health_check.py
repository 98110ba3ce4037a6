"""The health check on its own, against a stubbed table and against a server that never answers."""

import socket
import unittest

from botocore.stub import Stubber
from support import ALONE, Answer, api_gateway_event, load, load_balancer_event

READ = {
    "TableName": "payments",
    "Key": {"transactionId": {"S": "#health"}},
    "ConsistentRead": True,
    "ProjectionExpression": "transactionId",
}


class HealthCheck(unittest.TestCase):
    def setUp(self) -> None:
        self.index = load("health_check", **ALONE)
        self.dynamodb = self.enterContext(Stubber(self.index.dynamodb))

    def ask(self, method: str = "GET", path: str = "/health") -> Answer:
        answer = Answer(self.index, api_gateway_event(method, path))
        self.dynamodb.assert_no_pending_responses()
        return answer

    def test_is_healthy_when_the_table_answers(self) -> None:
        self.dynamodb.add_response("get_item", {}, READ)
        answer = self.ask()
        self.assertEqual(answer.status, 200)
        latency = answer.body["table"].pop("latencyMs")
        self.assertGreaterEqual(latency, 0)
        self.assertEqual(answer.body, {"status": "healthy", "region": "us-east-1", "table": {"status": "ok"}})
        self.assertEqual(answer.headers["Cache-Control"], "no-store")
        self.assertEqual(answer.logs, [])

    def test_asks_the_table_every_time(self) -> None:
        self.dynamodb.add_response("get_item", {}, READ)
        self.dynamodb.add_client_error("get_item", "InternalServerError")
        self.dynamodb.add_response("get_item", {}, READ)
        answers = [Answer(self.index, api_gateway_event("GET", "/health")).status for _ in range(3)]
        self.assertEqual(answers, [200, 503, 200])

    def test_is_unhealthy_with_the_class_of_the_failure_alone(self) -> None:
        for code in ("ResourceNotFoundException", "ThrottlingException", "AccessDeniedException"):
            with self.subTest(code):
                self.dynamodb.add_client_error("get_item", code, "a secret detail")
                answer = self.ask()
                self.assertEqual(answer.status, 503)
                self.assertEqual((answer.body["status"], answer.body["table"]["reason"]), ("unhealthy", code))
                self.assertEqual((answer.logs[0]["level"], answer.logs[0]["table"]["reason"]), ("error", code))
                self.assertNotIn("secret", answer.response["body"] + answer.log_text)

    def test_does_not_wait_for_a_table_that_hangs(self) -> None:
        # The kernel completes connections to a listening socket that nobody accepts from: only the read can time out.
        with socket.create_server(("127.0.0.1", 0)) as server:
            index = load("health_check", **{**ALONE, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.getsockname()[1]}"})
            answer = Answer(index, api_gateway_event("GET", "/health"))
        self.assertEqual((answer.status, answer.body["table"]["reason"]), (503, "ReadTimeoutError"))
        config = index.dynamodb.meta.config
        self.assertEqual(config.retries["total_max_attempts"], 1)
        self.assertLess(config.connect_timeout + config.read_timeout, 2)

    def test_answers_a_load_balancer(self) -> None:
        self.dynamodb.add_response("get_item", {}, READ)
        answer = Answer(self.index, load_balancer_event("GET", "/health"))
        self.assertEqual(answer.response["statusDescription"], "200 OK")

    def test_knows_one_path_and_one_method(self) -> None:
        self.assertEqual(self.ask(path="/").status, 404)
        answer = self.ask(method="POST")
        self.assertEqual((answer.status, answer.headers["Allow"]), (405, "GET"))


if __name__ == "__main__":
    unittest.main()
