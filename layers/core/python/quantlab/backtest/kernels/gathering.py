"""The orders of one command, read together: group, children and exits, all of it or nothing."""

from typing import Any

from quantlab.backtest import layout as at
from quantlab.backtest.kernels.judge import blank
from quantlab.backtest.kernels.margin import is_waiting as waits
from quantlab.backtest.kernels.quotes import symbol_at
from quantlab.backtest.kernels.reading import (
    COMMAND_WORDS,
    EXIT_TRAIL,
    FLAGS,
    GROUP,
    OUO_GROUP,
    PARENT,
    STOP_LOSS,
    SYMBOL,
    TAKE_PROFIT,
    VERB,
    entry_ticks,
    given,
    read_child,
    read_order,
    read_stop,
    read_target,
)

PLACE = 0
TAKEN_UP = -1
ON_SCRATCH = 1


def gather(m: Any, out: Any, i: int, count: int, first: int) -> int:
    """Read the orders of a command: the first, the rest of its group, then all their children.

    The number of a parent's slot stands in its child until the orders have numbers of their own.
    """
    r = at.OUT_FIRST + i * COMMAND_WORDS
    group = out[r + GROUP]
    reason = at.NO_REASON
    for j in range(i, count):
        q = at.OUT_FIRST + j * COMMAND_WORDS
        member = j == i or (group > 0 and out[q + GROUP] == group)
        if out[q + VERB] != PLACE or not member or reason != at.NO_REASON:
            continue
        if out[q + SYMBOL] != out[r + SYMBOL]:
            return at.GROUP_REFUSED
        out[q + VERB] = TAKEN_UP
        reason = add_member(m, out, q, first + j, group)
    members = m[at.SCRATCH]
    for k in range(ON_SCRATCH, members):
        if reason == at.NO_REASON:
            reason = add_children(m, out, i, count, first, k)
    return overfull(m) if reason == at.NO_REASON else reason


def add_member(m: Any, out: Any, q: int, owner: int, group: int) -> int:
    """Read one order that works at once into the next slot."""
    o = blank(m, m[at.SCRATCH])
    m[at.SCRATCH] += 1
    m[o + at.OWNER] = owner
    if group > 0:
        m[o + at.GROUP] = 1
        m[o + at.GROUP_KIND] = at.OUO if out[q + FLAGS] & OUO_GROUP != 0 else at.OCO
    # The place of its command is kept until its children are read.
    m[o + at.CALLED] = q
    return read_order(m, out, q, symbol_at(m, m[m[at.MAP_AT] + out[q + SYMBOL]]), o)


def add_children(m: Any, out: Any, i: int, count: int, first: int, k: int) -> int:
    """Read the exits of an order, and the orders of the event that name it as their parent."""
    o = m[at.SCRATCH_AT] + k * at.ORDER_WORDS
    r = m[o + at.CALLED]
    w = symbol_at(m, m[m[at.MAP_AT] + out[r + SYMBOL]])
    reason = add_exits(m, out, r, w, o, k)
    for j in range(i, count):
        q = at.OUT_FIRST + j * COMMAND_WORDS
        if out[q + VERB] != PLACE or out[q + PARENT] != m[o + at.OWNER]:
            continue
        if reason != at.NO_REASON:
            return reason
        if out[q + SYMBOL] != out[r + SYMBOL]:
            return at.GROUP_REFUSED
        out[q + VERB] = TAKEN_UP
        c = blank(m, m[at.SCRATCH])
        m[at.SCRATCH] += 1
        m[c + at.OWNER] = first + j
        reason = read_child(m, out, q, w, c)
        m[c + at.PARENT] = k
    return reason


def add_exits(m: Any, out: Any, r: int, w: int, o: int, k: int) -> int:
    """Read the bracket of an order: a stop and a target that make each other smaller."""
    stops = given(out, r + STOP_LOSS) or out[r + FLAGS] & EXIT_TRAIL != 0
    aims = given(out, r + TAKE_PROFIT)
    if not stops and not aims:
        return at.NO_REASON
    entry = entry_ticks(m, w, o)
    begun = m[at.SCRATCH]
    reason = at.NO_REASON
    if stops:
        reason = read_stop(m, out, r, w, o, m[at.SCRATCH], entry)
        m[at.SCRATCH] += 1
    if aims and reason == at.NO_REASON:
        reason = read_target(m, out, r, w, o, m[at.SCRATCH], entry)
        m[at.SCRATCH] += 1
    for slot in range(begun, m[at.SCRATCH]):
        c = m[at.SCRATCH_AT] + slot * at.ORDER_WORDS
        m[c + at.OWNER] = m[o + at.OWNER]
        m[c + at.PARENT] = k
        # An exit alone is a group too: that tells it from a child placed under its own number.
        m[c + at.GROUP] = 2 + k
        m[c + at.GROUP_KIND] = at.OUO
    return reason


def any_waits(m: Any) -> bool:
    """Say whether one of a command's orders is to wait by itself."""
    for k in range(ON_SCRATCH, m[at.SCRATCH]):
        o = m[at.SCRATCH_AT] + k * at.ORDER_WORDS
        if m[o + at.STATE] != at.PENDING_PARENT and waits(m, o):
            return True
    return False


def overfull(m: Any) -> int:
    """Return NO_REASON where there is room for all that would have to wait."""
    waiting = 0
    for k in range(ON_SCRATCH, m[at.SCRATCH]):
        o = m[at.SCRATCH_AT] + k * at.ORDER_WORDS
        waiting += m[o + at.STATE] == at.PENDING_PARENT or waits(m, o)
    if waiting > 0 and m[at.WORKING] + waiting > at.ORDERS_MAX:
        return at.TOO_MANY_ORDERS
    return at.NO_REASON
