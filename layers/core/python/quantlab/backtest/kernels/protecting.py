"""The stops that protect a position, where a rule asks for them: see `engine.protecting`."""

from typing import Any

from quantlab.backtest import layout as at
from quantlab.backtest.kernels.book import order_at, trigger_of
from quantlab.backtest.kernels.legs import position_of
from quantlab.backtest.kernels.quotes import symbol_at
from quantlab.backtest.kernels.risk import is_too_much, risk_at
from quantlab.backtest.kernels.terms import term_at

NOTHING = 0
NO_RULE = -1
_FAR = at.NEVER_HIGH // 2


def child_stop(m: Any, w: int, o: int) -> int:
    """Return the trigger of a stop that waits for an order of the book; NO_TICKS without one."""
    for k in range(m[w + at.ORDERS]):
        c = order_at(m, w, k)
        is_child = m[c + at.STATE] != at.GONE and m[c + at.PARENT] == m[o + at.ID]
        if is_child and m[c + at.TYPE] == at.STOP:
            stop: int = m[c + at.TRIGGER]
            return stop
    return at.NO_TICKS


def stop_beside(m: Any, first: int, k: int) -> int:
    """Return the trigger of a stop that waits for slot k of a command not yet taken."""
    for slot in range(first, m[at.SCRATCH]):
        c = m[at.SCRATCH_AT] + slot * at.ORDER_WORDS
        waits = m[c + at.STATE] == at.PENDING_PARENT and m[c + at.PARENT] == k
        if waits and m[c + at.TYPE] == at.STOP:
            stop: int = m[c + at.TRIGGER]
            return stop
    return at.NO_TICKS


def keeping(m: Any, s: int, o: int, changed: int) -> int:
    """Return which rule keeps a stop as it is, as its number; NO_RULE where it may change.

    changed is the order as it would be, NOTHING where it would be cancelled.
    """
    w = symbol_at(m, s)
    p = position_of(m, w, o)
    if m[at.ASKS] & at.PROTECTING == 0 or not protects(m, p, o):
        return NO_RULE
    bares = uncovered(m, w, p, o, changed) > uncovered(m, w, p, o, o)
    if not bares and (changed == NOTHING or not is_farther(m, o, changed)):
        return NO_RULE
    for k in range(m[at.TERMS]):
        t = term_at(m, k)
        if m[t + at.TERM_KIND] != at.PROTECTED or m[t + at.TERM_ACTION] == at.WARN:
            continue
        if bares or (m[t + at.TERM_MOST] != at.NEVER_HIGH and loses_more(m, t, w, p, changed)):
            return k
    return NO_RULE


def protects(m: Any, p: int, o: int) -> bool:
    """Say whether an order is a working stop of the other side of its position, at a place."""
    kind = m[o + at.TYPE]
    if m[o + at.STATE] < at.WORKS or kind not in (at.STOP, at.TRAILING):
        return False
    return m[p + at.SIZE] != 0 and (m[o + at.SIDE] > 0) != (m[p + at.SIZE] > 0)


def uncovered(m: Any, w: int, p: int, stop: int, instead: int) -> int:
    """Return the steps of a position no stop covers, where one of its stops is another instead."""
    bare = abs(m[p + at.SIZE])
    if instead != NOTHING:
        bare -= m[instead + at.STEPS] - m[instead + at.FILLED]
    for k in range(m[w + at.ORDERS]):
        o = order_at(m, w, k)
        own = m[o + at.TICKET] == m[stop + at.TICKET]
        if o != stop and own and protects(m, p, o):
            bare -= m[o + at.STEPS] - m[o + at.FILLED]
    return max(0, bare)


def has_trigger(m: Any, o: int) -> bool:
    """Say whether a stop's price is known: that of a trail without a peak is not."""
    return m[o + at.TYPE] != at.TRAILING or m[o + at.TRAILS] != 0


def is_farther(m: Any, o: int, changed: int) -> bool:
    """Say whether a change lets the position lose more before the stop triggers."""
    if not has_trigger(m, o) or not has_trigger(m, changed):
        return has_trigger(m, o) != has_trigger(m, changed)
    return m[o + at.SIDE] * (trigger_of(m, changed) - trigger_of(m, o)) > 0


def loses_more(m: Any, t: int, w: int, p: int, changed: int) -> bool:
    """Say whether what a moved stop covers loses more than a rule allows, from its average price.

    It is rounded up.
    """
    if not has_trigger(m, changed):
        return True
    trigger, size = trigger_of(m, changed), abs(m[p + at.SIZE])
    covered = min(size, m[changed + at.STEPS] - m[changed + at.FILLED])
    whole, rest = divmod(lost_at(m, p, trigger), size)
    risk = risk_at(m, w, trigger, whole * covered - (-rest * covered // size), covered)
    return is_too_much(m, t, risk)


def lost_at(m: Any, p: int, trigger: int) -> int:
    """Return what a position loses at a price, in ticks times steps; NEVER_HIGH at most."""
    size = m[p + at.SIZE]
    if abs(trigger) >= _FAR // abs(size):
        return at.NEVER_HIGH if (trigger < 0) == (size > 0) else 0
    lost: int = max(0, m[p + at.COST] - trigger * size)
    return lost
