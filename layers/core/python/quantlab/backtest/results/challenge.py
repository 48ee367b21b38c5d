"""A firm's challenge, passed or failed many times over with the days a backtest had.

Days follow one another as they were, from each of them on, or are drawn in blocks (the circular
block bootstrap of Politis and Romano 1992). A day moves the account by the money it moved it in the
backtest, whatever the account is worth. The account counts as flat at each reset, so its balance
is its equity there. Within a day the high comes first and the low after it, and the target is
judged at the close: the rate is never flattered by what a day's order was not.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from quantlab.backtest.results.draws import below
from quantlab.backtest.results.montecarlo import Distribution, distribution
from quantlab.backtest.results.run import Columns, Flags, NoResult, Run, Words
from quantlab.kernel.records import dataclass
from quantlab.rules import scalars

Z_95: Final = 1.959963984540054
NO_DAY: Final = -1
RUNNING, PASSED, DAILY_LOSS, MAX_DRAWDOWN, OUT_OF_TIME = range(5)
# Says of an attempt and the days it has had whether it is passed, where profit and days are enough.
Judge = Callable[[int, Words], bool]
OUTCOMES: Final = ("", "passed", "daily_loss", "max_drawdown", "out_of_time")


@dataclass(frozen=True, slots=True)
class DayMoves(Columns):
    """Days relative to the equity they began with, in minor units; traded is 1 or 0."""

    change: Words
    low: Words
    high: Words
    traded: Words


@dataclass(frozen=True, slots=True)
class Terms:
    """A challenge: it is passed with target_minor of profit at a close after min_days traded days.

    rules are rows of `rules.floors.rule_row`: kind, code, keep_ppm, loss_micro, comparator, lock,
    least. After max_days it is out of time.
    """

    initial_minor: int
    target_minor: int
    rules: tuple[tuple[int, int, int, int, int, int, int], ...]
    min_days: int = 0
    max_days: int = 250


@dataclass(frozen=True, slots=True)
class Challenge:
    """How attempts ended: counts by outcome, the pass rate with its Wilson interval of 95 %.

    days_to_pass is None where none passed.
    """

    attempts: int
    outcomes: dict[str, int]
    pass_rate: float
    low: float
    high: float
    days_to_pass: Distribution | None


def day_moves(run: Run) -> DayMoves:
    """Return the days of a run; lows and highs are those of the sampled equity and the close."""
    closes = run.days.equity
    opens = np.concatenate(([run.initial_minor], closes[:-1]))
    low, high = np.minimum(opens, closes), np.maximum(opens, closes)
    day = np.searchsorted(run.days.start_ns, run.curve.ts_ns, side="right") - 1
    known = day >= 0
    np.minimum.at(low, day[known], run.curve.equity[known])
    np.maximum.at(high, day[known], run.curve.equity[known])
    traded = (run.days.traded != 0).astype(np.int64)
    return DayMoves(closes - opens, low - opens, high - opens, traded)


def wilson(passed: int, attempts: int, z: float = Z_95) -> tuple[float, float]:
    """Return the score interval of a share (Wilson 1927)."""
    share, extra = passed / attempts, z * z / attempts
    middle = share + extra / 2
    width = z * math.sqrt(share * (1 - share) / attempts + extra / (4 * attempts))
    return max((middle - width) / (1 + extra), 0.0), min((middle + width) / (1 + extra), 1.0)


def from_each_day(moves: DayMoves, terms: Terms) -> Challenge:
    """Attempt the challenge from each day on; where the data ends first it is out of time."""
    count = len(moves)
    _check(count, terms)
    length = min(count, terms.max_days)
    days = np.arange(count)[:, None] + np.arange(length)
    return summary_of(*attempt(moves, terms, np.where(days < count, days, NO_DAY)))


def bootstrap(
    moves: DayMoves, terms: Terms, paths: int = 10_000, block_days: int = 5, seed: int = 1
) -> Challenge:
    """Attempt the challenge with days drawn in blocks; the day after the last is the first."""
    return summary_of(*attempt(moves, terms, drawn_days(moves, terms, paths, block_days, seed)))


def drawn_days(
    moves: DayMoves, terms: Terms, paths: int, block_days: int, seed: int, drawn_before: int = 0
) -> Words:
    """Return a row of days for each path, drawn in blocks; drawn_before skips so many blocks."""
    count = len(moves)
    _check(count, terms)
    if paths < 1 or block_days < 1:
        raise NoResult(f"expected paths and days of a block, was {paths} and {block_days}")
    blocks = -(-terms.max_days // block_days)
    starts = below(seed, drawn_before, paths * blocks, count).reshape(paths, blocks, 1)
    days: Words = ((starts + np.arange(block_days)) % count).reshape(paths, -1)
    return days[:, : terms.max_days]


def attempt(
    moves: DayMoves, terms: Terms, days: Words, judge: Judge | None = None
) -> tuple[Words, Words]:
    """Return each attempt's outcome and the days it took; days has a row of days for each.

    A judge is asked at each close at which an attempt's profit and days are enough.
    """
    outcome = np.zeros(len(days), np.int64)
    taken, traded = np.zeros(len(days), np.int64), np.zeros(len(days), np.int64)
    equity = np.full(len(days), terms.initial_minor)
    mark, peak = equity.copy(), equity.copy()
    for number in range(days.shape[1]):
        day = days[:, number]
        going_on = (outcome == RUNNING) & (day != NO_DAY)
        if not going_on.any():
            break
        high, low = equity + moves.high[day], equity + moves.low[day]
        peak = np.maximum(peak, high)
        broken = _broken(terms, equity, mark, peak, low)
        equity = np.where(going_on, equity + moves.change[day], equity)
        mark = np.maximum(mark, equity)
        traded += moves.traded[day]
        enough = (equity - terms.initial_minor >= terms.target_minor) & (traded >= terms.min_days)
        if judge is not None:
            for row in np.flatnonzero(enough & going_on & (broken == RUNNING)).tolist():
                enough[row] = judge(row, days[row, : number + 1])
        ended = np.where(broken != RUNNING, broken, np.where(enough, PASSED, RUNNING))
        outcome = np.where(going_on, ended, outcome)
        taken += going_on
    return np.where(outcome == RUNNING, OUT_OF_TIME, outcome), taken


def _broken(terms: Terms, start: Words, mark: Words, peak: Words, low: Words) -> Words:
    """Return which kind of rule a day breaks: of two, that whose floor is higher."""
    found = np.zeros(len(start), np.int64)
    highest = np.full(len(start), np.iinfo(np.int64).min)
    for row in terms.rules:
        floor = floors(row, terms.initial_minor, start, mark, peak)
        under: Flags = low <= floor if row[4] == scalars.AT_OR_BELOW else low < floor
        under &= floor > highest
        found[under] = DAILY_LOSS if row[0] == scalars.DAILY_LOSS else MAX_DRAWDOWN
        highest[under] = floor[under]
    return found


def floors(row: Sequence[int], initial_minor: int, start: Words, mark: Words, peak: Words) -> Words:
    """Return `rules.scalars.floor_of` for accounts that are flat at the reset.

    start is the equity of each at the reset, mark its highest close so far, peak its highest high,
    that of the day with it.
    """
    kind, code, keep_ppm, loss_micro, comparator, lock, least = row
    reference = start
    if kind == scalars.DAILY_LOSS:
        if code == scalars.ANCHOR_INITIAL:
            reference = np.full_like(start, initial_minor)
    elif code == scalars.BASIS_INITIAL:
        reference = np.full_like(start, initial_minor)
    else:
        reference = np.maximum(mark, peak) if code == scalars.BASIS_EQUITY else mark
    compute: Any = scalars.floor_below  # whole arithmetic, which columns know as well
    floor: Words = compute(reference, keep_ppm, loss_micro, comparator)
    if lock != scalars.NO_LOCK:
        floor = np.minimum(floor, lock)
    return floor if least == scalars.NO_LEAST else np.maximum(floor, least)


def summary_of(outcome: Words, taken: Words) -> Challenge:
    """Return how attempts ended."""
    attempts = len(outcome)
    counts = np.bincount(outcome, minlength=len(OUTCOMES)).tolist()
    low, high = wilson(counts[PASSED], attempts)
    return Challenge(
        attempts=attempts,
        outcomes={OUTCOMES[code]: counts[code] for code in range(PASSED, len(OUTCOMES))},
        pass_rate=counts[PASSED] / attempts,
        low=low,
        high=high,
        days_to_pass=distribution(taken[outcome == PASSED]) if counts[PASSED] else None,
    )


def _check(count: int, terms: Terms) -> None:
    if count == 0 or terms.max_days < 1:
        raise NoResult(f"expected days, was {count} of data and at most {terms.max_days}")
