"""What is not taken: why nothing may be traded now, and the record of it."""

from typing import Any

from quantlab.backtest import layout as at
from quantlab.backtest.kernels.attempts import by_moment
from quantlab.backtest.kernels.book import end_order
from quantlab.backtest.kernels.fills import is_blocked
from quantlab.backtest.kernels.judge import act_on
from quantlab.backtest.kernels.quotes import symbol_at
from quantlab.backtest.kernels.terms import too_late


def refuse(m: Any, s: int, o: int, owner: int, reason: int) -> None:
    """Record an order that was not taken."""
    m[at.REJECTED] += 1
    m[at.LAST_REASON] = reason
    m[at.NEXT_ORDER] += 1
    m[o + at.ID] = m[at.NEXT_ORDER]
    m[o + at.OWNER] = owner
    m[o + at.PARENT] = 0
    end_order(m, s, o, at.REFUSED, reason)


def guarded(m: Any, s: int, reducing: bool, closing: bool) -> int:
    """Say why nothing may be traded now; NO_REASON where it may."""
    w = symbol_at(m, s)
    if m[at.TERMS] != 0:
        end_patience(m)
    if m[at.STATUS] == at.DISABLED:
        return at.ACCOUNT_DISABLED
    if m[at.STATUS] == at.LOCKED and not closing:
        return at.ACCOUNT_LOCKED
    if m[w + at.OFFERED] == 0 and not reducing:
        return at.INSTRUMENT_ALLOWLIST
    if not reducing and is_blocked(m):
        return at.BLOCKED
    return at.NO_REASON if m[at.TERMS] == 0 else by_moment(m, s, reducing)


def end_patience(m: Any) -> None:
    """Judge first for how long nothing was ordered: an order that comes too late saves nobody."""
    if m[at.STATUS] != at.DISABLED:
        act_on(m, too_late(m))
