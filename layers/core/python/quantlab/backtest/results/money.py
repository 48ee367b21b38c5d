"""Ticks times steps to minor units, column by column, as `kernel.arith` does it one by one."""

import numpy as np

from quantlab.backtest.results.run import Words
from quantlab.kernel.arith import MICRO


def muldiv_columns(values: Words, numerator: int, denominator: int) -> Words:
    """Return values * numerator / denominator, half to even; see `kernel.arith.muldiv`."""
    whole, rest = np.divmod(values, denominator)
    floor, left = np.divmod(rest * numerator, denominator)
    result = whole * numerator + floor
    up = (left > denominator - left) | ((left == denominator - left) & (result % 2 != 0))
    rounded: Words = result + up
    return rounded


def in_minor(values: Words, unit_num: int, unit_den: int) -> Words:
    """Return gains in ticks times steps as minor units, half to even."""
    return muldiv_columns(muldiv_columns(values, unit_num, unit_den), 1, MICRO)
