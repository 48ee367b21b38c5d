"""Swap: what positions earn or cost for the nights they are held over."""

from typing import Any

from quantlab.backtest import layout as at
from quantlab.backtest.kernels.fills import charge
from quantlab.backtest.kernels.legs import leg_at
from quantlab.backtest.kernels.quotes import rate_of, symbol_at
from quantlab.ledger.swap import swap_micro


def charge_swaps(m: Any, first: int, last: int) -> None:
    """Book the swap of every position for the resets from first to last, by their numbers.

    It is converted at the last quotes before, whatever their age.
    """
    for reset in range(first, last + 1):
        for s in range(m[at.SYMBOLS]):
            w = symbol_at(m, s)
            nights = m[m[at.NIGHTS_AT] + reset * m[at.SYMBOLS] + s]
            if m[at.LEGS_AT] == 0 and m[w + at.SIZE] != 0 and nights != 0:
                charge_swap(m, w, w, nights)
            for k in range(m[at.LEGS]):
                p = leg_at(m, k)
                if m[p + at.LEG_OF] == w and nights != 0:
                    charge_swap(m, w, p, nights)


def charge_swap(m: Any, w: int, p: int, nights: int) -> None:
    """Book the swap of one position of a symbol, the one at a place."""
    size = m[p + at.SIZE]
    num = m[w + at.LONG_NUM] if size > 0 else m[w + at.SHORT_NUM]
    den = m[w + at.LONG_DEN] if size > 0 else m[w + at.SHORT_DEN]
    if num == 0:
        return
    rate_num, rate_den = rate_of(m, w, num)
    m[at.SWAPS] += charge(m, swap_micro(size, nights, num, den, rate_num, rate_den))
