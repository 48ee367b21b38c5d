"""Reads the event log for feeds that have missed events, or begin in the past.

Live events are published after their commit, so whatever was seen live is in the log: a feed reads
on until it has all it has seen and only then goes live, without a gap and without a duplicate.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from quantlab.tenancy.scope import system_scope
from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import StoreUnavailable
from quantlab_app.ports.sockets import LoggedEvent
from quantlab_edge.hub_connection import ROOM, AccountFeed
from quantlab_edge.socket import CLOSE_OVERLOADED, event_text

READS_AT_ONCE: Final = 2
REPLAY_MAX: Final = 10_000
RETRY_S: Final = 0.2
MISSES_MAX: Final = 5
ACTOR: Final = "socket_hub"

_log = structlog.get_logger(__name__)


class Filler:
    """Fills feeds from the log, few reads at a time, at the pace of each client."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._reads = asyncio.Semaphore(READS_AT_ONCE)
        self._unsure: set[AccountFeed] = set()
        self._looked_at: Sequence[AccountFeed] = ()
        self._looking: asyncio.Task[None] | None = None

    def look(self, feed: AccountFeed) -> None:
        """Find out whether a feed has missed events; one read answers for all who ask at once.

        Live events that follow without a gap are handed on meanwhile.
        """
        self._unsure.add(feed)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
            self._looking.add_done_callback(self._report_look)

    async def _look(self) -> None:
        while self._unsure:
            tenant_id = next(iter(self._unsure)).tenant_id
            self._looked_at = [feed for feed in self._unsure if feed.tenant_id == tenant_id]
            self._unsure.difference_update(self._looked_at)
            try:
                heads = await self._heads(tenant_id, self._looked_at)
            except StoreUnavailable:
                self._unsure.update(self._looked_at)
                await asyncio.sleep(RETRY_S)
                continue
            for feed in self._looked_at:
                feed.seen = max(feed.seen, heads.get(feed.account_id, 0))
                if feed.seen > feed.sent and not feed.dropped:
                    self.fill(feed)

    async def _heads(self, tenant_id: str, feeds: Sequence[AccountFeed]) -> dict[str, int]:
        scope = system_scope(tenant_id, ACTOR, feeds[0].connection.holder.scope.correlation_id)
        account_ids = sorted({feed.account_id for feed in feeds})
        async with self._reads:
            heads = await self._ports.event_log.heads(scope, account_ids)
        return {account_id: head.seq for account_id, head in heads.items()}

    def _report_look(self, task: asyncio.Task[None]) -> None:
        for feed in self._looked_at:
            _report(task, feed)

    def fill(self, feed: AccountFeed) -> None:
        """Read the log for a feed once more, whatever it is doing now."""
        feed.unread = True
        if feed.filling:
            return
        feed.filling = True
        connection = feed.connection
        task = asyncio.create_task(self._fill(feed))
        connection.tasks.add(task)
        task.add_done_callback(connection.tasks.discard)
        task.add_done_callback(lambda done: _report(done, feed))

    async def _fill(self, feed: AccountFeed) -> None:
        misses = 0
        while not feed.dropped and (feed.unread or feed.seen > feed.sent):
            if feed.seen - feed.sent > REPLAY_MAX or misses > MISSES_MAX:
                feed.skip()
                misses = 0
                continue
            read = await self._fill_page(feed)
            misses = 0 if read else misses + 1
            if not read and feed.seen > feed.sent:
                await asyncio.sleep(RETRY_S)
        feed.filling = False

    async def _fill_page(self, feed: AccountFeed) -> int:
        """Queue one page; pages of one connection take turns, so that the queue holds them."""
        async with feed.connection.fill_lock:
            await feed.connection.room()
            feed.unread = False
            try:
                events = await self._read(feed)
            except StoreUnavailable:
                feed.unread = True
                await asyncio.sleep(RETRY_S)
                return 1
            for event in events:
                if feed.dropped:
                    break
                text = event_text(
                    feed.channel, event.seq, event.event_type, event.occurred_ns, event.payload
                )
                feed.push(event.seq, text)
        if len(events) == ROOM:
            feed.unread = True
        return len(events)

    async def _read(self, feed: AccountFeed) -> Sequence[LoggedEvent]:
        holder = feed.connection.holder.scope
        scope = system_scope(holder.tenant_id, ACTOR, holder.correlation_id)
        async with self._reads:
            return await self._ports.event_log.events_after(scope, feed.account_id, feed.sent, ROOM)


def _report(task: asyncio.Task[None], feed: AccountFeed) -> None:
    """End a connection whose feed broke: a silent gap would be worse."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("feed_broken", channel=feed.channel, exc_info=error)
        feed.connection.close(CLOSE_OVERLOADED, "internal error")
