"""The account as the one writer sees it between two commands."""

from collections.abc import Mapping
from dataclasses import field, fields
from typing import Any

from quantlab.kernel.records import dataclass
from quantlab.ledger.orders import Order


@dataclass(frozen=True, slots=True)
class Position:
    """A netting position of one symbol, or with a ticket one leg of a hedging account.

    size_steps is signed (long above zero); cost is the exact sum of price_ticks * signed steps.
    Protective prices are in ticks, None when absent. opened_seq is the event that opened it.
    """

    symbol: str
    size_steps: int
    cost: int
    stop_loss_ticks: int | None
    take_profit_ticks: int | None
    opened_at_ns: int
    opened_seq: int
    ticket: str | None = None

    @property
    def key(self) -> str:
        """Return what an account holds it under: its ticket, or its symbol where there is none."""
        return self.ticket or self.symbol

    @property
    def named(self) -> dict[str, Any]:
        """Name it as events do."""
        return {"symbol": self.symbol, **({} if self.ticket is None else {"ticket": self.ticket})}


@dataclass(frozen=True, slots=True)
class Day:
    """The account's open trading day [started_ns, next_reset_ns); amounts in minor units.

    date is the local calendar day of the start; realised_minor is the day's net closed P/L;
    traded says whether a position was opened in it.
    """

    date: str
    started_ns: int
    next_reset_ns: int
    start_balance_minor: int
    start_equity_minor: int
    realised_minor: int
    traded: bool


@dataclass(frozen=True, slots=True)
class ClosedDay:
    """The net closed P/L of one finished trading day, and whether a position was opened in it.

    equity_gain_minor is the equity from its reset to the next, None where it was not recorded.
    """

    date: str
    realised_minor: int
    traded: bool
    equity_gain_minor: int | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """What rules count between commands; amounts in minor units, sizes in 10^-9 lots.

    Of the open day: orders taken, trades (positions opened), opened_nano and costs. Since the last
    payout: best_trade, the best result of a closed position. Of the day of the last payout: what it
    had realised, gained in equity and opened before, and once over whether it opened more. Of the
    whole life: the first, the least and the most opened at once, costs, payouts. running holds what
    open positions have realised so far, by key. Instants are 0 where nothing is known. taken is
    what its fills have used up of displayed sizes, (symbol, side, quote seq, steps), of the last
    quotes it took from.
    """

    opened_ns: int = 0
    last_order_ns: int = 0
    orders: int = 0
    trades: int = 0
    opened_nano: int = 0
    day_costs_minor: int = 0
    costs_minor: int = 0
    first_nano: int = 0
    least_nano: int = 0
    most_nano: int = 0
    best_trade_minor: int | None = None
    running: tuple[tuple[str, int], ...] = ()
    payouts: int = 0
    paid_minor: int = 0
    payout_ns: int = 0
    payout_date: str = ""
    payout_day_minor: int = 0
    payout_day_gain_minor: int = 0
    payout_day_nano: int = 0
    payout_day_traded: bool = False
    taken: tuple[tuple[str, int, int, int], ...] = ()


EMPTY_TALLY = Tally()


def write_tally(tally: Tally) -> dict[str, Any]:
    """Write the counts that are not at their start, for a JSON column."""
    if tally == EMPTY_TALLY:
        return {}
    values = {count.name: getattr(tally, count.name) for count in fields(Tally)}
    return {name: value for name, value in values.items() if value != getattr(EMPTY_TALLY, name)}


def read_tally(written: Mapping[str, Any]) -> Tally:
    """Read what write_tally wrote, or the whole of a tally; TypeError for a count nobody knows."""
    running = tuple((key, minor) for key, minor in written.get("running", ()))
    taken = tuple((*key, steps) for *key, steps in written.get("taken", ()))
    return Tally(**{**written, "running": running, "taken": taken})


@dataclass(frozen=True, slots=True)
class Account:
    """Everything the one writer keeps of an account; amounts in minor units of its currency.

    status is active, locked (until the next reset and flat), disabled or closed. carry_micro is the
    rest of at most half a minor unit that the next booking takes up. positions are by their keys,
    working holds the orders that have not ended, by their identifier.
    """

    account_id: str
    tenant_id: str
    status: str
    status_reason: str | None
    currency: str
    currency_digits: int
    account_type: str
    config_version: str
    initial_balance_minor: int
    balance_minor: int
    carry_micro: int
    high_water_minor: int
    event_seq: int
    day: Day
    closed_days: tuple[ClosedDay, ...]
    raised: tuple[str, ...]
    positions: dict[str, Position]
    working: dict[str, Order] = field(default_factory=dict)
    tally: Tally = EMPTY_TALLY

    def legs(self, symbol: str | None = None) -> list[Position]:
        """Return the open positions by symbol, of one where given; what was opened first is first.

        An account that nets has one of a symbol.
        """
        held = (one for one in self.positions.values() if symbol in (None, one.symbol))
        return sorted(held, key=lambda one: (one.symbol, one.opened_seq))

    def held_for(self, order: Order) -> Position | None:
        """Return the position that an order adds to or reduces."""
        held = self.positions.get(order.position_key)
        return held if held is not None and held.symbol == order.symbol else None

    def reducible_steps(self, order: Order) -> int:
        """Return how many steps an order of this side could take off its position."""
        held = self.held_for(order)
        return 0 if held is None else max(0, -order.side * held.size_steps)
