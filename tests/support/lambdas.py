"""The functions as Lambdas on the stores of a world, beside the self-hosted server on the same."""

import asyncio
import base64
import http.client
import json
import logging
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import boto3
import pytest
import structlog
from moto import mock_aws
from pydantic import SecretStr

from quantlab_edge.lambdas_entry import Entry
from quantlab_edge.settings import Settings
from quantlab_edge.settings_aws import AwsSettings
from quantlab_manifest import HttpWake
from quantlab_server import app, plan
from tests.support.gateway import authorizer_event, routed
from tests.support.world import World, world

REGION = "eu-central-1"
PREFIX = "quantlab/test"
QUEUES = ("orders", "audit", "publish", "webhooks")
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of either host, in the same terms."""

    status: int
    headers: dict[str, str]
    cookies: tuple[str, ...]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Lambdas:
    """The entries of functions, each in the environment the stack gives it."""

    settings: dict[str, Any]
    _entries: dict[str, Entry] = field(default_factory=dict)
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))

    def invoke(self, function: str, event: Any, request_id: str = "lambda-request-0001") -> Any:
        """Call a function's handler as the runtime does: one thread, one call at a time."""
        return self._thread.submit(self._invoke, function, event, request_id).result(60)

    def entry(self, function: str) -> Entry:
        if function not in self._entries:
            self._entries[function] = Entry(AwsSettings(function=function, **self.settings))
        return self._entries[function]

    def _invoke(self, function: str, event: Any, request_id: str) -> Any:
        context = SimpleNamespace(
            aws_request_id=request_id,
            function_name=function.replace("/", "-"),
            function_version="$LATEST",
            invoked_function_arn=f"arn:aws:lambda:{REGION}:123456789012:function:x",
            memory_limit_in_mb=512,
            get_remaining_time_in_millis=lambda: 10_000,
        )
        # What comes back crosses the wire as JSON.
        return json.loads(json.dumps(self.entry(function)(event, context)))

    def request(self, event: dict[str, Any]) -> Answer:
        """Take a request through the gateway: its authorizer first, then the function."""
        manifest = routed(event["rawPath"])
        assert isinstance(manifest.wake, HttpWake)
        if not manifest.wake.public:
            told = self.invoke("gateway/authorizer", authorizer_event(event))
            assert told["isAuthorized"] is True
            context = {**event["requestContext"], "authorizer": {"lambda": told["context"]}}
            event = {**event, "requestContext": context}
        return read_answer(self.invoke(f"http/{manifest.name}", event))

    def close(self) -> None:
        for entry in self._entries.values():
            self._thread.submit(entry.close).result(30)
        self._thread.shutdown()


def read_answer(answer: dict[str, Any]) -> Answer:
    body = answer.get("body", "")
    raw = base64.b64decode(body) if answer.get("isBase64Encoded") else body.encode()
    headers = {name.lower(): value for name, value in (answer.get("headers") or {}).items()}
    return Answer(answer["statusCode"], headers, tuple(answer.get("cookies") or ()), raw)


@dataclass
class Twins:
    """Both hosts on one world."""

    world: World
    port: int
    lambdas: Lambdas
    loop: asyncio.AbstractEventLoop

    def do(self, work: Coroutine[Any, Any, Made]) -> Made:
        """Run something with the world's own ports."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def self_hosted(self, event: dict[str, Any]) -> Answer:
        """Send a recorded request to the self-hosted server, its path as it came."""
        body = event.get("body", "")
        raw = base64.b64decode(body) if event["isBase64Encoded"] else body.encode()
        target = event["rawPath"] + (f"?{query}" if (query := event["rawQueryString"]) else "")
        headers = dict(event["headers"])
        if event.get("cookies"):
            headers["cookie"] = "; ".join(event["cookies"])
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            method = event["requestContext"]["http"]["method"]
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders(raw)
            answer = connection.getresponse()
            found = [(name.lower(), value) for name, value in answer.getheaders()]
            return Answer(
                answer.status,
                {name: value for name, value in found if name != "set-cookie"},
                tuple(value for name, value in found if name == "set-cookie"),
                answer.read(),
            )
        finally:
            connection.close()


@contextmanager
def twins(app_dsn: str, redis_url: str, state: Path, patch: pytest.MonkeyPatch) -> Iterator[Twins]:
    """Start everything; what the stack would make is made in moto's services."""
    _environment(patch)
    patch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws(), _lines_as_before(), _background() as loop:
        yield from _twins(app_dsn, redis_url, state, loop)


def _twins(
    app_dsn: str, redis_url: str, state: Path, loop: asyncio.AbstractEventLoop
) -> Iterator[Twins]:
    def do(work: Coroutine[Any, Any, Made]) -> Made:
        return asyncio.run_coroutine_threadsafe(work, loop).result(60)

    small = world(app_dsn, redis_url, state)
    made = do(small.__aenter__())
    lambdas = Lambdas(_stack(made, state, app_dsn, redis_url, do))
    try:
        port, stop = do(_serve(made, state))
        yield Twins(made, port, lambdas, loop)
        do(stop())
    finally:
        lambdas.close()
        do(small.__aexit__(None, None, None))


async def _serve(made: World, state: Path) -> tuple[int, Callable[[], Coroutine[Any, Any, None]]]:
    listener = socket.create_server(("127.0.0.1", 0))
    settings = Settings(
        database_url=SecretStr("postgresql://nowhere"),
        redis_url=SecretStr("redis://nowhere"),
        state=state,
    )
    server = app.server(app.create_app(made.ports, plan.manifests()), settings)
    serving = asyncio.create_task(server.serve([listener]))
    while not server.started:
        await asyncio.sleep(0.01)

    async def stop() -> None:
        server.should_exit = True
        await serving
        listener.close()

    return listener.getsockname()[1], stop


def _environment(patch: pytest.MonkeyPatch) -> None:
    patch.setenv("AWS_ACCESS_KEY_ID", "test")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    patch.setenv("AWS_DEFAULT_REGION", REGION)
    patch.setenv("AWS_REGION", REGION)
    patch.setenv("QUANTLAB_ARGON2_TIME_COST", "1")
    patch.setenv("QUANTLAB_ARGON2_MEMORY_KIB", "8192")


def _stack(
    made: World,
    state: Path,
    app_dsn: str,
    redis_url: str,
    do: Callable[[Coroutine[Any, Any, Any]], Any],
) -> dict[str, Any]:
    """Make what a deployment makes, with the keys that the self-hosted side has."""
    do(made.ports.keys.encrypt("nobody", "test", b""))
    for purpose in ("jwt", "audit"):
        do(made.ports.keys.signing_keys(purpose))
    keys = state / "keys"
    content = {
        "masters": {"1": base64.b64encode((keys / "master.key").read_bytes()).decode()},
        **{name: [(keys / name / "0001.pem").read_text()] for name in ("jwt", "audit")},
    }
    secrets = boto3.client("secretsmanager")
    stores = {"databaseUrl": app_dsn, "redisUrl": redis_url}
    secrets.create_secret(Name=f"{PREFIX}/stores", SecretString=json.dumps(stores))
    secrets.create_secret(Name=f"{PREFIX}/keys", SecretString=json.dumps(content))
    sqs = boto3.client("sqs")
    queues = {
        f"queue_{name}": sqs.create_queue(
            QueueName=f"{name}.fifo", Attributes={"FifoQueue": "true", "VisibilityTimeout": "1"}
        )["QueueUrl"]
        for name in QUEUES
    }
    boto3.client("events").create_event_bus(Name="quantlab")
    boto3.client("s3").create_bucket(
        Bucket="quantlab-archive", CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    boto3.client("sesv2").create_email_identity(EmailIdentity="a@quantlab.example")
    return {
        "stage": "test",
        "stores_secret": f"{PREFIX}/stores",
        "keys_secret": f"{PREFIX}/keys",
        "secrets_prefix": PREFIX,
        **queues,
        "event_bus": "quantlab",
        "socket_endpoint": f"https://a1b2c3d4e5.execute-api.{REGION}.amazonaws.com/test",
        "archive_bucket": "quantlab-archive",
        "mail_sender": "a@quantlab.example",
        "public_url": "http://127.0.0.1:8080",
        "argon2_time_cost": 1,
        "argon2_memory_kib": 8192,
    }


@contextmanager
def _lines_as_before() -> Iterator[None]:
    """A Lambda sets the lines of its process up: take that back from the tests' own."""
    root, kept = logging.getLogger(), structlog.get_config()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.configure(**kept)


@contextmanager
def _background() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="self-hosted")
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
