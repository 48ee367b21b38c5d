"""How far a trade went for and against its holder: MAE and MFE (Sweeney 1996), before fees.

Between two fills of a symbol its position is what it is, so its open result is least and most where
the closing price is; to that comes what the trade has booked so far.
"""

import numpy as np

from quantlab.backtest.results.legs import Legs
from quantlab.backtest.results.money import in_minor
from quantlab.backtest.results.run import Columns, PricePath, Run, Words
from quantlab.kernel.records import dataclass

_NONE = np.iinfo(np.int64)


@dataclass(frozen=True, slots=True)
class Excursions(Columns):
    """By trade: quotes seen, the worst open result (at most 0) and the best (at least 0)."""

    quotes: Words
    mae: Words
    mfe: Words


def excursions(run: Run, legs: Legs, first: Words) -> Excursions | None:
    """Return the excursions of trades that begin at legs; None unless all quotes are there.

    A trade sees the quotes from that of its entry to that of its exit, both included.
    """
    if run.rates is not None or not set(legs.symbol.tolist()) <= run.paths.keys():
        return None
    starts = np.zeros(len(legs), np.int64)
    starts[first] = 1
    trade = np.cumsum(starts) - 1
    booked = np.cumsum(legs.profit)
    booked -= (booked - legs.profit)[first][trade]
    low, high = booked.copy(), booked.copy()
    quotes = np.zeros(len(first), np.int64)
    for index, path in run.paths.items():
        here = np.flatnonzero(legs.symbol == index)
        if len(here) == 0:
            continue
        begin = np.searchsorted(path.seq, legs.seq[here])
        until = _until(legs, trade, here, begin, len(path) - 1)
        worst, best = _extremes(legs, here, np.minimum(begin, len(path) - 1), until, path)
        scale = run.scales[index]
        held = legs.position[here] != 0
        for into, open_result in ((low, worst), (high, best)):
            minor = in_minor(np.where(held, open_result, 0), scale.unit_num, scale.unit_den)
            into[here] += minor
        np.add.at(quotes, trade[here], np.where(held, until - begin, 0))
    mae = np.minimum(np.minimum.reduceat(low, first), 0)
    mfe = np.maximum(np.maximum.reduceat(high, first), 0)
    return Excursions(quotes=quotes + 1, mae=mae, mfe=mfe)


def _until(legs: Legs, trade: Words, here: Words, begin: Words, last: int) -> Words:
    """Return the row of the path at which each leg's position is no more what it was, 0 if flat."""
    until = np.full(len(here), last, np.int64)
    same = trade[here][1:] == trade[here][:-1]
    until[:-1] = np.where(same, begin[1:], until[:-1])
    return np.where(legs.position[here] == 0, 0, np.minimum(until, last))


def _extremes(
    legs: Legs, here: Words, begin: Words, until: Words, path: PricePath
) -> tuple[Words, Words]:
    """Return the least and the most open gain of each leg's position, in ticks times steps."""
    position, cost = legs.position[here], legs.cost[here]
    low, high = np.empty_like(position), np.empty_like(position)
    is_long = position > 0
    for rows, lows, highs in (
        (is_long, path.low_bid, path.high_bid),
        (~is_long, path.low_ask, path.high_ask),
    ):
        low[rows] = _over(lows, begin[rows], until[rows], np.minimum)
        high[rows] = _over(highs, begin[rows], until[rows], np.maximum)
    at_low, at_high = position * low - cost, position * high - cost
    return np.minimum(at_low, at_high), np.maximum(at_low, at_high)


def _over(column: Words, begin: Words, until: Words, least: np.ufunc) -> Words:
    """Reduce a column over rows [begin, until], both included, for each pair; begin alone at least.

    The last row is taken for itself: where reduceat ends has to lie in the column.
    """
    if len(begin) == 0:
        return begin
    last = np.maximum(until, begin)
    before: Words = least.reduceat(column, np.column_stack((begin, last)).ravel())[::2]
    reduced: Words = least(before, column[last])
    return reduced
