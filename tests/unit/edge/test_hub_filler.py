"""Feeds that begin or begin again: one read tells for all whether anything was missed."""

import asyncio
from collections.abc import Mapping, MutableMapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import orjson

from quantlab.engine.commands import Event
from quantlab.tenancy.permissions import Role
from quantlab.tenancy.scope import Actor, Scope
from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import StoreUnavailable
from quantlab_app.ports.sessions import TicketHolder
from quantlab_app.ports.sockets import (
    EVENTS,
    Channel,
    ChannelKind,
    LoggedEvent,
    Progress,
    StreamHead,
)
from quantlab_app.use_cases.publishing import events_message
from quantlab_edge.hub_connection import Connection
from quantlab_edge.hub_fanout import Fanout

TENANT = "tenant-a"
ACCOUNTS = [f"0000000{digit}-0000-4000-8000-000000000000" for digit in range(8)]


class Log:
    """An event log that a test fills; it counts its reads and can be away."""

    def __init__(self) -> None:
        self.newest = dict.fromkeys(ACCOUNTS, 10)
        self.asked: list[Sequence[str]] = []
        self.pages = 0
        self.away = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def heads(self, scope: Scope, account_ids: Sequence[str]) -> Mapping[str, StreamHead]:
        assert scope.tenant_id == TENANT
        self.asked.append(account_ids)
        await self.gate.wait()
        if self.away:
            self.away -= 1
            raise StoreUnavailable("away")
        return {one: StreamHead(one, None, self.newest[one]) for one in account_ids}

    async def events_after(
        self, _scope: Scope, account_id: str, after_seq: int, limit: int
    ) -> Sequence[LoggedEvent]:
        self.pages += 1
        seqs = range(after_seq + 1, self.newest[account_id] + 1)[:limit]
        return [LoggedEvent(seq, "order.filled", 0, {}) for seq in seqs]


class Hub:
    """One connection at a fan-out whose bus the test plays."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.texts: list[dict[str, Any]] = []
        scope = Scope(TENANT, Actor("user", "u", Role.TRADER), "test")
        holder = TicketHolder(
            scope=scope, kind="session", reference="s", home_tenant_id=TENANT, expires_ns=2**62
        )
        self.connection = Connection("c", holder, self._send, 0.0)
        ports = cast("Ports", SimpleNamespace(event_log=log))
        self.fanout = Fanout(ports, lambda _again: None)
        self.sender = asyncio.create_task(self.connection.run_sender())

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        if "text" in message:
            self.texts.append(orjson.loads(message["text"]))

    def begin(self, *accounts: str, at: int = 10, head: int = 10) -> None:
        for account in accounts:
            channel = Channel(ChannelKind.ACCOUNT, account, f"account:{account}")
            self.fanout.begin(self.connection, channel, Progress(at), head)

    def publish(self, account: str, seq: int) -> None:
        message = events_message(TENANT, {account: [Event(seq, "order.filled", 0, {})]})
        self.fanout._on_message(EVENTS, message)

    def seqs(self, account: str) -> list[int]:
        return [text["seq"] for text in self.texts if text["channel"] == f"account:{account}"]

    async def until_seen(self, account: str, seqs: list[int]) -> None:
        async with asyncio.timeout(5):
            while self.seqs(account) != seqs:
                await asyncio.sleep(0.001)

    async def until_asked(self, times: int) -> None:
        async with asyncio.timeout(5):
            while len(self.log.asked) < times:
                await asyncio.sleep(0.001)


async def test_many_feeds_begin_with_one_read_and_no_page() -> None:
    hub = Hub(Log())
    hub.begin(*ACCOUNTS)
    await hub.until_asked(1)
    hub.publish(ACCOUNTS[3], 11)
    await hub.until_seen(ACCOUNTS[3], [11])
    assert hub.log.asked == [ACCOUNTS]
    assert hub.log.pages == 0


async def test_what_was_committed_between_head_and_begin_is_read() -> None:
    hub = Hub(Log())
    hub.log.newest[ACCOUNTS[1]] = 12  # nobody told the hub, and nothing follows
    hub.begin(*ACCOUNTS)
    await hub.until_seen(ACCOUNTS[1], [11, 12])
    assert hub.log.pages == 1


async def test_live_events_do_not_wait_for_the_look_and_come_once() -> None:
    hub = Hub(Log())
    hub.log.gate.clear()
    hub.begin(*ACCOUNTS[:2])
    await hub.until_asked(1)
    hub.log.newest[ACCOUNTS[0]] = 11
    hub.publish(ACCOUNTS[0], 11)
    await hub.until_seen(ACCOUNTS[0], [11])
    hub.log.gate.set()
    hub.publish(ACCOUNTS[0], 12)
    await hub.until_seen(ACCOUNTS[0], [11, 12])
    assert hub.log.pages == 0


async def test_a_feed_of_the_past_reads_its_pages_at_once() -> None:
    hub = Hub(Log())
    hub.begin(ACCOUNTS[0], at=7)
    await hub.until_seen(ACCOUNTS[0], [8, 9, 10])
    assert hub.log.asked == []


async def test_a_store_that_is_away_is_asked_again() -> None:
    hub = Hub(Log())
    hub.log.away = 2
    hub.log.newest[ACCOUNTS[0]] = 11
    hub.begin(ACCOUNTS[0])
    await hub.until_seen(ACCOUNTS[0], [11])
    assert len(hub.log.asked) == 3


async def test_a_bus_that_came_back_makes_all_feeds_look_again() -> None:
    hub = Hub(Log())
    hub.begin(*ACCOUNTS)
    await hub.until_asked(1)
    hub.log.newest[ACCOUNTS[5]] = 13
    hub.fanout._on_attached()
    await hub.until_seen(ACCOUNTS[5], [11, 12, 13])
    assert hub.log.asked == [ACCOUNTS, ACCOUNTS]


async def test_a_look_that_breaks_ends_the_connection() -> None:
    hub = Hub(Log())
    del hub.log.newest[ACCOUNTS[0]]
    hub.begin(ACCOUNTS[0])
    async with asyncio.timeout(5):
        await asyncio.wait([hub.sender])
    assert hub.connection.closing
