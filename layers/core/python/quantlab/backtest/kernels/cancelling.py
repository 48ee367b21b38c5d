"""Orders that a strategy takes back; stops that a rule asks for stay."""

from typing import Any

from quantlab.backtest import layout as at
from quantlab.backtest.kernels.attempts import by_protection
from quantlab.backtest.kernels.book import drop, order_at
from quantlab.backtest.kernels.gathering import ON_SCRATCH
from quantlab.backtest.kernels.judge import blank
from quantlab.backtest.kernels.protecting import NOTHING, keeping
from quantlab.backtest.kernels.quotes import symbol_at
from quantlab.backtest.kernels.refusals import refuse


def cancel(m: Any, number: int, owner: int) -> None:
    """Cancel the order of a number, if it works and no rule keeps it; its exits stay."""
    for s in range(m[at.SYMBOLS]):
        w = symbol_at(m, s)
        for k in range(m[w + at.ORDERS]):
            o = order_at(m, w, k)
            own = m[o + at.OWNER] == number and m[o + at.STATE] != at.GONE
            if not own or (m[o + at.PARENT] != 0 and m[o + at.GROUP] != 0):
                continue
            reason = by_protection(m, s, o, NOTHING)
            if reason == at.NO_REASON:
                drop(m, s, o, at.CANCELLED_STATE, at.REQUESTED)
            else:
                refuse(m, s, blank(m, ON_SCRATCH), owner, reason)
            return


def cancel_all(m: Any, s: int, owner: int) -> None:
    """Cancel every working order of a symbol; stops that a rule asks for stay.

    That is refused where nothing else was there to cancel.
    """
    w = symbol_at(m, s)
    kept = NOTHING
    for k in range(m[w + at.ORDERS]):
        o = order_at(m, w, k)
        stays = m[o + at.STATE] != at.GONE and keeping(m, s, o, NOTHING) >= 0
        m[o + at.CALLED] = stays
        if stays and kept == NOTHING:
            kept = o
    cancelled = m[at.CANCELLED]
    for k in range(m[w + at.ORDERS]):
        o = order_at(m, w, k)
        if m[o + at.STATE] != at.GONE and m[o + at.CALLED] == 0:
            drop(m, s, o, at.CANCELLED_STATE, at.REQUESTED)
    if kept != NOTHING and m[at.CANCELLED] == cancelled:
        refuse(m, s, blank(m, ON_SCRATCH), owner, by_protection(m, s, kept, NOTHING))
