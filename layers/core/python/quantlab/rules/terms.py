"""What a rule profile says, resolved to integers for one initial balance and currency.

It must not read documents or judge accounts.
"""

from typing import ClassVar

from quantlab.kernel.records import dataclass

HARD = "hard"
SOFT = "soft"
WARN = "warn"
GATE = "gate"

DISABLE_ACCOUNT = "disable_account"
LOCK_UNTIL_RESET = "lock_until_reset"
FLATTEN = "flatten"
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

BEST_DAY = "best_day"
BEST_DAY_OF_TARGET = "best_day_of_target"
MOVING_TARGET = "moving_target"
COUNTED_PROFIT = "counted_profit"
BEST_TRADE = "best_trade"
LOT_BAND = "lot_band"

DAYS_OPENED = "opened"
DAYS_BALANCE_MOVE = "balance_move"
RESULT_CLOSED = "closed"
RESULT_EQUITY = "equity_at_reset"

PER_ORDER = "order"
PER_POSITION = "position"
PER_ACCOUNT = "account"

OTHER_OWNERS = "other_owners"
SAME_OWNER = "same_owner"
ANY_OWNER = "any"


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
    initial balance. Where costs do not count, what the day's fills cost lowers the floor.
    """

    slug: ClassVar[str] = "daily_loss"
    anchor: str
    keep_ppm: int
    loss_micro: int
    percent_ppm: int
    comparator: str
    costs_count: bool = True


@dataclass(frozen=True, slots=True)
class MaxDrawdown(Graded):
    """Equity floor under the initial balance (basis None) or under its high-water mark.

    floor = reference * keep_ppm / 10^6 - loss_micro / 10^6, never above lock_minor. Once profit
    was paid out the floor is at least payout_floor_minor.
    """

    slug: ClassVar[str] = "max_drawdown"
    basis: str | None
    keep_ppm: int
    loss_micro: int
    percent_ppm: int
    lock_minor: int | None
    comparator: str
    payout_floor_minor: int | None = None


@dataclass(frozen=True, slots=True)
class Consistency(Graded):
    """How evenly the profit was made; measure names the formula.

    best_day: the best day is not above (gt), or not at (ge), share_ppm of the total;
    best_day_of_target: the same of target_minor; moving_target: the total reaches
    max(target_minor, best day / share); counted_profit: the sum of days, each cut at share_ppm of
    the total, reaches target_minor; best_trade: as best_day with the best closed trade since the
    last payout; lot_band: every opened lot lies within low_ppm and high_ppm of the first.
    """

    slug: ClassVar[str] = "consistency"
    share_ppm: int
    comparator: str
    open_day_counts: bool
    total: str
    minimum_days: int
    measure: str = BEST_DAY
    since_payout: bool = False
    target_minor: int = 0
    low_ppm: int = 0
    high_ppm: int = 0


@dataclass(frozen=True, slots=True)
class ProfitTarget(Graded):
    """The closed profit is at least target_minor, with no position open where flat is required."""

    slug: ClassVar[str] = "profit_target"
    target_minor: int
    flat_required: bool


@dataclass(frozen=True, slots=True)
class MinTradingDays(Graded):
    """So many days with a position opened, or whose closed result moved by move_minor or more."""

    slug: ClassVar[str] = "min_trading_days"
    days: int
    counting: str
    move_minor: int
    open_day_counts: bool
    since_payout: bool


@dataclass(frozen=True, slots=True)
class ProfitableDays(Graded):
    """So many days whose closed result, or equity from reset to reset, gained least_minor."""

    slug: ClassVar[str] = "profitable_days"
    days: int
    least_minor: int
    measure: str
    open_day_counts: bool
    since_payout: bool


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


@dataclass(frozen=True, slots=True)
class FlatBy(Graded):
    """No position is open inside one of the windows, on the wall clock of a zone."""

    slug: ClassVar[str] = "flat_by"
    time_zone: str
    windows: tuple[Window, ...]


@dataclass(frozen=True, slots=True)
class WeekendHolding(Graded):
    """No position is open in a break between sessions longer than so many minutes, nor just before.

    minutes_before says how long before the break positions must be closed.
    """

    slug: ClassVar[str] = "weekend_holding"
    time_zone: str
    sessions: tuple[Window, ...]
    longer_than_minutes: int
    minutes_before: int


@dataclass(frozen=True, slots=True)
class NewsWindow(Graded):
    """No order from before_s ahead of a release to after_s behind it, both ends included.

    A release concerns an instrument that it names, or one of whose currencies it names, or every
    instrument. stops_count says whether a stop-loss or take-profit that fires inside counts.
    """

    slug: ClassVar[str] = "news_window"
    before_s: int
    after_s: int
    impacts: frozenset[str]
    every_instrument: bool
    reducing_allowed: bool
    stops_count: bool


@dataclass(frozen=True, slots=True)
class PositionSize(Graded):
    """At most so many lots, in 10^-9 lots: of an order, of a position, or of all together.

    weights name symbols of which a lot counts as so many millionths of one; others count whole.
    """

    slug: ClassVar[str] = "position_size"
    per: str
    max_nano: int
    weights: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class ScalingStep:
    """Below this profit (None: at any) at most so many 10^-9 lots are open together."""

    below_minor: int | None
    max_nano: int


@dataclass(frozen=True, slots=True)
class ScalingPlan(Graded):
    """All open lots together by the profit at the day's start: never raised within the day."""

    slug: ClassVar[str] = "scaling_plan"
    steps: tuple[ScalingStep, ...]
    weights: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class OrderLimits(Graded):
    """At most so many orders, opened positions and opened 10^-9 lots a trading day."""

    slug: ClassVar[str] = "order_limits"
    max_orders: int | None
    max_trades: int | None
    max_nano: int | None


@dataclass(frozen=True, slots=True)
class StopLossRequired(Graded):
    """An order that opens has a stop-loss, at which it loses at most risk_ppm where that is given.

    The share is of the initial balance, or of the present balance.
    """

    slug: ClassVar[str] = "stop_loss_required"
    risk_ppm: int | None
    of_initial: bool


@dataclass(frozen=True, slots=True)
class Hedging(Graded):
    """No order opens against the position of a linked account in the same symbol."""

    slug: ClassVar[str] = "hedging"
    owners: str


@dataclass(frozen=True, slots=True)
class CopyTrading(Graded):
    """No order opens like one of a linked account within so many nanoseconds."""

    slug: ClassVar[str] = "copy_trading"
    within_ns: int
    owners: str


@dataclass(frozen=True, slots=True)
class Inactivity(Graded):
    """At least one order within every so many times 24 hours."""

    slug: ClassVar[str] = "inactivity"
    days: int


EquityRule = DailyLoss | MaxDrawdown
OrderRule = TradingHours | InstrumentAllowlist | FlatBy | WeekendHolding
AskedRule = (
    NewsWindow | PositionSize | ScalingPlan | OrderLimits | StopLossRequired | Hedging | CopyTrading
)
StandingRule = FlatBy | WeekendHolding | Inactivity
Goal = ProfitTarget | MinTradingDays | ProfitableDays
Rule = EquityRule | Consistency | OrderRule | AskedRule | StandingRule | Goal


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
    asked_rules: tuple[AskedRule, ...] = ()
    standing_rules: tuple[StandingRule, ...] = ()
