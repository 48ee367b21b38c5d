"""One conversation on both hosts: through API Gateway's events, and through our own server."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
import redis
from moto.apigatewaymanagementapi.models import apigatewaymanagementapi_backends
from moto.core import DEFAULT_ACCOUNT_ID
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from quantlab.tenancy.permissions import Role
from quantlab.tenancy.scope import Actor, Scope
from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import StoreUnavailable
from quantlab_app.ports.sessions import TicketHolder
from quantlab_edge.socket import Control, read_control
from quantlab_manifest import SocketWake
from tests.support.gateway import MANIFESTS, filled, recorded
from tests.support.lambdas import REGION, Twins
from tests.support.stack import Stack
from tests.support.twin_site import Cast
from tests.support.world import ALPHA

pytestmark = pytest.mark.stack
FUNCTIONS = [manifest.name for manifest in MANIFESTS if isinstance(manifest.wake, SocketWake)]
SAID = [("subscribe", case) for case in recorded("socket/subscribe")]
SAID += [("default", case) for case in recorded("socket/default") if case["name"] != "too large"]


class Told:
    """Control messages that were published meanwhile."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url)
        self._listening = self._client.pubsub(ignore_subscribe_messages=True)
        self._listening.subscribe("sockets")
        self._listening.get_message(timeout=5)

    def all(self) -> list[Control]:
        found = []
        while (message := self._listening.get_message(timeout=0.2)) is not None:
            found.append(read_control(message["data"]))
        return found

    def close(self) -> None:
        self._listening.close()
        self._client.close()


@pytest.fixture
def told(stack: Stack) -> Iterator[Told]:
    made = Told(stack.redis_url)
    yield made
    made.close()


def ticket(hosts: Twins, people: Cast, life_s: float = 600) -> str:
    """Issue a ticket to the session behind a token, for as long as is wanted."""
    return hosts.do(_ticket(hosts.world.ports, people, life_s))


async def _ticket(ports: Ports, people: Cast, life_s: float) -> str:
    now_ns = ports.clock.now_ns()
    claims = await ports.access_tokens.verify(people.words["token"], now_ns)
    assert claims is not None
    holder = TicketHolder(
        scope=Scope(ALPHA, Actor("user", claims.subject, Role.TENANT_ADMIN), "test"),
        kind="session",
        reference=claims.session_id,
        home_tenant_id=ALPHA,
        expires_ns=now_ns + int(life_s * 1e9),
    )
    return await ports.tickets.issue(holder)


def held(connection_id: str) -> Any:
    """Return what the gateway has of a connection that was posted to and not dropped."""
    found = apigatewaymanagementapi_backends[DEFAULT_ACCOUNT_ID][REGION].connections
    return found.get(quote(connection_id, safe=""))


class OnAws:
    """A connection that the gateway holds."""

    def __init__(self, hosts: Twins, people: Cast, name: str) -> None:
        self.name = name
        self._hosts = hosts
        self._words = {**people.words, "connection": name}

    def event(self, case: dict[str, Any], **words: str) -> Any:
        return filled(case["event"], {**self._words, **words})

    def invoke(self, function: str, case: dict[str, Any], **words: str) -> Any:
        return self._hosts.lambdas.invoke(f"socket/{function}", self.event(case, **words))

    def open(self, ticket: str) -> Any:
        return self.invoke("connect", recorded("socket/connect")[0], ticket=ticket)

    def said(self) -> list[Any]:
        """Take what was posted since the last look."""
        posted = held(self.name)
        if posted is None:
            return []
        text, posted.data = posted.data.decode(), b""
        decoder, found = json.JSONDecoder(), []
        while text:
            message, end = decoder.raw_decode(text)
            found.append(message)
            text = text[end:]
        return found


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_socket_function_has_recorded_events(name: str) -> None:
    assert recorded(f"socket/{name}")


@pytest.mark.parametrize("case", recorded("socket/connect")[1:], ids=lambda case: case["name"])
def test_a_handshake_is_refused_alike(hosts: Twins, people: Cast, case: dict[str, Any]) -> None:
    answer = OnAws(hosts, people, "refused=").invoke("connect", case)
    query = case["event"].get("queryStringParameters", {})

    async def at_home() -> tuple[int, bytes]:
        url = f"ws://127.0.0.1:{hosts.port}/ws?ticket={quote(query.get('ticket', ''))}"
        with pytest.raises(InvalidStatus) as refused:
            async with connect(url):
                pass
        return refused.value.response.status_code, bytes(refused.value.response.body)

    assert (answer["statusCode"], answer["body"].encode()) == hosts.do(at_home())
    assert answer["headers"]["content-type"] == "application/json"


@pytest.mark.parametrize(("function", "case"), SAID, ids=lambda value: str(value)[:40])
def test_a_message_is_answered_alike(
    hosts: Twins, people: Cast, function: str, case: dict[str, Any]
) -> None:
    aws = OnAws(hosts, people, f"{function}-{case['name']}=")
    assert aws.open(ticket(hosts, people)) == {"statusCode": 200}
    assert aws.said() == []
    aws.invoke(function, case)
    ours = aws.said()

    async def at_home() -> list[Any]:
        async with connect(url, close_timeout=1) as socket:
            await socket.send(aws.event(case)["body"])
            return [json.loads(await asyncio.wait_for(socket.recv(), 5)) for _ in ours]

    url = f"ws://127.0.0.1:{hosts.port}/ws?ticket={ticket(hosts, people)}"
    assert ours
    assert ours == hosts.do(at_home())


def test_what_was_granted_and_dropped_is_told_after_the_answer(
    hosts: Twins, people: Cast, told: Told
) -> None:
    aws = OnAws(hosts, people, "told=")
    aws.open(ticket(hosts, people))
    aws.invoke("subscribe", recorded("socket/subscribe")[1])
    aws.invoke("default", recorded("socket/default")[1])
    aws.invoke("default", recorded("socket/default")[0])
    aws.invoke("disconnect", recorded("socket/disconnect")[0])
    opened, granted, dropped, closed = told.all()
    assert opened == Control("told=", ALPHA)
    (grant,) = granted.granted
    assert (grant.channel.name, grant.after_seq) == (f"account:{people.account_id}", 1)
    assert dropped.dropped == ("quotes:EURUSD",)
    assert closed == Control("told=", ALPHA, closed=True)


def test_a_connection_that_nobody_holds_is_dropped(hosts: Twins, people: Cast, told: Told) -> None:
    aws = OnAws(hosts, people, "nobody=")
    answer = aws.invoke("subscribe", recorded("socket/subscribe")[0])
    assert answer == {"statusCode": 401}
    assert held("nobody=") is None
    assert told.all() == []


def test_a_token_that_ends_ends_its_connection(hosts: Twins, people: Cast) -> None:
    aws = OnAws(hosts, people, "ends=")
    aws.open(ticket(hosts, people, life_s=1.2))
    assert aws.invoke("default", recorded("socket/default")[0]) == {"statusCode": 200}
    assert held("ends=") is not None
    hosts.do(asyncio.sleep(1.5))
    assert aws.invoke("subscribe", recorded("socket/subscribe")[0]) == {"statusCode": 401}
    assert held("ends=") is None


def test_a_message_that_is_too_large_is_refused(hosts: Twins, people: Cast) -> None:
    """Our own server closes the connection, as the protocol has it; the gateway hands it on."""
    aws = OnAws(hosts, people, "large=")
    aws.open(ticket(hosts, people))
    large = next(case for case in recorded("socket/default") if case["name"] == "too large")
    aws.invoke("default", large)
    assert [message["code"] for message in aws.said()] == ["malformed"]


def test_a_message_of_bytes_is_refused(hosts: Twins, people: Cast) -> None:
    aws = OnAws(hosts, people, "bytes=")
    aws.open(ticket(hosts, people))
    case = recorded("socket/default")[0]
    binary = {**case, "event": {**case["event"], "isBase64Encoded": True, "body": "AAEC"}}
    aws.invoke("default", binary)
    assert [message["code"] for message in aws.said()] == ["malformed"]


def test_a_client_that_could_not_be_subscribed_must_come_again(
    hosts: Twins, people: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was told that it is: without its connection it will know better."""
    aws = OnAws(hosts, people, "again=")
    aws.open(ticket(hosts, people))
    aws.invoke("subscribe", recorded("socket/subscribe")[0])
    aws.said()

    async def publish(_bus: object, _topic: str, _body: bytes) -> None:
        raise StoreUnavailable("Redis does not answer")

    ports = hosts.lambdas.entry("socket/subscribe")._sandbox._ports
    assert ports is not None
    monkeypatch.setattr(type(ports.event_bus), "publish", publish)
    answer = aws.invoke("subscribe", recorded("socket/subscribe")[0])
    assert answer == {"statusCode": 503}
    assert held("again=") is None


def test_pings_cost_no_words_to_others(hosts: Twins, people: Cast, told: Told) -> None:
    aws = OnAws(hosts, people, "ping=")
    aws.open(ticket(hosts, people))
    aws.invoke("default", recorded("socket/default")[0])
    assert aws.said() == [{"type": "pong"}]
    assert [control.connection_id for control in told.all()] == ["ping="]


def test_an_event_of_the_bus_is_no_socket_event(
    hosts: Twins, people: Cast, vector: Callable[[str], Any]
) -> None:
    with pytest.raises(KeyError):
        hosts.lambdas.invoke("socket/default", vector("eventBridgeEvent"))
