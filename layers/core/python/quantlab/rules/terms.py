"""What a rule profile says, resolved to integers for one initial balance and currency.

It must not read documents or judge accounts.
"""

from dataclasses import dataclass
from typing import ClassVar

HARD = "hard"
SOFT = "soft"
WARN = "warn"
GATE = "gate"

DISABLE_ACCOUNT = "disable_account"
LOCK_UNTIL_RESET = "lock_until_reset"
REJECT_ORDERS = "reject_orders"
WARN_ONLY = "warn"

BELOW = "lt"
AT_OR_BELOW = "le"
ABOVE = "gt"
AT_OR_ABOVE = "ge"

ANCHOR_BALANCE = "balance"
ANCHOR_EQUITY = "equity"
ANCHOR_HIGHER = "higher_of_balance_and_equity"
ANCHOR_INITIAL = "initial"
ANCHOR_NET_RESULT = "net_result"

BASIS_EQUITY = "equity"
BASIS_BALANCE = "balance"
BASIS_END_OF_DAY = "end_of_day_balance"

TOTAL_NET = "net"
TOTAL_PROFITABLE_DAYS = "profitable_days"


@dataclass(frozen=True, slots=True)
class DayTerms:
    """When the trading day begins: wall-clock HH:MM in a named zone."""

    reset: str
    time_zone: str


@dataclass(frozen=True, slots=True)
class Graded:
    """What every rule has: its name in the profile, how grave it is, what follows."""

    rule_id: str
    severity: str
    action: str


@dataclass(frozen=True, slots=True)
class DailyLoss(Graded):
    """Equity floor of the day: anchor * keep_ppm / 10^6 - loss_micro / 10^6, in minor units.

    Exactly one of loss_ppm (of the anchor; keep_ppm is the rest) and loss_micro (millionths of
    a minor unit) is above zero. percent_ppm is above zero when loss_micro is that share of the
    initial balance.
    """

    slug: ClassVar[str] = "daily_loss"
    anchor: str
    keep_ppm: int
    loss_micro: int
    percent_ppm: int
    comparator: str


@dataclass(frozen=True, slots=True)
class MaxDrawdown(Graded):
    """Equity floor under the initial balance (basis None) or under its high-water mark.

    floor = reference * keep_ppm / 10^6 - loss_micro / 10^6, never above lock_minor.
    """

    slug: ClassVar[str] = "max_drawdown"
    basis: str | None
    keep_ppm: int
    loss_micro: int
    percent_ppm: int
    lock_minor: int | None
    comparator: str


@dataclass(frozen=True, slots=True)
class Consistency(Graded):
    """The best day's share of the total: not above (gt), or not at (ge), share_ppm."""

    slug: ClassVar[str] = "consistency"
    share_ppm: int
    comparator: str
    open_day_counts: bool
    total: str
    minimum_days: int


@dataclass(frozen=True, slots=True)
class Window:
    """Trading allowed from open_minute on each of the weekdays (0 is Monday) to close_minute.

    A close at or before the open is on the next day.
    """

    weekdays: frozenset[int]
    open_minute: int
    close_minute: int


@dataclass(frozen=True, slots=True)
class TradingHours(Graded):
    """Orders are taken inside one of the windows only."""

    slug: ClassVar[str] = "trading_hours"
    time_zone: str
    windows: tuple[Window, ...]
    reducing_allowed: bool


@dataclass(frozen=True, slots=True)
class InstrumentAllowlist(Graded):
    """Orders are taken in these symbols only."""

    slug: ClassVar[str] = "instrument_allowlist"
    symbols: frozenset[str]
    reducing_allowed: bool


EquityRule = DailyLoss | MaxDrawdown
OrderRule = TradingHours | InstrumentAllowlist
Rule = DailyLoss | MaxDrawdown | Consistency | TradingHours | InstrumentAllowlist


@dataclass(frozen=True, slots=True)
class Profile:
    """A rule profile for accounts of one initial balance and currency.

    version is the content hash of the document; rules are in the document's order, the tuples
    after them are the same rules by kind. high_water_basis is None without a trailing rule.
    """

    name: str
    version: str
    currency_digits: int
    initial_balance_minor: int
    day: DayTerms
    rules: tuple[Rule, ...]
    daily_losses: tuple[DailyLoss, ...]
    drawdowns: tuple[MaxDrawdown, ...]
    judged_consistencies: tuple[Consistency, ...]
    order_rules: tuple[OrderRule, ...]
    order_blocking_ids: tuple[str, ...]
    high_water_basis: str | None
