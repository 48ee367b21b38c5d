"""The hub's connection and feeds, without a network: order, limits, resync, conduct."""

import asyncio
from collections.abc import MutableMapping
from dataclasses import replace
from typing import Any

import orjson

from quantlab.tenancy.permissions import Role
from quantlab.tenancy.scope import Actor, Scope
from quantlab_app.ports.sessions import TicketHolder
from quantlab_edge import hub_connection
from quantlab_edge.hub_connection import (
    QUEUE_MAX,
    REPLIES_MAX,
    ROOM,
    AccountFeed,
    Conduct,
    Connection,
)

HOLDER = TicketHolder(
    scope=Scope("acme", Actor("user", "u", Role.TRADER), "c"),
    kind="session", reference="s", home_tenant_id="acme", expires_ns=1 << 62,
)  # fmt: skip


class Wire:
    """Everything a connection sends, held back while the gate is shut."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.closed: int | None = None
        self.gate = asyncio.Event()

    async def send(self, message: MutableMapping[str, Any]) -> None:
        await self.gate.wait()
        if message["type"] == "websocket.close":
            self.closed = message["code"]
        else:
            self.texts.append(message["text"])


async def drained(connection: Connection, wire: Wire) -> None:
    sender = asyncio.create_task(connection.run_sender())
    wire.gate.set()
    for _ in range(200):
        await asyncio.sleep(0)
    connection.close(1000, "done")
    await sender


async def test_events_over_the_bound_become_one_resync_in_their_place() -> None:
    wire = Wire()
    connection = Connection("c", HOLDER, wire.send, 0.0)
    for seq in range(1, QUEUE_MAX + 21):
        connection.offer_event("account:a", seq, f'"{seq}"')
    await drained(connection, wire)
    assert wire.texts[:QUEUE_MAX] == [f'"{seq}"' for seq in range(1, QUEUE_MAX + 1)]
    (hint,) = wire.texts[QUEUE_MAX:]
    assert orjson.loads(hint)["fromSeq"] == QUEUE_MAX + 1


async def test_a_batched_client_gets_frames_of_several_messages_in_order() -> None:
    wire = Wire()
    connection = Connection("c", replace(HOLDER, batched=True), wire.send, 0.0)
    for seq in range(1, 2 * hub_connection.BURST + 2):
        connection.offer_event("account:a", seq, str(seq))
    connection.conflate(("quotes:ES", ""), '"es"')
    connection.conflate(("quotes:NQ", ""), '"nq"')
    await drained(connection, wire)
    frames = [orjson.loads(text) for text in wire.texts]
    burst = hub_connection.BURST
    assert frames == [
        list(range(1, burst + 1)),
        ["es", "nq"],
        list(range(burst + 1, 2 * burst + 1)),
        2 * burst + 1,
    ]
    assert connection.sent == 2 * burst + 3


async def test_a_frame_of_a_batched_client_is_bounded() -> None:
    wire = Wire()
    connection = Connection("c", replace(HOLDER, batched=True), wire.send, 0.0)
    text = '"' + "x" * (hub_connection.FRAME_CHARS // 3) + '"'
    for seq in range(1, 8):
        connection.offer_event("account:a", seq, text)
    await drained(connection, wire)
    assert [len(orjson.loads(t)) if t[0] == "[" else 1 for t in wire.texts] == [3, 3, 1]


async def test_replies_to_a_client_that_does_not_read_end_it() -> None:
    connection = Connection("c", HOLDER, Wire().send, 0.0)
    for _ in range(QUEUE_MAX + REPLIES_MAX):
        connection.reply("pong")
    assert not connection.closing
    connection.reply("pong")
    assert connection.closing


async def test_conflation_keeps_the_newest_of_each_key_and_a_bound() -> None:
    wire = Wire()
    connection = Connection("c", HOLDER, wire.send, 0.0)
    for number in range(5):
        connection.conflate(("quotes:ES", ""), f"es{number}")
        connection.conflate(("quotes:NQ", ""), f"nq{number}")
    await drained(connection, wire)
    assert wire.texts == ["es4", "nq4"]
    for number in range(hub_connection.CONFLATED_MAX + 5):
        connection.conflate(("bars:ES:1m", str(number)), "bar")
    assert len(connection._conflated) == hub_connection.CONFLATED_MAX
    connection.forget("bars:ES:1m")
    assert not connection._conflated


async def test_room_is_waited_for_and_a_close_sends_nothing_more() -> None:
    wire = Wire()
    connection = Connection("c", HOLDER, wire.send, 0.0)
    for seq in range(ROOM + 1):
        connection.offer_event("account:a", seq, "e")
    waiting = asyncio.create_task(connection.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    sender = asyncio.create_task(connection.run_sender())
    wire.gate.set()
    await waiting
    sent = len(wire.texts)
    connection.close(4401, "token ended")
    await sender
    assert wire.closed == 4401
    assert len(wire.texts) <= sent + 1


def test_feeds_pass_each_event_once_and_notice_gaps() -> None:
    connection = Connection("c", HOLDER, Wire().send, 0.0)
    feed = AccountFeed(connection, "a", "account:a", 10, 10)
    assert not feed.offer(11, "e11")
    assert not feed.offer(11, "again")
    assert feed.sent == 11
    assert feed.offer(13, "e13")
    assert (feed.sent, feed.seen) == (11, 13)
    feed.filling = True
    assert not feed.offer(14, "e14")
    assert (feed.sent, feed.seen) == (11, 14)
    feed.skip()
    assert feed.sent == 14
    assert [orjson.loads(t) if t[0] == "{" else t for t in connection._queue] == [
        "e11",
        {"type": "resync", "channel": "account:a", "fromSeq": 12},
    ]


def test_stalled_and_idle_are_told_from_busy_and_listening() -> None:
    connection = Connection("c", HOLDER, Wire().send, 0.0)
    assert not connection.stalled(100.0)
    connection.reply("x")
    assert not connection.stalled(100.0 + hub_connection.STALL_S_MAX)
    assert connection.stalled(101.0 + hub_connection.STALL_S_MAX)
    connection.sent += 1
    assert not connection.stalled(200.0)
    assert not connection.idle(hub_connection.IDLE_S_MAX)
    assert connection.idle(hub_connection.IDLE_S_MAX + 1)
    connection.symbols.add("quotes:ES")
    assert not connection.idle(hub_connection.IDLE_S_MAX + 1)


def test_conduct_refills_and_forgives() -> None:
    conduct = Conduct(0.0)
    assert all(conduct.take(0.0) for _ in range(hub_connection.MESSAGES_BURST))
    assert not conduct.take(0.0)
    assert conduct.take(1.0 / hub_connection.MESSAGES_PER_S)
    assert not any(conduct.misuse(1.0) for _ in range(hub_connection.MISUSES_MAX))
    assert conduct.misuse(2.0)
    assert not conduct.misuse(3.0 + hub_connection.MISUSE_FORGIVEN_S)
