"""What several metrics are computed from, worked out once."""

import itertools
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from quantlab.backtest.results.money import in_minor
from quantlab.backtest.results.run import Curve, Fills, Run, Words
from quantlab.backtest.results.trades import Trades, round_trips
from quantlab.kernel.records import dataclass


@dataclass(frozen=True, slots=True)
class Falls:
    """Drawdowns of a curve that begins at its first value.

    depth and share are the deepest fall from a peak, in minor units and as a fraction of the peak;
    episodes the deepest share of each fall from a peak until the next; longest_ns the longest time
    from a peak until the value is that high again, or until the end.
    """

    depth: int
    share: float
    episodes: tuple[float, ...]
    longest_ns: int


class Figures:
    """A run with its trades and series, each worked out when it is first asked for, and kept.

    profits are those of closed trades in the order of their ends. closes are the equity before the
    first trading day and at the end of each; returns are the days' returns, None where some day
    began without equity above zero.
    """

    def __init__(self, run: Run) -> None:
        self.run = run

    @cached_property
    def trades(self) -> Trades:
        """Return the round trips."""
        return round_trips(self.run)

    @cached_property
    def closed(self) -> Trades:
        """Return the round trips that have ended."""
        return self.trades.finished()

    @cached_property
    def profits(self) -> tuple[int, ...]:
        """Return the profits of closed trades."""
        return tuple(self.closed.profit.tolist())

    @cached_property
    def wins(self) -> tuple[int, ...]:
        """Return the profits above zero."""
        return tuple(one for one in self.profits if one > 0)

    @cached_property
    def losses(self) -> tuple[int, ...]:
        """Return the profits below zero."""
        return tuple(one for one in self.profits if one < 0)

    @cached_property
    def closes(self) -> tuple[int, ...]:
        """Return the equity at the ends of days."""
        return (self.run.initial_minor, *self.run.days.equity.tolist())

    @cached_property
    def returns(self) -> tuple[float, ...] | None:
        """Return the returns of days."""
        return returns_of(self.closes)

    @cached_property
    def falls(self) -> Falls:
        """Return the drawdowns of the sampled equity."""
        return falls_of(whole_curve(self.run))

    @cached_property
    def held(self) -> tuple[Words, Words, Words]:
        """Return after each fill: how long it is the last, positions held, their cost in money."""
        return held_of(self.run)

    @property
    def net_profit(self) -> int:
        """Return what the run has booked, costs included."""
        return self.run.balance_minor - self.run.initial_minor

    @property
    def elapsed_ns(self) -> int:
        """Return the time from the first quote to the last."""
        return self.run.last_ns - self.run.first_ns


def figures(run: Run) -> Figures:
    """Return what the metrics of a run are computed from."""
    return Figures(run)


def returns_of(closes: Sequence[int]) -> tuple[float, ...] | None:
    """Return the change from each close to the next as a fraction; None at a close of 0 or less."""
    if any(close <= 0 for close in closes[:-1]):
        return None
    return tuple(b / a - 1 for a, b in itertools.pairwise(closes))


def held_of(run: Run) -> tuple[Words, Words, Words]:
    """Return after each fill: for how long it is the last, positions held, their cost in money."""
    fills = run.fills
    cost = np.zeros(len(fills), np.int64)
    for index, scale in enumerate(run.scales):
        rows = np.flatnonzero(fills.symbol == index)
        if len(rows) == 0:
            continue
        rate = run.rates_of(rows)
        cost[rows] = in_minor(np.abs(fills.cost[rows]), scale.unit_num, scale.unit_den, rate)
    held = (fills.position != 0).astype(np.int64)
    spans = np.diff(np.append(fills.ts_ns, run.last_ns))
    return spans, _over_positions(fills, held), _over_positions(fills, cost)


def _over_positions(fills: Fills, values: Words) -> Words:
    """Sum after each fill what every position's last one left."""
    order = np.lexsort((fills.ticket, fills.symbol))
    same = (np.diff(fills.ticket[order]) == 0) & (np.diff(fills.symbol[order]) == 0)
    change = values[order]
    change[1:] -= np.where(same, values[order][:-1], 0)
    changes = np.zeros(len(fills), np.int64)
    changes[order] = change
    summed: Words = np.cumsum(changes)
    return summed


def whole_curve(run: Run) -> Curve:
    """Return the sampled curve with the initial balance before it and the last equity after it."""
    ts_ns = np.concatenate(([run.first_ns], run.curve.ts_ns, [run.last_ns]))
    equity = np.concatenate(([run.initial_minor], run.curve.equity, [run.equity_minor]))
    floors = run.curve.floor
    ends = (floors[:1], floors, floors[-1:]) if len(floors) else (np.full(2, -(1 << 62)),)
    return Curve(ts_ns=ts_ns, equity=equity, floor=np.concatenate(ends))


def falls_of(curve: Curve) -> Falls:
    """Return the drawdowns of a curve with at least one point."""
    equity = curve.equity
    peak = np.maximum.accumulate(equity)
    depth = peak - equity
    share = np.where(peak > 0, depth / np.maximum(peak, 1), 0.0)
    is_peak = depth == 0
    episode = np.cumsum(is_peak) - 1
    starts = np.flatnonzero(is_peak)
    deepest = np.maximum.reduceat(share, starts)
    return Falls(
        depth=int(depth.max()),
        share=float(share.max()),
        episodes=tuple(float(one) for one in deepest if one > 0),
        longest_ns=_longest(curve.ts_ns, episode, starts, depth),
    )


def _longest(ts_ns: Words, episode: Words, starts: Words, depth: Words) -> int:
    """Return the longest time from the last instant at a peak until it is reached again."""
    last = np.append(starts[1:], len(ts_ns) - 1)
    fell = np.zeros(len(starts), np.bool_)
    fell[episode[depth > 0]] = True
    spans = (ts_ns[last] - ts_ns[starts])[fell]
    return int(spans.max()) if len(spans) else 0
