"""Seeded numbers, column by column: the same seed gives the same numbers everywhere."""

from typing import Final

import numpy as np
import numpy.typing as npt

from quantlab.backtest.results.run import Words

_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)
_MASK: Final = (1 << 64) - 1


def raw(seed: int, begin: int, count: int) -> npt.NDArray[np.uint64]:
    """Return numbers [begin, begin + count) of SplitMix64 (Steele, Lea and Flood 2014)."""
    state = np.arange(begin + 1, begin + count + 1, dtype=np.uint64) * _STEP
    state += np.uint64(seed & _MASK)
    state = (state ^ (state >> np.uint64(30))) * _FIRST
    state = (state ^ (state >> np.uint64(27))) * _SECOND
    mixed: npt.NDArray[np.uint64] = state ^ (state >> np.uint64(31))
    return mixed


def below(seed: int, begin: int, count: int, bound: int) -> Words:
    """Return numbers in [0, bound) for a bound far below 2^32."""
    high = raw(seed, begin, count) >> np.uint64(32)
    drawn: Words = ((high * np.uint64(bound)) >> np.uint64(32)).astype(np.int64)
    return drawn
