"""Fills as legs: a fill that reverses a position is one leg that closes and one that opens."""

import numpy as np

from quantlab.backtest.results.run import Columns, Fills, Flags, Words
from quantlab.kernel.records import dataclass


@dataclass(frozen=True, slots=True)
class Legs(Columns):
    """Legs by position, then in the order they happened; trade numbers the round trips from 0.

    side is that of the position the leg belongs to. position and cost are those after the leg,
    signed; row is the fill's.
    """

    row: Words
    trade: Words
    ts_ns: Words
    seq: Words
    symbol: Words
    side: Words
    ticks: Words
    slippage: Words
    opened: Words
    closed: Words
    profit: Words
    fee: Words
    position: Words
    cost: Words


def legs_of(fills: Fills) -> Legs:
    """Return the legs of fills."""
    order = np.lexsort((fills.ticket, fills.symbol))
    closes, opens = fills.closed[order] > 0, fills.opened[order] > 0
    counts = closes.astype(np.int64) + opens
    row = np.repeat(order, counts)
    is_first = np.ones(len(row), np.bool_)
    is_first[1:] = row[1:] != row[:-1]
    closing = is_first & np.repeat(closes, counts)
    both = np.repeat(closes & opens, counts)
    before_turn = closing & both
    closed = np.where(closing, fills.closed[row], 0)
    opened = np.where(closing, 0, fills.opened[row])
    side = np.where(closing, -fills.side[row], fills.side[row])
    fee = _share(fills, row, closing, both)
    position = np.where(before_turn, 0, fills.position[row])
    starts = (opened > 0) & (position == side * opened)
    return Legs(
        row=row,
        trade=np.cumsum(starts) - 1,
        ts_ns=fills.ts_ns[row],
        seq=fills.seq[row],
        symbol=fills.symbol[row],
        side=side,
        ticks=fills.ticks[row],
        slippage=fills.slippage[row],
        opened=opened,
        closed=closed,
        profit=np.where(closing, fills.profit[row], 0),
        fee=fee,
        position=position,
        cost=np.where(before_turn, 0, fills.cost[row]),
    )


def _share(fills: Fills, row: Words, closing: Flags, both: Flags) -> Words:
    """Share a reversing fill's fee by steps; what closes is rounded down, the rest opens."""
    fee, steps = fills.fee[row], fills.steps[row]
    whole, rest = np.divmod(fee, steps)
    share = whole * fills.closed[row] + rest * fills.closed[row] // steps
    return np.where(both, np.where(closing, share, fee - share), fee)
