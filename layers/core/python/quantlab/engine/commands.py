"""The commands an account's one writer carries out, and what comes of them."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any

from quantlab.kernel.records import dataclass

if TYPE_CHECKING:  # whoever only puts a command into the inbox knows no ledger
    from quantlab.engine.life_records import LifeRecords
    from quantlab.engine.rejections import Rejection
    from quantlab.kernel.canonical import Json
    from quantlab.ledger.fills import LedgerEntry
    from quantlab.ledger.orders import Order
    from quantlab.ledger.state import Account, ClosedDay

TRADE = "trade"
PROTECT = "protect"
WORK_ORDER = "work_order"
EXPIRE_ORDERS = "expire_orders"
OBSERVE_TRAILS = "observe_trails"
CHECK_RULES = "check_rules"
OBSERVE_EQUITY = "observe_equity"
LIQUIDATE = "liquidate"
STOP_OUT = "stop_out"
ROLL_DAY = "roll_day"
DISABLE = "disable_account"
ENABLE = "enable_account"
CLOSE = "close_account"
NOTE = "note_approval"
PAY_OUT = "pay_out"
RESET = "reset_account"
OVERRIDE = "override_breach"
CORRECT = "correct_account"
MOVE_CONFIG = "move_config_version"
REFUSE_SIGNAL = "refuse_signal"

# Those by which an order may open, or a stop fire: only they look outside the account.
LOOK_AROUND = frozenset((TRADE, WORK_ORDER, PROTECT))


@dataclass(frozen=True, slots=True)
class Command:
    """One row of the inbox. received_ns is when it was accepted, in wall-clock nanoseconds."""

    inbox_id: int
    signal_id: str
    account_id: str | None
    source_kind: str
    source_id: str
    name: str
    payload: dict[str, Any]
    received_ns: int


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, in the order of the account's gapless seq."""

    seq: int
    event_type: str
    occurred_ns: int
    payload: dict[str, Json]


@dataclass(frozen=True, slots=True)
class Fill:
    """A fill with every recorded input it was computed from.

    slippage_ticks is how far the price lies beyond its side of the quote, against the trader.
    ticket names the leg on a hedging account.
    """

    fill_id: str
    order_id: str
    symbol: str
    side: int
    size_steps: int
    price_ticks: int
    slippage_ticks: int
    bid_ticks: int
    ask_ticks: int
    bid_size_steps: int
    ask_size_steps: int
    quote_ts_ns: int
    quote_seq: int
    rate_num: int
    rate_den: int
    realised_minor: int
    commission_minor: int
    entries: tuple[LedgerEntry, ...]
    event_seq: int
    fill_model: str
    fill_seed: int
    ticket: str | None = None


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken rule: its slug, what was done about it, and the verdict with its arithmetic."""

    rule: str
    action: str
    verdict: dict[str, Json]
    event_seq: int


@dataclass(slots=True)
class Outcome:
    """What one command did: the account after it, and everything to be written with it.

    orders are those that ended; what still works is in the account. inputs record what it was
    decided on (quantlab.engine.inputs). touched_status says that its status or configuration moved.
    """

    command: Command
    account: Account
    decided_ns: int
    rejection: Rejection | None = None
    result: dict[str, Json] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    fills: list[Fill] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    closed_days: list[ClosedDay] = field(default_factory=list)
    life: LifeRecords | None = None
    inputs: dict[str, Json] = field(default_factory=dict)
    touched_status: bool = False
