"""What the trades of a run could have come to in another order, or drawn anew from themselves.

Shuffling keeps the sum and asks how deep the fall could have been; the bootstrap (Efron 1979) draws
as many trades with replacement and asks about the end as well. Both take trades as independent
of one another and of the account's size.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from quantlab.backtest.results.draws import below, raw
from quantlab.backtest.results.run import NoResult, Words, words
from quantlab.kernel.records import dataclass

CELLS: Final = 1 << 21
PERCENTILES: Final = (5, 25, 50, 75, 95)
Draw = Callable[[Words, int, int, int], Words]


@dataclass(frozen=True, slots=True)
class Distribution:
    """A sample of amounts: its percentiles by nearest rank, its ends."""

    least: int
    percentiles: dict[int, int]
    most: int


@dataclass(frozen=True, slots=True)
class MonteCarlo:
    """Simulated runs, in minor units. losing is the share of them that end below their beginning.

    ruined is the share whose balance was at or below the ruin at some time, None without one.
    """

    paths: int
    seed: int
    end: Distribution
    max_drawdown: Distribution
    losing: float
    ruined: float | None


def distribution(values: Words) -> Distribution:
    """Return the distribution of a sample that is not empty."""
    ordered = np.sort(values)
    ranks = {share: -(-share * len(ordered) // 100) - 1 for share in PERCENTILES}
    return Distribution(
        least=int(ordered[0]),
        percentiles={share: int(ordered[rank]) for share, rank in ranks.items()},
        most=int(ordered[-1]),
    )


def shuffle_trades(
    profits: Sequence[int] | Words,
    initial_minor: int,
    paths: int = 1000,
    seed: int = 1,
    ruin_minor: int | None = None,
) -> MonteCarlo:
    """Simulate all trades in other orders; raises NoResult without trades or paths."""
    return _simulate(words(profits), initial_minor, paths, seed, ruin_minor, _shuffled)


def bootstrap_trades(
    profits: Sequence[int] | Words,
    initial_minor: int,
    paths: int = 1000,
    seed: int = 1,
    ruin_minor: int | None = None,
) -> MonteCarlo:
    """Simulate as many trades, drawn with replacement; raises NoResult without trades or paths."""
    return _simulate(words(profits), initial_minor, paths, seed, ruin_minor, _drawn)


def _shuffled(profits: Words, first: int, paths: int, seed: int) -> Words:
    count = len(profits)
    keys = raw(seed, first * count, paths * count).reshape(paths, count)
    return profits[np.argsort(keys, axis=1, kind="stable")]


def _drawn(profits: Words, first: int, paths: int, seed: int) -> Words:
    count = len(profits)
    return profits[below(seed, first * count, paths * count, count)].reshape(paths, count)


def _simulate(
    profits: Words, initial: int, paths: int, seed: int, ruin: int | None, draw: Draw
) -> MonteCarlo:
    if len(profits) == 0 or paths < 1:
        raise NoResult(f"expected trades and paths, was {len(profits)} and {paths}")
    size = max(CELLS // len(profits), 1)
    ends, falls, lows = (np.zeros(paths, np.int64) for _ in range(3))
    for first in range(0, paths, size):
        part = slice(first, min(first + size, paths))
        balance = np.cumsum(draw(profits, first, part.stop - first, seed), axis=1) + initial
        peak = np.maximum(np.maximum.accumulate(balance, axis=1), initial)
        ends[part] = balance[:, -1]
        falls[part] = (peak - balance).max(axis=1)
        lows[part] = np.minimum(balance.min(axis=1), initial)
    return MonteCarlo(
        paths=paths,
        seed=seed,
        end=distribution(ends),
        max_drawdown=distribution(falls),
        losing=int((ends < initial).sum()) / paths,
        ruined=None if ruin is None else int((lows <= ruin).sum()) / paths,
    )
