"""A finished run as the results read it: columns of int64 and a few scalars.

Prices are ticks, sizes steps, amounts minor units, instants nanoseconds since 1970 UTC.
"""

from collections.abc import Sequence
from dataclasses import field, fields
from decimal import Decimal
from typing import Final

import numpy as np
import numpy.typing as npt

from quantlab.backtest.outputs import NO_OUTPUTS, Outputs
from quantlab.kernel.records import dataclass

Words = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

NO_FLOOR: Final = -(1 << 62)
DAY_NS: Final = 86_400_000_000_000
TRADING_DAYS: Final = 252


class NoResult(ValueError):
    """A run that no results can be made of: what, and what was expected."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The units of a symbol: one tick times one size step is unit_num/unit_den micro-minor."""

    symbol: str
    tick: Decimal
    size_step: Decimal
    unit_num: int
    unit_den: int


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns of one length. Each dataclass made of it has only arrays as its fields."""

    def __post_init__(self) -> None:
        lengths = {one.name: len(getattr(self, one.name)) for one in fields(self)}
        if len(set(lengths.values())) > 1:
            raise NoResult(f"expected columns of one length, was {lengths}")

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))

    def columns(self) -> dict[str, Words]:
        """Return the columns by name."""
        return {one.name: getattr(self, one.name) for one in fields(self)}


@dataclass(frozen=True, slots=True)
class Fills(Columns):
    """Fills in the order they happened.

    order is the strategy's own number of it; symbol is an index into the run's scales; side is 1
    or -1; slippage is in ticks, above zero against the trader; profit is what the fill booked on
    the part that closed, before its fee; position and cost are those after the fill, signed;
    opened and closed are steps of the fill that open and that close. seq is the place of the
    quote it met in the run's data. ticket numbers the leg that position and cost are of, 0 on an
    account that nets.
    """

    ts_ns: Words
    seq: Words
    order: Words
    symbol: Words
    side: Words
    steps: Words
    ticks: Words
    slippage: Words
    profit: Words
    fee: Words
    balance: Words
    position: Words
    opened: Words
    closed: Words
    cost: Words
    cause: Words
    ticket: Words


@dataclass(frozen=True, slots=True)
class Curve(Columns):
    """The equity over time; floor is the equity below which a rule breaks, NO_FLOOR for none."""

    ts_ns: Words
    equity: Words
    floor: Words


@dataclass(frozen=True, slots=True)
class Days(Columns):
    """Trading days with quotes: start, end, and balance and equity at the end."""

    start_ns: Words
    end_ns: Words
    balance: Words
    equity: Words
    traded: Words


@dataclass(frozen=True, slots=True)
class PricePath(Columns):
    """The quotes of one symbol, one row each or merged: seq ascends and is that of the last."""

    seq: Words
    ts_ns: Words
    low_bid: Words
    high_bid: Words
    low_ask: Words
    high_ask: Words


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run.

    max_drawdown_minor is the deepest fall of the equity on any quote where the run kept it;
    swap_minor is what swaps booked, below zero what they cost. paths has the quotes of symbols by
    index: without them no excursions are known. orders are columns as the run has them. rates are
    numerators and denominators, by fill, from the quote currency to the account's for a loss; None
    where nothing is converted. With them no excursions are known: they would need every rate.
    outputs are what the strategy showed.
    """

    currency: str
    currency_digits: int
    initial_minor: int
    balance_minor: int
    equity_minor: int
    first_ns: int
    last_ns: int
    scales: tuple[Scale, ...]
    fills: Fills
    curve: Curve
    days: Days
    max_drawdown_minor: int | None = None
    swap_minor: int = 0
    days_per_year: int = TRADING_DAYS
    paths: dict[int, PricePath] = field(default_factory=dict)
    orders: dict[str, Words] = field(default_factory=dict)
    rates: tuple[Words, Words] | None = None
    outputs: Outputs = NO_OUTPUTS

    def __post_init__(self) -> None:
        if self.initial_minor <= 0:
            raise NoResult(f"expected an initial balance above zero, was {self.initial_minor}")
        if self.last_ns < self.first_ns:
            raise NoResult(f"expected a last instant from {self.first_ns} on, was {self.last_ns}")

    def rates_of(self, rows: Words) -> tuple[int | Words, int | Words]:
        """Return the rates of fills by their rows."""
        return (1, 1) if self.rates is None else (self.rates[0][rows], self.rates[1][rows])


def words(values: Sequence[int] | Words) -> Words:
    """Return values as a column."""
    return np.asarray(values, dtype=np.int64)


def day_date(start_ns: int) -> np.datetime64:
    """Return the date of a trading day: that of 12 hours from its start, UTC.

    So a day that begins at 17:00 in New York has the date of the session that follows.
    """
    return np.datetime64((start_ns + DAY_NS // 2) // DAY_NS, "D")
