"""What a strategy asks for: orders placed, cancelled, positions closed; all of it or nothing."""

from typing import Any

from quantlab.backtest import layout as at
from quantlab.backtest.kernels.attempts import (
    attempt,
    by_size,
    by_steps,
    refused_close,
)
from quantlab.backtest.kernels.book import is_armed, is_marketable, order_at, tidy
from quantlab.backtest.kernels.cancelling import cancel, cancel_all
from quantlab.backtest.kernels.changing import modify
from quantlab.backtest.kernels.fills import (
    PLANNED,
    begin_command,
    fill_order,
    plan,
)
from quantlab.backtest.kernels.gathering import ON_SCRATCH, PLACE, TAKEN_UP, any_waits, gather
from quantlab.backtest.kernels.judge import (
    blank,
    cancel_everything,
    close_now,
    enforce,
    liquidate,
    mop_up,
    name,
)
from quantlab.backtest.kernels.legs import NO_PLACE, call_legs, holds, next_called
from quantlab.backtest.kernels.margin import NO_ORDER, refused_orders, stop_out_below
from quantlab.backtest.kernels.margin import is_waiting as waits
from quantlab.backtest.kernels.outright import BROKEN, DONE, NOT_TAKEN, outright
from quantlab.backtest.kernels.protecting import stop_beside
from quantlab.backtest.kernels.quotes import is_fresh, symbol_at
from quantlab.backtest.kernels.reading import (
    COMMAND_WORDS,
    FLAGS,
    GROUP,
    ORDER,
    PARENT,
    QUANTITY,
    SYMBOL,
    TAG,
    VERB,
    entry_ticks,
    given,
    nearest,
)
from quantlab.backtest.kernels.refusals import guarded, refuse
from quantlab.backtest.kernels.stopping import stop_out
from quantlab.backtest.kernels.worth import note_worst, tune
from quantlab.backtest.words import double_of

(CANCEL, CANCEL_ALL, CLOSE, FLATTEN, REVERSE, MODIFY) = range(1, 7)


def act(m: Any, out: Any) -> None:
    """Carry out the orders of one event, in their order."""
    count = out[at.OUT_ORDERS]
    first = out[at.OUT_PLACED] - count + 1
    note_worst(m)
    done = outright(m, out) if count == 1 else NOT_TAKEN
    if done == DONE:
        return
    if done == BROKEN:
        enforce(m)
        mop_up(m)
        settle_books(m, True)
        return
    fills = m[at.FILLS]
    for i in range(count):
        r = at.OUT_FIRST + i * COMMAND_WORDS
        verb = out[r + VERB]
        if verb == TAKEN_UP:
            continue
        begin_command(m)
        if verb == PLACE:
            place(m, out, i, count, first)
        else:
            manage(m, out, r, verb, first + i)
        mop_up(m)
        if m[at.STOP_OUT] != 0:
            stop_out(m)
    settle_books(m, m[at.FILLS] != fills or m[at.TERMS] != 0)


def manage(m: Any, out: Any, r: int, verb: int, owner: int) -> None:
    """Change or end what is there already."""
    if verb == CANCEL:
        cancel(m, out[r + ORDER], owner)
    elif verb == CANCEL_ALL:
        cancel_all(m, m[m[at.MAP_AT] + out[r + SYMBOL]], owner)
    elif verb == FLATTEN:
        flatten(m)
    elif verb == MODIFY:
        modify(m, out, r, owner)
    elif m[at.LEGS_AT] != 0:
        close_legs(m, out, r, owner)
    else:
        close(m, out, r, owner)


def settle_books(m: Any, moved: bool) -> None:
    """Set the levels of the books anew, and where something moved those of the equity."""
    if m[at.STOP_OUT] != 0:
        m[at.STOP_BELOW] = stop_out_below(m)
    if moved or m[at.STOP_OUT] != 0:
        tune(m)
    for s in range(m[at.SYMBOLS]):
        tidy(m, s)


def place(m: Any, out: Any, i: int, count: int, first: int) -> None:
    """Take an order with its exits, children and the others of its group, and fill what can."""
    r = at.OUT_FIRST + i * COMMAND_WORDS
    s = m[m[at.MAP_AT] + out[r + SYMBOL]]
    w = symbol_at(m, s)
    # A child is taken with its parent; where that was refused nothing is judged.
    reason = at.UNKNOWN_PARENT
    if out[r + PARENT] == 0:
        reason = guarded(m, s, out[r + FLAGS] & 1 != 0, False)
    m[at.SCRATCH] = ON_SCRATCH
    if reason == at.NO_REASON:
        reason = gather(m, out, i, count, first)
    o = m[at.SCRATCH_AT] + ON_SCRATCH * at.ORDER_WORDS
    if reason == at.NO_REASON and m[at.TERMS] != 0:
        reason = too_much(m, s)
    planned = (0, 0, 0, 0)
    at_once = reason == at.NO_REASON and not waits(m, o)
    if at_once:
        planned = plan(m, s, o)
        reason = planned[0] if planned[0] > PLANNED else reason
    if reason == at.NO_REASON and m[w + at.LEVERAGE_NUM] != 0 and any_waits(m):
        reason = refused_orders(m, s, ON_SCRATCH, NO_ORDER)
    if reason != at.NO_REASON:
        turn_down(m, out, i, count, first, reason)
        return
    accept(m, s)
    fills = m[at.FILLS]
    if at_once:
        fill_order(m, s, o, False, planned, at.BY_SIGNAL)
    work_new(m, s)
    judge_after(m, fills)


def judge_after(m: Any, fills: int) -> None:
    """Judge the account after a command that began with so many fills in the log.

    What was only put into the book changes no equity, and no level had been reached.
    """
    if m[at.FILLS] != fills or m[at.TERMS] != 0:
        enforce(m)


def too_much(m: Any, s: int) -> int:
    """Judge the orders of a command that are to work at once; return why not, or NO_REASON."""
    together = 0
    for k in range(ON_SCRATCH, m[at.SCRATCH]):
        together += is_counted(m, m[at.SCRATCH_AT] + k * at.ORDER_WORDS)
    for k in range(ON_SCRATCH, m[at.SCRATCH]):
        o = m[at.SCRATCH_AT] + k * at.ORDER_WORDS
        if m[o + at.STATE] == at.PENDING_PARENT:
            continue
        entry, stop = at.NO_TICKS, at.NO_TICKS
        if m[at.ASKS] & at.PROTECTING != 0:
            entry = entry_ticks(m, symbol_at(m, s), o)
            stop = stop_beside(m, ON_SCRATCH, k)
        reason = by_size(m, s, o, together, entry, stop)
        if reason != at.NO_REASON:
            return reason
    return at.NO_REASON


def turn_down(m: Any, out: Any, i: int, count: int, first: int, reason: int) -> None:
    """Refuse an order, with the others of its group."""
    r = at.OUT_FIRST + i * COMMAND_WORDS
    o = m[at.SCRATCH_AT] + ON_SCRATCH * at.ORDER_WORDS
    if m[at.SCRATCH] == ON_SCRATCH:
        blank(m, ON_SCRATCH)
    m[o + at.TAG] = out[r + TAG]
    refuse(m, m[m[at.MAP_AT] + out[r + SYMBOL]], o, first + i, reason)
    refuse_group(m, out, i, count, first)


def refuse_group(m: Any, out: Any, i: int, count: int, first: int) -> None:
    """Refuse the other orders of a group of which one was refused."""
    r = at.OUT_FIRST + i * COMMAND_WORDS
    for j in range(i + 1, count):
        q = at.OUT_FIRST + j * COMMAND_WORDS
        if out[q + VERB] <= PLACE and out[r + GROUP] > 0 and out[q + GROUP] == out[r + GROUP]:
            out[q + VERB] = TAKEN_UP
            o = blank(m, ON_SCRATCH)
            refuse(m, m[m[at.MAP_AT] + out[q + SYMBOL]], o, first + j, at.GROUP_REFUSED)


def accept(m: Any, s: int) -> None:
    """Give the orders of a command their numbers, and put those that wait into the book."""
    w = symbol_at(m, s)
    m[at.LAST_ORDER] = m[at.NOW]
    base = m[at.NEXT_ORDER] - ON_SCRATCH + 1
    for k in range(ON_SCRATCH, m[at.SCRATCH]):
        o = m[at.SCRATCH_AT] + k * at.ORDER_WORDS
        name(m, o)
        m[at.DAY_ORDERS] += is_counted(m, o)
        if m[o + at.PARENT] > 0:
            m[o + at.PARENT] += base
        name_leg(m, o)
        if m[o + at.GROUP] > 0:
            m[o + at.GROUP] += m[at.SCRATCH_AT] + base * at.SCRATCH_MAX
        m[o + at.CALLED] = 0
        if m[o + at.STATE] != at.PENDING_PARENT and not waits(m, o):
            continue
        if m[w + at.ORDERS] >= at.BOOK_MAX:
            tidy(m, s)
        to = order_at(m, w, m[w + at.ORDERS])
        for j in range(at.ORDER_WORDS):
            m[to + j] = m[o + j]
        m[w + at.ORDERS] += 1
        m[at.WORKING] += 1
        if m[o + at.EXPIRES] != 0:
            m[at.EXPIRY] = min(m[at.EXPIRY], m[o + at.EXPIRES])
            m[at.NEXT] = min(m[at.NEXT], m[at.EXPIRY])


def is_counted(m: Any, o: int) -> bool:
    """Say whether a new order is one of the day; exits that wait for their entry are not."""
    return m[o + at.STATE] != at.PENDING_PARENT or m[o + at.REDUCE] == 0


def name_leg(m: Any, o: int) -> None:
    """Name the leg that an order opens, by itself, or reduces: that of its parent."""
    if m[at.LEGS_AT] != 0 and m[o + at.TICKET] == 0:
        m[o + at.TICKET] = m[o + at.PARENT] if m[o + at.REDUCE] != 0 else m[o + at.ID]


def work_new(m: Any, s: int) -> None:
    """Hold the orders just taken against the quote, then those that a fill has released."""
    w = symbol_at(m, s)
    for k in range(ON_SCRATCH, m[at.SCRATCH]):
        new = m[m[at.SCRATCH_AT] + k * at.ORDER_WORDS + at.ID]
        for b in range(m[w + at.ORDERS]):
            o = order_at(m, w, b)
            if m[o + at.ID] == new and m[o + at.STATE] >= at.WORKS and may_fill(m, w, o):
                attempt(m, s, o, True, at.BY_SIGNAL)
    work_due(m, s)


def may_fill(m: Any, w: int, o: int) -> bool:
    """Say whether an order could fill now, or has to end where it cannot."""
    return is_armed(m, o) or m[o + at.TIME] >= at.IOC or is_marketable(m, w, o)


def work_due(m: Any, s: int) -> None:
    """Hold the orders that another's fill released against the present quote."""
    w = symbol_at(m, s)
    for b in range(m[w + at.ORDERS]):
        o = order_at(m, w, b)
        if m[o + at.DUE] != 0 and m[o + at.STATE] >= at.WORKS:
            m[o + at.DUE] = 0
            attempt(m, s, o, False, at.BY_SIGNAL)


def close(m: Any, out: Any, r: int, owner: int) -> None:
    """Close a position or lots of it, or turn it round; it may have to travel."""
    s = m[m[at.MAP_AT] + out[r + SYMBOL]]
    w = symbol_at(m, s)
    turns = out[r + VERB] == REVERSE
    steps = abs(m[w + at.SIZE]) * (2 if turns else 1)
    reason = guarded(m, s, not turns, not turns)
    if reason == at.NO_REASON and steps == 0:
        reason = at.NO_POSITION
    if reason == at.NO_REASON and not is_fresh(m, w, m[at.NOW]):
        reason = at.NO_QUOTE
    if reason == at.NO_REASON and not turns and given(out, r + QUANTITY):
        quantity = double_of(out[r + QUANTITY])
        some = nearest(quantity * double_of(m[w + at.STEP_DIV]) / double_of(m[w + at.STEP_MUL]))
        reason = at.QUANTITY_TOO_LARGE if some > steps else at.NO_REASON
        reason = at.QUANTITY_TOO_SMALL if some < m[w + at.MIN_STEPS] else reason
        steps = some
    if reason == at.NO_REASON and m[at.TERMS] != 0:
        reason = by_steps(m, s, w, steps)
    if reason == at.NO_REASON and m[w + at.LATENCY] > 0 and m[at.STATUS] == at.ACTIVE_STATUS:
        send(m, s, w, steps, owner, not turns)
    elif reason == at.NO_REASON:
        reason = close_now(m, s, w, steps, owner, at.BY_SIGNAL)
    if reason != at.NO_REASON:
        refuse(m, s, blank(m, ON_SCRATCH), owner, reason)
        return
    work_due(m, s)
    enforce(m)


def close_legs(m: Any, out: Any, r: int, owner: int) -> None:
    """Close every leg of a symbol, see `engine.closing`; what needs one named is refused."""
    s = m[m[at.MAP_AT] + out[r + SYMBOL]]
    w = symbol_at(m, s)
    turns = out[r + VERB] == REVERSE
    reason = guarded(m, s, not turns, not turns)
    if reason == at.NO_REASON and turns:
        reason = at.NETTING_ONLY
    if reason == at.NO_REASON and given(out, r + QUANTITY):
        reason = at.TICKET_NEEDED
    if reason == at.NO_REASON and not holds(m, w):
        reason = at.NO_POSITION
    if reason == at.NO_REASON and not is_fresh(m, w, m[at.NOW]):
        reason = at.NO_QUOTE
    if reason == at.NO_REASON:
        reason = refused_close(m, s)
    if reason == at.NO_REASON:
        reason = send_legs(m, s, owner)
    if reason != at.NO_REASON:
        refuse(m, s, blank(m, ON_SCRATCH), owner, reason)
        return
    work_due(m, s)
    enforce(m)


def send_legs(m: Any, s: int, owner: int) -> int:
    """Close each leg of a symbol; return the first refusal where none can be.

    Otherwise each that cannot is an order that was refused.
    """
    first, refused, sent = at.NO_REASON, 0, False
    call_legs(m, symbol_at(m, s))
    p = next_called(m)
    while p != NO_PLACE:
        reason = send_leg(m, s, p, owner)
        if reason == at.NO_REASON:
            sent = True
        else:
            first = reason if refused == 0 else first
            refused += 1
        p = next_called(m)
    if not sent:
        return first
    for _ in range(refused):
        refuse(m, s, blank(m, ON_SCRATCH), owner, first)
    return at.NO_REASON


def send_leg(m: Any, s: int, p: int, owner: int) -> int:
    """Close a leg, now or once its order has travelled; return why not."""
    steps = abs(m[p + at.SIZE])
    if m[symbol_at(m, s) + at.LATENCY] == 0 or m[at.STATUS] != at.ACTIVE_STATUS:
        return close_now(m, s, p, steps, owner, at.BY_SIGNAL)
    if m[at.WORKING] >= at.BOOK_MAX:
        return at.TOO_MANY_ORDERS
    send(m, s, p, steps, owner, True)
    return at.NO_REASON


def send(m: Any, s: int, p: int, steps: int, owner: int, reduces: bool) -> None:
    """Let a market order against the position at a place travel."""
    w = symbol_at(m, s)
    o = blank(m, ON_SCRATCH)
    m[o + at.OWNER] = owner
    m[o + at.SIDE] = -1 if m[p + at.SIZE] > 0 else 1
    if m[at.LEGS_AT] != 0:
        m[o + at.TICKET] = m[p + at.LEG_TICKET]
    m[o + at.STEPS] = steps
    m[o + at.LIMIT] = m[o + at.SIDE] * at.NEVER_HIGH
    m[o + at.REDUCE] = reduces
    m[o + at.ACTIVE] = m[at.NOW] + m[w + at.LATENCY]
    m[at.SCRATCH] = ON_SCRATCH + 1
    accept(m, s)


def flatten(m: Any) -> None:
    """Cancel every order and close every position, unless a rule lets one of them not be closed."""
    if m[at.HELD] == 0 and m[at.WORKING] == 0:
        return
    for s in range(m[at.SYMBOLS]):
        if is_fresh(m, symbol_at(m, s), m[at.NOW]) and refused_close(m, s) != at.NO_REASON:
            return
    cancel_everything(m, at.FLATTENED)
    liquidate(m, at.BY_SIGNAL)
    enforce(m)
