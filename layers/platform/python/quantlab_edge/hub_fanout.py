"""From the bus to the connections: each message is read once, each text is written once.

It must not wait for a client or a store: what comes from the bus is handed on at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

import orjson
import structlog

from quantlab_app.ports.container import Ports
from quantlab_app.ports.sockets import BARS, EVENTS, QUOTES, ChannelKind
from quantlab_app.use_cases.sockets import Grant
from quantlab_edge.hub_connection import AccountFeed, Connection
from quantlab_edge.hub_filler import Filler
from quantlab_edge.socket import bar_text, event_text, quote_text

TOPICS: Final = (EVENTS, QUOTES, BARS)

K = TypeVar("K")
V = TypeVar("V")

_log = structlog.get_logger(__name__)


class Fanout:
    """Who listens to what in this process."""

    def __init__(self, ports: Ports, restore: Callable[[], Awaitable[None]]) -> None:
        self._ports = ports
        self._restore = restore
        self._filler = Filler(ports)
        self._feeds: dict[tuple[str, str], set[AccountFeed]] = {}
        self._listeners: dict[str, set[Connection]] = {}
        self._latest: dict[str, Mapping[str, Any]] = {}
        self._restoring: asyncio.Task[None] | None = None
        self._attached = False

    async def run(self) -> None:
        """Hand messages of the bus on until cancelled."""
        await self._ports.event_bus.listen(TOPICS, self._on_message, self._on_attached)

    def rest(self) -> None:
        """Forget what grows stale while nobody listens."""
        self._attached = False
        self._latest.clear()

    def add(self, connection: Connection, grant: Grant) -> None:
        """Begin a channel: from its past on for an account, with the newest one for a symbol."""
        channel = grant.channel
        if channel.kind is ChannelKind.ACCOUNT:
            self._add_feed(connection, grant)
            return
        connection.symbols.add(channel.name)
        self._listeners.setdefault(channel.name, set()).add(connection)
        if (message := self._latest.get(channel.name)) is not None:
            text = (quote_text if channel.kind is ChannelKind.QUOTES else bar_text)(
                channel.name, message
            )
            connection.conflate((channel.name, ""), text)

    def _add_feed(self, connection: Connection, grant: Grant) -> None:
        channel = grant.channel
        self.drop(connection, channel.name)
        sent = grant.head_seq if grant.after_seq is None else grant.after_seq
        feed = AccountFeed(connection, channel.key, channel.name, sent, grant.head_seq)
        connection.feeds[channel.name] = feed
        key = (connection.holder.scope.tenant_id, channel.key)
        self._feeds.setdefault(key, set()).add(feed)
        if grant.after_seq is None:
            connection.offer_resync(channel.name, 1)
        self._filler.fill(feed)

    def drop(self, connection: Connection, name: str) -> None:
        """End a channel of a connection, if it has it."""
        feed = connection.feeds.pop(name, None)
        if feed is not None:
            feed.dropped = True
            _remove(self._feeds, (connection.holder.scope.tenant_id, feed.account_id), feed)
        elif name in connection.symbols:
            connection.symbols.discard(name)
            _remove(self._listeners, name, connection)
        connection.forget(name)

    def _on_attached(self) -> None:
        """Read the log for every feed: the bus may have lost what was published meanwhile."""
        for feeds in self._feeds.values():
            for feed in feeds:
                self._filler.fill(feed)
        if self._attached:
            self._restoring = asyncio.ensure_future(self._restore())
        self._attached = True

    def _on_message(self, topic: str, body: bytes) -> None:
        try:
            message = orjson.loads(body)
            if topic == EVENTS:
                self._on_events(message)
            elif topic == QUOTES:
                self._on_quote(message)
            else:
                self._on_bar(message)
        except (ValueError, KeyError, TypeError) as error:
            _log.error("bus_message_unreadable", topic=topic, error=repr(error))

    def _on_events(self, message: Mapping[str, Any]) -> None:
        tenant_id = message["tenantId"]
        for stream in message["streams"]:
            feeds = self._feeds.get((tenant_id, stream["streamId"]))
            if feeds is None:
                continue
            channel = f"account:{stream['streamId']}"
            for event in stream["events"]:
                seq = event["seq"]
                text = event_text(
                    channel, seq, event["eventType"], event["occurredNs"], event["payload"]
                )
                for feed in feeds:
                    if feed.offer(seq, text):
                        self._filler.fill(feed)

    def _on_quote(self, message: Mapping[str, Any]) -> None:
        channel = f"quotes:{message['symbol']}"
        self._latest[channel] = message
        listeners = self._listeners.get(channel)
        if listeners:
            text = quote_text(channel, message)
            for connection in listeners:
                connection.conflate((channel, ""), text)

    def _on_bar(self, message: Mapping[str, Any]) -> None:
        channel = f"bars:{message['symbol']}:1m"
        self._latest[channel] = message
        listeners = self._listeners.get(channel)
        if listeners:
            text = bar_text(channel, message)
            # A bar replaces its own earlier states only, so that none is left unfinished.
            key = (channel, str(message["start_ns"]))
            for connection in listeners:
                connection.conflate(key, text)


def _remove(index: dict[K, set[V]], key: K, value: V) -> None:
    members = index.get(key)
    if members is None:
        return
    members.discard(value)
    if not members:
        del index[key]
