"""The stop-out: at a margin level too low the largest loser is closed, then the next."""

from typing import Any

from quantlab.backtest import layout as at
from quantlab.backtest.kernels.book import cancel_openers
from quantlab.backtest.kernels.fills import begin_command, has_size
from quantlab.backtest.kernels.judge import close_now, enforce, mop_up
from quantlab.backtest.kernels.legs import NO_PLACE, leg_at, leg_value
from quantlab.backtest.kernels.margin import is_stopped_out
from quantlab.backtest.kernels.quotes import is_fresh, may_convert, symbol_at
from quantlab.backtest.kernels.worth import value_of


def stop_out(m: Any) -> None:
    """Close positions while the margin level is too low, as `engine.stop_out` does."""
    closed_some = True
    while closed_some and m[at.STATUS] == at.ACTIVE_STATUS and is_stopped_out(m):
        closed_some = stop_out_once(m)


def stop_out_once(m: Any) -> bool:
    """Carry out one stop-out; say whether it has closed anything."""
    begin_command(m)
    fills = m[at.FILLS]
    cancel_openers(m, at.MARGIN_STOP_OUT)
    for s in range(m[at.SYMBOLS]):
        m[symbol_at(m, s) + at.STOPPED] = 0
    for k in range(m[at.LEGS]):
        m[leg_at(m, k) + at.LEG_CALLED] = 0
    s, p = largest_loser(m)
    while p != NO_PLACE:
        m[p + (at.STOPPED if m[at.LEGS_AT] == 0 else at.LEG_CALLED)] = 1
        close_now(m, s, p, abs(m[p + at.SIZE]), 0, at.BY_STOP_OUT)
        s, p = largest_loser(m) if is_stopped_out(m) else (0, NO_PLACE)
    enforce(m)
    mop_up(m)
    closed_some: bool = m[at.FILLS] != fills
    return closed_some


def largest_loser(m: Any) -> tuple[int, int]:
    """Return symbol and place of what has lost most of what can be closed now; else NO_PLACE."""
    of, found, least = 0, NO_PLACE, 0
    for s in range(m[at.SYMBOLS]):
        w = symbol_at(m, s)
        if not is_fresh(m, w, m[at.NOW]) or not may_convert(m, w, m[at.NOW]):
            continue
        if m[w + at.SIZE] != 0 and m[at.LEGS_AT] == 0 and m[w + at.STOPPED] == 0:
            value = value_of(m, w)
            if has_size(m, w, -m[w + at.SIZE]) and (found == NO_PLACE or value < least):
                of, found, least = s, w, value
        for k in range(m[at.LEGS]):
            p = leg_at(m, k)
            if m[p + at.LEG_OF] != w or m[p + at.LEG_CALLED] != 0:
                continue
            value = leg_value(m, p)
            if has_size(m, w, -m[p + at.SIZE]) and (found == NO_PLACE or value < least):
                of, found, least = s, p, value
    return of, found
