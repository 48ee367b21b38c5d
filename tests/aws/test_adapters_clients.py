"""What a service's errors become, and the sockets that API Gateway holds."""

import json
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from quantlab_adapters.aws.clients import Clients
from quantlab_adapters.aws.pushes import GatewayPushes
from quantlab_app.ports.errors import Misconfigured, StoreUnavailable
from quantlab_server.addresses import free_port


@dataclass
class Gateway:
    """A server that answers as it is told and keeps what it was asked."""

    url: str = ""
    status: int = 200
    error: str = ""
    asked: list[tuple[str, str, bytes]] = field(default_factory=list)


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    told = Gateway()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            told.asked.append((self.command, self.path, self.rfile.read(length)))
            content = (
                json.dumps({"message": "no", "__type": told.error}).encode() if told.error else b""
            )
            self.send_response(told.status)
            if told.error:
                self.send_header("x-amzn-ErrorType", told.error)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_DELETE = do_GET = _answer  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        told.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield told
        server.shutdown()


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.fixture
async def clients(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Clients]:
    monkeypatch.setenv("AWS_ENDPOINT_URL", gateway.url)
    made = Clients(socket_endpoint=f"{gateway.url}/stage")
    yield made
    await made.close()


async def _list_queues(clients: Clients) -> None:
    def ask() -> None:
        clients.sqs.list_queues()

    await clients.call(ask)


async def test_a_message_is_posted_to_its_connection(gateway: Gateway, clients: Clients) -> None:
    assert await GatewayPushes(clients).post("abc=", '{"type":"pong"}')
    assert gateway.asked == [("POST", "/stage/@connections/abc%3D", b'{"type":"pong"}')]


async def test_a_connection_that_is_gone_is_said_and_stays_gone(
    gateway: Gateway, clients: Clients
) -> None:
    gateway.status, gateway.error = 410, "GoneException"
    pushes = GatewayPushes(clients)
    assert not await pushes.post("abc=", "x")
    await pushes.drop("abc=")
    assert [method for method, _, _ in gateway.asked] == ["POST", "DELETE"]


async def test_a_post_that_fails_is_unavailable_and_not_repeated_here(
    gateway: Gateway, clients: Clients
) -> None:
    """The worker that posts tries again itself, in order; a repetition here might come twice."""
    gateway.status, gateway.error = 429, "LimitExceededException"
    with pytest.raises(StoreUnavailable, match="LimitExceededException"):
        await GatewayPushes(clients).post("abc=", "x")
    gateway.asked.clear()
    gateway.status, gateway.error = 500, "InternalServerError"
    with pytest.raises(StoreUnavailable):
        await GatewayPushes(clients).post("abc=", "x")
    assert len(gateway.asked) == 1


async def test_what_no_repetition_mends_is_misconfigured(
    gateway: Gateway, clients: Clients
) -> None:
    gateway.status, gateway.error = 403, "ForbiddenException"
    with pytest.raises(Misconfigured, match="PostToConnection: ForbiddenException"):
        await GatewayPushes(clients).post("abc=", "x")
    gateway.status, gateway.error = 400, "AccessDeniedException"
    with pytest.raises(Misconfigured, match="AccessDeniedException"):
        await _list_queues(clients)


async def test_a_service_nobody_reaches_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    clients = Clients()
    with pytest.raises(StoreUnavailable, match="EndpointConnectionError"):
        await _list_queues(clients)
    await clients.close()


async def test_a_missing_region_or_credential_is_named(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    clients = Clients()
    with pytest.raises(Misconfigured, match="region"):
        await _list_queues(clients)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    other = Clients()
    with pytest.raises(Misconfigured, match="credentials"):
        await _list_queues(other)
    for made in (clients, other):
        await made.close()


async def test_clients_are_made_once(clients: Clients) -> None:
    made = [await clients.call(lambda: clients.sqs) for _ in range(8)]
    assert len({id(client) for client in made}) == 1
