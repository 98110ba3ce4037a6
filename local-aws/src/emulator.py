"""Runs the emulator for local-aws, on a free loopback port that is told on standard output.

Standard input is a pipe that local-aws holds open and never writes to. When it closes, by an orderly stop or because
local-aws was killed, the emulator and every process it started in its process group end at once.
"""

import asyncio
import os
import resource
import signal
import socket
import sys
import threading


def end_with_local_aws():
    while sys.stdin.buffer.read(4096):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


threading.Thread(target=end_with_local_aws, daemon=True).start()

# Many connections at once must not meet the usual soft limit of 1024 files.
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
listener.bind((os.environ["BIND_HOST"], 0))
print(listener.getsockname()[1], flush=True)
sys.stdout = sys.stderr

from hypercorn.asyncio import serve  # noqa: E402
from hypercorn.config import Config  # noqa: E402
from ministack.app import app  # noqa: E402
from ministack.services import apigateway_v1  # noqa: E402


def tagged_api(arn):
    """The REST API, stage or domain name with an ARN, or nothing."""
    parts = arn.split(":", 5)[-1].split("/")
    if parts[1] == "domainnames":
        return apigateway_v1._domain_names.get(parts[2])
    if len(parts) == 5:
        return apigateway_v1._stages_v1.get(parts[2], {}).get(parts[4])
    return apigateway_v1._rest_apis.get(parts[2])


def with_told_tags(call, change):
    """Lets what APIs tell of themselves have the tags that they were given later, too: the emulator keeps telling the first ones."""

    def changed(arn, given):
        answer = call(arn, given)
        told = answer[0] < 300 and tagged_api(arn)
        if told:
            change(told.setdefault("tags", {}), given)
        return answer

    return changed


apigateway_v1._tag_v1_resource = with_told_tags(
    apigateway_v1._tag_v1_resource, lambda tags, given: tags.update(given.get("tags", {}))
)
apigateway_v1._untag_v1_resource = with_told_tags(
    apigateway_v1._untag_v1_resource, lambda tags, keys: [tags.pop(key, None) for key in keys]
)

secret = os.environ.pop("LOCAL_AWS_SECRET").encode()


async def door(scope, receive, send):
    """Lets only the proxy in: what reaches the port by another way came round its door."""
    if scope["type"] == "lifespan" or (b"x-local-aws-secret", secret) in scope["headers"]:
        return await app(scope, receive, send)
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 403, "headers": []})
        await send({"type": "http.response.body", "body": b""})


config = Config()
config.bind = [f"fd://{listener.fileno()}"]
config.keep_alive_timeout = 3600
config.loglevel = os.environ["LOG_LEVEL"]
asyncio.run(serve(door, config))
sys.exit("the emulator stopped serving")
