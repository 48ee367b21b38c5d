"""From the bus to the connections: each message is read once, each text is written once.

It must not wait for a client or a store: what comes from the bus is handed on at once.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import orjson
import structlog

from quantlab_app.ports.container import Ports
from quantlab_app.ports.sockets import (
    BACKTESTS,
    BARS,
    EVENTS,
    QUOTES,
    Channel,
    ChannelKind,
    Progress,
)
from quantlab_edge.hub_connection import AccountFeed, Connection
from quantlab_edge.hub_filler import Filler
from quantlab_edge.socket import SOCKETS, backtest_text, bar_text, event_text, quote_text

TOPICS: Final = (EVENTS, QUOTES, BARS, BACKTESTS)

K = TypeVar("K")
V = TypeVar("V")

_log = structlog.get_logger(__name__)


class Fanout:
    """Who listens to what in this process.

    on_attached learns whenever listening begins, and whether it had begun before; on_control,
    where given, gets the control messages of the functions.
    """

    def __init__(
        self,
        ports: Ports,
        on_attached: Callable[[bool], None],
        on_control: Callable[[bytes], None] | None = None,
    ) -> None:
        self._ports = ports
        self._note_attached = on_attached
        self._on_control = on_control
        self._filler = Filler(ports)
        self._feeds: dict[tuple[str, str], set[AccountFeed]] = {}
        self._listeners: dict[str, set[Connection]] = {}
        self._latest: dict[str, Mapping[str, Any]] = {}
        self._attached = False

    async def run(self) -> None:
        """Hand messages of the bus on until cancelled."""
        topics = TOPICS if self._on_control is None else (*TOPICS, SOCKETS)
        await self._ports.event_bus.listen(topics, self._on_message, self._on_attached)

    def rest(self) -> None:
        """Forget what grows stale while nobody listens."""
        self._attached = False
        self._latest.clear()

    def begin(
        self, connection: Connection, channel: Channel, progress: Progress, head_seq: int
    ) -> None:
        """Begin a channel: an account goes on from its progress, a symbol with its newest one."""
        if channel.kind is ChannelKind.ACCOUNT:
            self._begin_feed(connection, channel, progress, head_seq)
            return
        connection.symbols.add(channel.name)
        self._listeners.setdefault(channel.name, set()).add(connection)
        if (message := self._latest.get(channel.name)) is not None:
            text = (quote_text if channel.kind is ChannelKind.QUOTES else bar_text)(
                channel.name, message
            )
            connection.conflate((channel.name, ""), text)

    def _begin_feed(
        self, connection: Connection, channel: Channel, progress: Progress, head_seq: int
    ) -> None:
        self.drop(connection, channel.name)
        feed = AccountFeed(connection, channel.key, channel.name, progress.seq, head_seq)
        connection.feeds[channel.name] = feed
        key = (connection.holder.scope.tenant_id, channel.key)
        self._feeds.setdefault(key, set()).add(feed)
        if progress.loose:
            feed.skip()
        if feed.seen > feed.sent:
            self._filler.fill(feed)
        else:
            self._filler.look(feed)

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
                self._filler.look(feed)
        self._note_attached(self._attached)
        self._attached = True

    def _on_message(self, topic: str, body: bytes) -> None:
        try:
            message = orjson.loads(body)
            if topic == EVENTS:
                self._on_events(message)
            elif topic == QUOTES:
                self._on_quote(message)
            elif topic == BARS:
                self._on_bar(message)
            elif topic == BACKTESTS:
                self._on_backtest(message)
            elif self._on_control is not None:
                self._on_control(body)
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

    def _on_backtest(self, message: Mapping[str, Any]) -> None:
        channel = f"backtest:{message['backtestId']}"
        listeners = self._listeners.get(channel)
        if listeners:
            text = backtest_text(channel, message)
            for connection in listeners:
                if connection.holder.scope.tenant_id == message["tenantId"]:
                    connection.conflate((channel, ""), text)


def _remove(index: dict[K, set[V]], key: K, value: V) -> None:
    members = index.get(key)
    if members is None:
        return
    members.discard(value)
    if not members:
        del index[key]
