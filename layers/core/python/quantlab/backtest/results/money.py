"""Ticks times steps to minor units, column by column, as `kernel.arith` does it one by one."""

from typing import Final

import numpy as np

from quantlab.backtest.results.run import Words
from quantlab.kernel.arith import MICRO

Number = int | Words
Rate = tuple[Number, Number]
SAME_CURRENCY: Final[Rate] = (1, 1)


def muldiv_columns(values: Words, numerator: Number, denominator: Number) -> Words:
    """Return values * numerator / denominator, half to even; see `kernel.arith.muldiv`."""
    whole, rest = np.divmod(values, denominator)
    floor, left = np.divmod(rest * numerator, denominator)
    result = whole * numerator + floor
    up = (left > denominator - left) | ((left == denominator - left) & (result % 2 != 0))
    rounded: Words = result + up
    return rounded


def in_minor(values: Words, unit_num: int, unit_den: int, rate: Rate = SAME_CURRENCY) -> Words:
    """Return gains in ticks times steps as minor units at a rate, half to even."""
    micro = muldiv_columns(values, unit_num, unit_den)
    return muldiv_columns(
        micro if rate is SAME_CURRENCY else muldiv_columns(micro, *rate), 1, MICRO
    )
