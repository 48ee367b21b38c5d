"""What open sockets need: what they listen to, the log behind it and the bus that wakes them."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, Protocol

from quantlab.kernel.records import dataclass
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.sessions import TicketHolder

EVENTS: Final = "events"
QUOTES: Final = "quotes"
BARS: Final = "bars"
BACKTESTS: Final = "backtests"


class ChannelKind(StrEnum):
    """What a channel carries."""

    ACCOUNT = "account"
    QUOTES = "quotes"
    BARS = "bars"
    BACKTEST = "backtest"


@dataclass(frozen=True, slots=True)
class Channel:
    """One thing a socket can listen to. key is the id or the symbol."""

    kind: ChannelKind
    key: str
    name: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a connection is served in a channel: the events up to seq have been sent.

    loose says that later ones may have been sent too, so that no one can go on from here without
    a gap or a duplicate. Channels of symbols and backtests stay at the default.
    """

    seq: int = 0
    loose: bool = False


@dataclass(frozen=True, slots=True)
class OpenConnection:
    """A recorded connection with its channels."""

    connection_id: str
    holder: TicketHolder
    channels: Mapping[str, Progress]


@dataclass(frozen=True, slots=True)
class StreamHead:
    """An account's newest event, and the user who owns the account."""

    account_id: str
    user_id: str | None
    seq: int


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """One committed event of an account; seq is gapless per account."""

    seq: int
    event_type: str
    occurred_ns: int
    payload: Mapping[str, Any]


class EventLog(Protocol):
    """The committed events of the scope's tenant."""

    async def heads(self, scope: Scope, account_ids: Sequence[str]) -> Mapping[str, StreamHead]:
        """Return the newest sequence number and owner of the accounts that exist."""
        ...

    async def events_after(
        self, scope: Scope, account_id: str, after_seq: int, limit: int
    ) -> Sequence[LoggedEvent]:
        """Return the account's events after a sequence number, oldest first."""
        ...


class Subscriptions(Protocol):
    """Open connections and their channels; every entry ends with the holder's token."""

    async def open(self, holder: TicketHolder, connection_id: str, limit: int) -> bool:
        """Record a connection; False when the tenant has as many open as the limit allows."""
        ...

    async def holder(self, connection_id: str) -> TicketHolder | None:
        """Return who holds a recorded connection; None when it is unknown or has ended."""
        ...

    async def add(
        self,
        holder: TicketHolder,
        connection_id: str,
        channels: Mapping[str, Progress],
        limit: int,
    ) -> bool:
        """Record channels; False, and nothing recorded, when there would be more than the limit."""
        ...

    async def advance(
        self,
        holder: TicketHolder,
        connection_id: str,
        steps: Mapping[str, tuple[Progress, Progress]],
    ) -> frozenset[str]:
        """Replace progress, each from and to, where it is still the former; return where it was."""
        ...

    async def remove(
        self, holder: TicketHolder, connection_id: str, channels: Sequence[str]
    ) -> None:
        """Forget channels of a connection."""
        ...

    async def close(self, holder: TicketHolder, connection_id: str) -> None:
        """Forget a connection and all its channels."""
        ...

    async def channels(self, scope: Scope, connection_id: str) -> frozenset[str]:
        """Return the channels a connection listens to."""
        ...

    async def connection(self, tenant_id: str, connection_id: str) -> OpenConnection | None:
        """Return a recorded connection; None when it is unknown or has ended."""
        ...

    async def connections(self) -> Sequence[OpenConnection]:
        """Return every recorded connection of every tenant."""
        ...

    async def subscribers(self, scope: Scope, channel: str) -> frozenset[str]:
        """Return the connections of the tenant that listen to a channel."""
        ...


class EventBus(Protocol):
    """Fan-out between processes. It may lose messages; the event log does not."""

    async def publish(self, topic: str, body: bytes) -> None:
        """Send a message to everyone who listens now."""
        ...

    async def listen(
        self,
        topics: Sequence[str],
        on_message: Callable[[str, bytes], None],
        on_attached: Callable[[], None],
    ) -> None:
        """Deliver messages until cancelled, reconnecting for ever.

        on_attached is called whenever listening starts or starts again: what was published before
        may be lost.
        """
        ...


class Pushes(Protocol):
    """The open sockets of a gateway that holds them for us."""

    async def post(self, connection_id: str, text: str) -> bool:
        """Send a message to a connection; False when it is gone."""
        ...

    async def drop(self, connection_id: str) -> None:
        """Close a connection; one that is gone stays so."""
        ...
