"""The account as the one writer sees it between two commands."""

from dataclasses import dataclass, field

from quantlab.ledger.orders import Order


@dataclass(frozen=True, slots=True)
class Position:
    """A netting position of one symbol.

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
    """The net closed P/L of one finished trading day, and whether a position was opened in it."""

    date: str
    realised_minor: int
    traded: bool


@dataclass(frozen=True, slots=True)
class Account:
    """Everything the one writer keeps of an account; amounts in minor units of its currency.

    status is active, locked (until the next reset), disabled or closed. carry_micro is the
    rest of at most half a minor unit that the next booking takes up. working holds the orders that
    have not ended, by their identifier.
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

    def position(self, symbol: str) -> Position | None:
        """Return the open position of a symbol."""
        return self.positions.get(symbol)

    def reducible_steps(self, symbol: str, side: int) -> int:
        """Return how many steps an order of this side could take off the symbol's position."""
        held = self.position(symbol)
        return 0 if held is None else max(0, -side * held.size_steps)
