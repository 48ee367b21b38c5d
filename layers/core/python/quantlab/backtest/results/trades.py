"""Round trips: from a symbol's position being flat to its being flat again, or reversed.

The cost basis is the average cost of the position, as the ledger nets it, so the
profits of trades are the booked profits of fills to the last minor unit. A fill that reverses a
position ends one trade and begins the next; its fee and slippage are shared by steps, the part that
closes rounded down.
"""

from typing import Final

import numpy as np

from quantlab.backtest.results.excursions import Excursions, excursions
from quantlab.backtest.results.legs import Legs, legs_of
from quantlab.backtest.results.money import in_minor
from quantlab.backtest.results.run import Columns, Flags, Run, Words
from quantlab.kernel.records import dataclass

UNKNOWN: Final = -(1 << 63)
_FLOAT_SAFE: Final = float(1 << 62)


@dataclass(frozen=True, slots=True)
class Trades(Columns):
    """Round trips in the order of their ends, those still open last, in the order of their entry.

    profit is after fee, gross before; entry_notional and exit_notional are sums of ticks times
    steps; size is all that was opened, most the largest position held. For an open trade exit_ns
    is UNKNOWN and profit is what it has booked so far. mae and mfe, the worst and best open result
    before fees, and quotes, how many the trade saw, are UNKNOWN without the symbol's quotes.
    """

    symbol: Words
    side: Words
    entry_ns: Words
    exit_ns: Words
    entry_seq: Words
    exit_seq: Words
    size: Words
    most: Words
    closed: Words
    entry_notional: Words
    exit_notional: Words
    gross: Words
    fee: Words
    slippage: Words
    profit: Words
    fills: Words
    quotes: Words
    mae: Words
    mfe: Words

    @property
    def is_closed(self) -> Flags:
        """Say which trades have ended."""
        ended: Flags = self.exit_ns != UNKNOWN
        return ended

    def finished(self) -> "Trades":
        """Return the trades that have ended."""
        kept = self.is_closed
        return Trades(**{name: column[kept] for name, column in self.columns().items()})


def round_trips(run: Run) -> Trades:
    """Return the trades of a run."""
    legs = legs_of(run.fills)
    count = int(legs.trade[-1]) + 1 if len(legs) else 0
    if count == 0:
        return Trades(*(np.zeros(0, np.int64) for _ in range(19)))
    first = np.searchsorted(legs.trade, np.arange(count))
    last = np.append(first[1:], len(legs)) - 1
    ended = legs.position[last] == 0
    gross, fee = _sums(legs.profit, first), _sums(legs.fee, first)
    known = excursions(run, legs, first)
    columns = {
        "symbol": legs.symbol[first],
        "side": legs.side[first],
        "entry_ns": legs.ts_ns[first],
        "exit_ns": np.where(ended, legs.ts_ns[last], UNKNOWN),
        "entry_seq": legs.seq[first],
        "exit_seq": np.where(ended, legs.seq[last], UNKNOWN),
        "size": _sums(legs.opened, first),
        "most": np.maximum.reduceat(np.abs(legs.position), first),
        "closed": _sums(legs.closed, first),
        "entry_notional": _notional(legs.opened, legs.ticks, first),
        "exit_notional": _notional(legs.closed, legs.ticks, first),
        "gross": gross,
        "fee": fee,
        "slippage": _slippage(run, legs, first),
        "profit": gross - fee,
        "fills": last - first + 1,
        **_known(known, count),
    }
    order = np.lexsort((legs.row[first], np.where(ended, legs.row[last], len(run.fills))))
    return Trades(**{name: column[order] for name, column in columns.items()})


def _known(known: Excursions | None, count: int) -> dict[str, Words]:
    if known is None:
        return {name: np.full(count, UNKNOWN) for name in ("quotes", "mae", "mfe")}
    return {"quotes": known.quotes, "mae": known.mae, "mfe": known.mfe}


def _sums(values: Words, first: Words) -> Words:
    return np.add.reduceat(values, first)


def _notional(steps: Words, ticks: Words, first: Words) -> Words:
    """Sum products within 64 bits; a trade of more than that is kept as Python integers."""
    estimate = np.add.reduceat(steps.astype(np.float64) * ticks, first)
    if np.abs(estimate).max() < _FLOAT_SAFE:
        return _sums(steps * ticks, first)
    products = steps.astype(object) * ticks.astype(object)
    exact: Words = np.add.reduceat(products, first)
    return exact


def _slippage(run: Run, legs: Legs, first: Words) -> Words:
    """Sum what slippage cost each trade, each leg half to even in minor units."""
    paid = np.zeros(len(legs), np.int64)
    for index, scale in enumerate(run.scales):
        of_it = legs.symbol == index
        products = (legs.slippage * (legs.opened + legs.closed))[of_it]
        rate = run.rates_of(legs.row[of_it])
        paid[of_it] = in_minor(products, scale.unit_num, scale.unit_den, rate)
    return _sums(paid, first)
