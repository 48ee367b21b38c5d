"""A working order whose turn has come: judged by the rules once more, then filled or dropped."""

from typing import Any

from quantlab.backtest import layout as at
from quantlab.backtest.kernels.book import drop, has_arrived, is_armed, is_reached
from quantlab.backtest.kernels.fills import PLANNED, fill_order, is_blocked, plan, reducible
from quantlab.backtest.kernels.judge import act_on
from quantlab.backtest.kernels.legs import leg_at, position_of
from quantlab.backtest.kernels.protecting import child_stop, keeping
from quantlab.backtest.kernels.quotes import is_fresh, symbol_at
from quantlab.backtest.kernels.terms import (
    note_term,
    refused_by_moment,
    refused_by_size,
    stop_fired,
    term_at,
)


def attempt(m: Any, s: int, o: int, judged: bool, cause: int) -> bool:
    """Hold a working order against the quote; say whether anything came of it.

    judged says that the account has just let it pass; what only waits for a rate or a quote stays.
    """
    w = symbol_at(m, s)
    if m[o + at.STATE] < at.WORKS or not has_arrived(m, w, o) or not is_fresh(m, w, m[at.NOW]):
        return False
    if is_armed(m, o):
        if not is_reached(m, w, o):
            return False
        m[o + at.STATE] = at.TRIGGERED
    planned = plan(m, s, o)
    reason = planned[0] if planned[0] > PLANNED else at.NO_REASON
    if planned[0] == PLANNED and not judged:
        reason = refused_now(m, s, o, planned[2])
    if reason == at.NO_REASON:
        fill_working(m, s, o, judged, planned, cause)
        return True
    if reason in (at.NO_CONVERSION, at.NO_QUOTE):
        return False
    if m[o + at.STATE] != at.GONE:
        drop(m, s, o, at.CANCELLED_STATE, reason)
    return True


def fill_working(
    m: Any, s: int, o: int, judged: bool, planned: tuple[int, int, int, int], cause: int
) -> None:
    """Fill a working order as planned; a rule may count it as a trade where it is an exit."""
    exits = m[at.ASKS] & at.STOPS_COUNT != 0 and planned[0] == PLANNED and not judged
    exits = exits and only_reduces(m, s, o)
    fill_order(m, s, o, True, planned, cause)
    if exits:
        act_on(m, stop_fired(m, s))


def only_reduces(m: Any, s: int, o: int) -> bool:
    """Say whether an order can only make its position smaller as things stand."""
    left = m[o + at.STEPS] - m[o + at.FILLED]
    reducing: bool = left <= reducible(m, position_of(m, symbol_at(m, s), o), m[o + at.SIDE])
    return m[o + at.REDUCE] != 0 or reducing


def refused_now(m: Any, s: int, o: int, price: int) -> int:
    """Return why an order whose turn has come may not fill any more; NO_REASON where it may.

    An exit is never refused for its size.
    """
    if m[at.STATUS] == at.LOCKED:
        return at.ACCOUNT_LOCKED
    if m[at.STATUS] == at.DISABLED:
        return at.ACCOUNT_DISABLED
    reduces = only_reduces(m, s, o)
    if not reduces and is_blocked(m):
        return at.BLOCKED
    if m[at.TERMS] == 0:
        return at.NO_REASON
    reason = by_moment(m, s, reduces)
    if reduces or reason != at.NO_REASON:
        return reason
    stop = at.NO_TICKS
    if m[at.ASKS] & at.PROTECTING != 0:
        stop = child_stop(m, symbol_at(m, s), o)
    return by_size(m, s, o, 0, price, stop)


def by_moment(m: Any, s: int, reducing: bool) -> int:
    """Judge an order by its moment and instrument, act on what it breaks, and return why not."""
    k = refused_by_moment(m, s, reducing)
    return at.NO_REASON if k < 0 else broken(m, k)


def by_size(m: Any, s: int, o: int, new: int, entry: int, stop: int) -> int:
    """Judge an order whose size is known, act on what it breaks, and return why not.

    entry and stop are the prices it would enter at and be stopped at, see `risk`.
    """
    side, whole = m[o + at.SIDE], m[o + at.STEPS]
    left = whole - m[o + at.FILLED]
    p = position_of(m, symbol_at(m, s), o)
    if m[o + at.REDUCE] != 0:
        left = min(left, reducible(m, p, side))
        whole = left
    k = refused_by_size(m, s, p, side, left, whole, new, entry, stop)
    return at.NO_REASON if k < 0 else broken(m, k)


def by_steps(m: Any, s: int, p: int, steps: int) -> int:
    """Judge a new market order against the position at a place: see `terms.refused_by_size`."""
    side = -1 if m[p + at.SIZE] > 0 else 1
    k = refused_by_size(m, s, p, side, steps, steps, 1, at.NO_TICKS, at.NO_TICKS)
    return at.NO_REASON if k < 0 else broken(m, k)


def refused_close(m: Any, s: int) -> int:
    """Say which rule lets a symbol's position, or one of its legs, not be closed whole."""
    w = symbol_at(m, s)
    if m[at.TERMS] == 0:
        return at.NO_REASON
    if m[at.LEGS_AT] == 0:
        return at.NO_REASON if m[w + at.SIZE] == 0 else by_steps(m, s, w, abs(m[w + at.SIZE]))
    for k in range(m[at.LEGS]):
        p = leg_at(m, k)
        if m[p + at.LEG_OF] == w:
            reason = by_steps(m, s, p, abs(m[p + at.SIZE]))
            if reason != at.NO_REASON:
                return reason
    return at.NO_REASON


def by_protection(m: Any, s: int, o: int, changed: int) -> int:
    """Say why a stop may not be cancelled or changed so: see `protecting.keeping`; act on it."""
    k = keeping(m, s, o, changed)
    if k < 0:
        return at.NO_REASON
    note_term(m, k)
    return broken(m, k)


def broken(m: Any, k: int) -> int:
    """Act on a rule that an order has broken, and return it as a reason."""
    t = term_at(m, k)
    act_on(m, m[t + at.TERM_ACTION])
    reason: int = m[t + at.TERM_REASON]
    return reason
