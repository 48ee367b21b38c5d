"""The short way for what is asked for most: one market order that fills at once, with no strings.

It does what `desk` does with such an order, or nothing where anything is out of the ordinary. The
account has no working orders, no margin and no rule beside those on equity, of which none broke.
"""

from typing import Any

from quantlab.backtest import layout as at
from quantlab.backtest.kernels.book import end_order, no_limit, tidy
from quantlab.backtest.kernels.fills import book_netted, meets
from quantlab.backtest.kernels.judge import blank, name
from quantlab.backtest.kernels.quotes import is_fresh, symbol_at
from quantlab.backtest.kernels.reading import (
    FLAGS,
    GROUP,
    PARENT,
    QUANTITY,
    SIDE,
    STOP_LOSS,
    SYMBOL,
    TAG,
    TAKE_PROFIT,
    TIME,
    TYPE,
    UNIT,
    VERB,
    given,
    size_of,
    within,
)
from quantlab.backtest.kernels.terms import count_order
from quantlab.backtest.kernels.worth import breach_level, note_equity, tune_to, value_all
from quantlab.ledger.scalars import equity_of_open, fits, netted
from quantlab.rules.scalars import next_mark

(BROKEN, DONE, NOT_TAKEN) = range(3)
_PLACE, _CLOSE = 0, 3


def outright(m: Any, out: Any) -> int:
    """Fill an event's only order; return NOT_TAKEN, with nothing changed, where it is not so plain.

    BROKEN says that it is filled, and that its equity is still to be judged.
    """
    r = at.OUT_FIRST
    if m[at.WORKING] != 0 or not is_calm(m) or not is_simple(out, r):
        return NOT_TAKEN
    s = m[m[at.MAP_AT] + out[r + SYMBOL]]
    w = symbol_at(m, s)
    held = m[w + at.SIZE]
    if not is_ordinary(m, w) or m[at.HELD] != (held != 0):
        return NOT_TAKEN
    steps, side, tag = abs(held), -1 if held > 0 else 1, -1
    if out[r + VERB] == _PLACE:
        steps, side, tag = size_of(m, out, r, w, 0), out[r + SIDE], out[r + TAG]
        if m[w + at.OFFERED] == 0 or within(m, w, steps) != at.NO_REASON:
            return NOT_TAKEN
    elif held == 0:
        return NOT_TAKEN
    return fill(m, s, steps, side, out[at.OUT_PLACED], tag)


def is_calm(m: Any) -> bool:
    """Say whether nothing but the equity and the orders can end or change a position."""
    calm = m[at.STATUS] | m[at.FORCE] | m[at.RAISED]
    return calm | m[at.TERMS] | m[at.STOP_OUT] | m[at.CONVERSIONS] == 0


def is_simple(out: Any, r: int) -> bool:
    """Say whether a command is a whole close, or a market order of some lots, and nothing else."""
    if out[r + VERB] == _CLOSE:
        return not given(out, r + QUANTITY)
    special = out[r + VERB] | out[r + TYPE] | out[r + TIME] | out[r + UNIT] | out[r + FLAGS]
    if special | out[r + GROUP] | out[r + PARENT] != 0:
        return False
    return not given(out, r + STOP_LOSS) and not given(out, r + TAKE_PROFIT)


def is_ordinary(m: Any, w: int) -> bool:
    """Say whether a symbol is quoted, and its orders neither travel nor need margin."""
    return m[w + at.LATENCY] | m[w + at.LEVERAGE_NUM] == 0 and is_fresh(m, w, m[at.NOW])


def fill(m: Any, s: int, steps: int, side: int, owner: int, tag: int) -> int:
    """Fill so many steps, if the quote has them all; return as `outright` does."""
    w = symbol_at(m, s)
    filled, price, slipped = meets(m, w, side, steps, no_limit(side))
    moved = netted(m[w + at.SIZE], m[w + at.COST], side, filled, price)
    size, cost, gain, _, _ = moved
    good = fits(size, cost, gain, price, m[w + at.WORTH_LIMIT])
    if filled != steps or not good:
        return NOT_TAKEN
    o = blank(m, 0)
    m[o + at.OWNER] = owner
    m[o + at.SIDE] = side
    m[o + at.STEPS] = steps
    m[o + at.LIMIT] = no_limit(side)
    m[o + at.TAG] = tag
    name(m, o)
    count_order(m)
    book_netted(m, s, w, o, steps, price, slipped, at.BY_SIGNAL, moved)
    end_order(m, s, o, at.FULL, at.NO_REASON)
    return level(m, s)


def level(m: Any, s: int) -> int:
    """Judge a calm account's equity and set the levels of its symbol; return BROKEN or DONE."""
    total = value_all(m)
    equity = equity_of_open(m[at.BALANCE], m[at.CARRY], total)
    note_equity(m, equity)
    m[at.MARK] = next_mark(m[at.BASIS], m[at.MARK], m[at.BALANCE], equity, False)
    below = breach_level(m)
    if equity < below:
        return BROKEN
    if m[at.HELD] != 0:
        tune_to(m, below, total)
    tidy(m, s)
    return DONE
