"""A quote after the other: what it calls for, and what the strategy makes of it.

`run` is the part that every quote goes through. What it calls is handed in by whoever compiles it:
`strategy` runs the handlers of an event and returns how many orders they gave.
"""

from typing import Any

from quantlab.backtest import layout as at
from quantlab.backtest.kernels.attempts import attempt
from quantlab.backtest.kernels.book import is_called, order_at, tidy, trail
from quantlab.backtest.kernels.fills import begin_command
from quantlab.backtest.kernels.judge import (
    act_on,
    check_rules,
    enforce,
    enforce_at,
    mop_up,
    overstay,
)
from quantlab.backtest.kernels.margin import stop_out_below
from quantlab.backtest.kernels.outright import BROKEN, is_calm, level
from quantlab.backtest.kernels.quotes import symbol_at
from quantlab.backtest.kernels.stopping import stop_out
from quantlab.backtest.kernels.worth import equity_now, is_known, note_equity, note_worst, tune
from quantlab.rules.scalars import next_mark


def look(m: Any, s: int) -> None:
    """Do everything a symbol's new quote calls for: days, orders, rules, what is left to close."""
    note_worst(m)
    called, last = call(m, s)
    if called <= 1 and is_calm(m) and m[at.HELD] == (m[symbol_at(m, s) + at.SIZE] != 0):
        look_calmly(m, s, called, last)
        return
    if m[at.FORCE] & at.ROLLED != 0:
        begin_day(m)
    see_equity(m)
    if m[at.FORCE] & at.OVERSTAYING != 0:
        overstay(m)
    # Live a quote has an account judged that holds something; for patience alone a command does.
    if not (called != 0 and work(m, s)) and (m[at.HELD] != 0 or m[at.TERMS] == 0):
        check_rules(m)
    settle(m)


def look_calmly(m: Any, s: int, called: int, o: int) -> None:
    """Do what `look` does where it is only equity and levels, and an order that may be called."""
    if called != 0:
        see_equity(m)
        begin_command(m)
        attempt(m, s, o, False, at.BY_QUOTE)
    if level(m, s) == BROKEN:
        check_rules(m)
        settle(m)


def settle(m: Any) -> None:
    """Close what is left to close, and set every level anew."""
    mop_up(m)
    if m[at.STOP_OUT] != 0:
        stop_out(m)
        m[at.STOP_BELOW] = stop_out_below(m)
    tune(m)
    for k in range(m[at.SYMBOLS]):
        tidy(m, k)


def begin_day(m: Any) -> None:
    """Judge the account by the floors of its new day, as of the reset and now.

    One that its last day ends has no other.
    """
    m[at.FORCE] &= ~at.ROLLED
    begin_command(m)
    if m[at.RESET_KNOWN] != 0 and m[at.OVERDUE] != at.DISABLE:
        enforce_at(m, m[at.RESET_EQUITY], m[at.OVERDUE])
    else:
        act_on(m, m[at.OVERDUE])
    enforce(m)


def see_equity(m: Any) -> None:
    """Keep the equity as the quote has made it, before any order fills."""
    if not is_known(m, m[at.NOW]):
        return
    equity = equity_now(m)
    note_equity(m, equity)
    m[at.MARK] = next_mark(m[at.BASIS], m[at.MARK], m[at.BALANCE], equity, False)


def call(m: Any, s: int) -> tuple[int, int]:
    """Hold a symbol's orders against its quote; return how many it calls for, and the last."""
    w = symbol_at(m, s)
    called, last = 0, 0
    for k in range(m[w + at.ORDERS]):
        o = order_at(m, w, k)
        trail(m, w, o)
        m[o + at.CALLED] = is_called(m, w, o)
        if m[o + at.CALLED] != 0:
            called += 1
            last = o
    return called, last


def work(m: Any, s: int) -> bool:
    """Try the orders of a symbol that its quote calls for; say whether anything came of it."""
    w = symbol_at(m, s)
    done = False
    for k in range(m[w + at.ORDERS]):
        o = order_at(m, w, k)
        if m[o + at.CALLED] != 0 and m[o + at.STATE] != at.GONE and is_called(m, w, o):
            begin_command(m)
            if attempt(m, s, o, False, at.BY_QUOTE):
                enforce(m)
                done = True
    return done
