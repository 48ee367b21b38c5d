"""The stop-out: at a margin level too low the largest loser is closed, then the next."""

from typing import Any

from quantlab.backtest import layout as at
from quantlab.backtest.kernels.book import cancel_openers
from quantlab.backtest.kernels.fills import begin_command, has_size
from quantlab.backtest.kernels.judge import close_now, enforce, mop_up
from quantlab.backtest.kernels.margin import is_stopped_out
from quantlab.backtest.kernels.quotes import is_fresh, may_convert, symbol_at
from quantlab.backtest.kernels.worth import value_of

NOBODY = -1


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
    loser = largest_loser(m)
    while loser != NOBODY:
        w = symbol_at(m, loser)
        m[w + at.STOPPED] = 1
        close_now(m, loser, abs(m[w + at.SIZE]), 0, at.BY_STOP_OUT)
        loser = largest_loser(m) if is_stopped_out(m) else NOBODY
    enforce(m)
    mop_up(m)
    closed_some: bool = m[at.FILLS] != fills
    return closed_some


def largest_loser(m: Any) -> int:
    """Return the symbol whose position has lost most of those that can be closed now."""
    found, least = NOBODY, 0
    for s in range(m[at.SYMBOLS]):
        w = symbol_at(m, s)
        if m[w + at.SIZE] == 0 or m[w + at.STOPPED] != 0 or not is_fresh(m, w, m[at.NOW]):
            continue
        if not may_convert(m, w, m[at.NOW]) or not has_size(m, w, -m[w + at.SIZE]):
            continue
        value = value_of(m, w)
        if found == NOBODY or value < least:
            found, least = s, value
    return found
