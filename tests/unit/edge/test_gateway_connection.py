"""A connection that a gateway holds: what is posted, tried again, given up and noted."""

import asyncio

import pytest
from tests.support.pushes import MemoryPushes

from quantlab.tenancy.permissions import Role
from quantlab.tenancy.scope import Actor, Scope
from quantlab_app.ports.errors import Misconfigured
from quantlab_app.ports.sessions import TicketHolder
from quantlab_app.ports.sockets import OpenConnection, Progress
from quantlab_edge.hub_connection import QUEUE_MAX, AccountFeed
from quantlab_edge.hub_gateway import GatewayConnection
from quantlab_edge.socket import CLOSE_NORMAL, CLOSE_OVERLOADED, CLOSE_UNAUTHORIZED

HOLDER = TicketHolder(
    scope=Scope("acme", Actor("user", "u", Role.TRADER), "c"),
    kind="session", reference="s", home_tenant_id="acme", expires_ns=1 << 62,
)  # fmt: skip
RECORD = OpenConnection("c1", HOLDER, {})


@pytest.fixture
def pushes() -> MemoryPushes:
    pushes = MemoryPushes()
    pushes.open.add("c1")
    return pushes


@pytest.fixture
def connection(pushes: MemoryPushes) -> GatewayConnection:
    return GatewayConnection(RECORD, pushes, 0.0)


def event(connection: GatewayConnection, seq: int) -> None:
    connection.offer_event("account:a", seq, f'{{"seq":{seq}}}')


async def flushed(connection: GatewayConnection) -> None:
    async with asyncio.timeout(5):
        while not connection.flushed:
            await asyncio.sleep(0.001)


async def test_texts_are_posted_in_order_through_failures(
    connection: GatewayConnection, pushes: MemoryPushes
) -> None:
    sender = asyncio.create_task(connection.run_sender())
    event(connection, 1)
    await flushed(connection)
    pushes.failing.add("c1")
    for seq in range(2, 6):
        event(connection, seq)
    await asyncio.sleep(0.2)
    assert not connection.flushed
    pushes.failing.clear()
    await flushed(connection)
    assert [message["seq"] for message in pushes.posted["c1"]] == [1, 2, 3, 4, 5]
    sender.cancel()


async def test_a_gone_connection_ends_its_sender(
    connection: GatewayConnection, pushes: MemoryPushes
) -> None:
    pushes.open.clear()
    event(connection, 1)
    with pytest.raises(ConnectionResetError):
        await connection.run_sender()
    assert connection.gone


async def test_what_no_repetition_mends_is_not_repeated(connection: GatewayConnection) -> None:
    class Forbidden(MemoryPushes):
        async def post(self, connection_id: str, text: str) -> bool:
            raise Misconfigured(f"may not post {text} to {connection_id}")

    forbidden = GatewayConnection(RECORD, Forbidden(), 0.0)
    event(forbidden, 1)
    with pytest.raises(Misconfigured):
        await forbidden.run_sender()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (CLOSE_UNAUTHORIZED, ["unauthorized"]),
        (CLOSE_OVERLOADED, ["unavailable"]),
        (CLOSE_NORMAL, []),
    ],
)
async def test_a_close_says_why_and_nothing_that_waits(
    connection: GatewayConnection, pushes: MemoryPushes, code: int, said: list[str]
) -> None:
    event(connection, 1)
    connection.close(code, "for a reason")
    await connection.run_sender()
    assert [message["code"] for message in pushes.posted["c1"]] == said


async def test_a_close_ends_what_is_tried_again(
    connection: GatewayConnection, pushes: MemoryPushes
) -> None:
    pushes.failing.add("c1")
    event(connection, 1)
    sender = asyncio.create_task(connection.run_sender())
    await asyncio.sleep(0.01)
    connection.close(CLOSE_UNAUTHORIZED, "session ended")
    async with asyncio.timeout(2):
        await sender
    assert not pushes.posted["c1"]


async def test_progress_is_noted_only_when_everything_has_been_posted(
    connection: GatewayConnection, pushes: MemoryPushes
) -> None:
    feed = AccountFeed(connection, "a", "account:a", 7, 7)
    connection.feeds["account:a"] = feed
    connection.symbols.add("quotes:ES")
    begun = connection.marks["account:a"] = Progress(7, loose=True)
    assert connection.unmarked(exact=False) == {}
    assert connection.unmarked(exact=True) == {"account:a": (begun, Progress(7))}
    gate = pushes.gates["c1"] = asyncio.Event()
    feed.push(8, '{"seq":8}')
    sender = asyncio.create_task(connection.run_sender())
    await asyncio.sleep(0.01)
    assert connection.unmarked(exact=False) == {}
    gate.set()
    await flushed(connection)
    assert connection.unmarked(exact=False) == {"account:a": (begun, Progress(8, loose=True))}
    assert connection.progress() == {"account:a": begun, "quotes:ES": Progress()}
    sender.cancel()


def test_events_left_out_are_not_noted_before_their_hint_is_posted(
    connection: GatewayConnection,
) -> None:
    for seq in range(QUEUE_MAX + 1):
        event(connection, seq)
    connection._queue.clear()
    assert not connection.flushed


def test_silence_is_the_gateways_matter(connection: GatewayConnection) -> None:
    assert not connection.idle(1e9)
