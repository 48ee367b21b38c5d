"""What was recorded of an account, read as it stood at one moment, to be decided again."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from quantlab.engine.commands import Command, Event, Fill, Violation
from quantlab.kernel.records import dataclass
from quantlab.ledger.fills import LedgerEntry
from quantlab.ledger.orders import Order
from quantlab.ledger.state import Account
from quantlab.market.quote import Quote
from quantlab.tenancy.scope import Scope


@dataclass(frozen=True, slots=True)
class DecidedCommand:
    """A command that was carried out at done_ns; inputs None where none were recorded yet."""

    command: Command
    outcome: str
    reason: str | None
    result: dict[str, Any] | None
    done_ns: int
    inputs: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """Everything that is kept of an account; commands as they were carried out, rest by seq.

    ledger entries come with their event's seq.
    """

    account: Account
    decided: Sequence[DecidedCommand]
    events: Sequence[Event]
    fills: Sequence[Fill]
    ledger: Sequence[tuple[int, LedgerEntry]]
    orders: Sequence[Order]
    violations: Sequence[Violation]


@dataclass(frozen=True, slots=True)
class WantedTick:
    """The last tick of a symbol up to a seq, and not after an instant on the feed's clock."""

    symbol: str
    feed_seq: int
    until_ts_ns: int


class Recordings(Protocol):
    """Reads for replays; nothing is written."""

    async def of(self, scope: Scope, account_id: str) -> AccountRecord | None:
        """Return an account's whole record as of one moment; None where there is no such one."""
        ...

    async def ticks(self, wanted: Sequence[WantedTick]) -> Sequence[Quote]:
        """Return what of these ticks is in the log, each once."""
        ...

    async def sealed_in(self, symbol: str, feed_seq: int) -> str | None:
        """Return the archive's key of the last sealed segment that begins up to a seq."""
        ...

    async def sealed_from(self, symbol: str, feed_seq: int) -> str | None:
        """Return the archive's key of the first sealed segment that ends at a seq or after it."""
        ...
