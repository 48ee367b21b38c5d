"""A working order changed as live trading does it: whole, or not at all.

An order, its stop and its target are orders of their own: where a command changes several of them,
each is changed by itself.
"""

from typing import Any

from quantlab.backtest import layout as at
from quantlab.backtest.kernels.attempts import attempt, by_protection, by_size
from quantlab.backtest.kernels.book import is_armed, order_at, trail
from quantlab.backtest.kernels.fills import begin_command, reducible
from quantlab.backtest.kernels.gathering import ON_SCRATCH
from quantlab.backtest.kernels.judge import blank, enforce, mop_up
from quantlab.backtest.kernels.legs import position_of
from quantlab.backtest.kernels.margin import refused_orders
from quantlab.backtest.kernels.protecting import child_stop
from quantlab.backtest.kernels.quotes import is_fresh, symbol_at
from quantlab.backtest.kernels.reading import (
    EXIT_TRAIL,
    EXPIRE,
    FLAGS,
    NO_TICKS,
    ORDER,
    PRICE,
    QUANTITY,
    STOP_LOSS,
    TAKE_PROFIT,
    TRAIL,
    TRIGGER,
    entry_ticks,
    given,
    misplaced,
    read_trail,
    size_of,
    ticks_of,
    within,
)
from quantlab.backtest.kernels.refusals import guarded, refuse
from quantlab.backtest.kernels.stopping import stop_out
from quantlab.backtest.words import double_of

(OWN, STOP_EXIT, TARGET_EXIT, PARTS) = range(4)
NO_ORDER = 0


def modify(m: Any, out: Any, r: int, owner: int) -> None:
    """Change what a command gives of an order, its stop and its target; what is gone stays gone."""
    for part in range(PARTS):
        s, o = found(m, out[r + ORDER], part)
        if o == NO_ORDER or not asks_for(out, r, part):
            continue
        begin_command(m)
        reason = change(m, out, r, s, o, part)
        if reason != at.NO_REASON:
            refuse(m, s, blank(m, ON_SCRATCH), owner, reason)
        mop_up(m)
        if m[at.STOP_OUT] != 0:
            stop_out(m)


def asks_for(out: Any, r: int, part: int) -> bool:
    """Say whether a command changes something of an order, of its stop or of its target."""
    of_exit = out[r + FLAGS] & EXIT_TRAIL != 0
    if part == TARGET_EXIT:
        return given(out, r + TAKE_PROFIT)
    if part == STOP_EXIT:
        return given(out, r + STOP_LOSS) or (of_exit and given(out, r + TRAIL))
    if given(out, r + TRAIL) and not of_exit:
        return True
    terms = given(out, r + PRICE) or given(out, r + TRIGGER) or given(out, r + QUANTITY)
    return terms or out[r + EXPIRE] != 0


def found(m: Any, number: int, part: int) -> tuple[int, int]:
    """Return the symbol and the working order that is meant; NO_ORDER where there is none."""
    for s in range(m[at.SYMBOLS]):
        w = symbol_at(m, s)
        for k in range(m[w + at.ORDERS]):
            o = order_at(m, w, k)
            if m[o + at.OWNER] == number and m[o + at.STATE] != at.GONE and is_part(m, o, part):
                return s, o
    return 0, NO_ORDER


def is_part(m: Any, o: int, part: int) -> bool:
    """Say whether an order is the one placed, the stop of its bracket, or the target of it."""
    if m[o + at.PARENT] == 0 or m[o + at.GROUP] == 0:
        return part == OWN
    return part == (TARGET_EXIT if m[o + at.TYPE] == at.LIMIT_TYPE else STOP_EXIT)


def change(m: Any, out: Any, r: int, s: int, o: int, part: int) -> int:
    """Change one order, see `engine.changing.modify`; return NO_REASON or why it stays as it is."""
    w = symbol_at(m, s)
    c = blank(m, ON_SCRATCH)
    for j in range(at.ORDER_WORDS):
        m[c + j] = m[o + j]
    reason = read_changes(m, out, r, w, c, part)
    if reason == at.NO_REASON:
        reason = disallowed(m, s, o, c)
    if reason == at.NO_REASON and m[c + at.STATE] != at.PENDING_PARENT:
        start_anew(m, w, c)
        reason = misplaced(m, w, c)
    if reason == at.NO_REASON and m[w + at.LEVERAGE_NUM] != 0:
        m[at.SCRATCH] = ON_SCRATCH + 1
        reason = refused_orders(m, s, ON_SCRATCH, o)
    if reason != at.NO_REASON:
        return reason
    for j in range(at.ORDER_WORDS):
        m[o + j] = m[c + j]
    if m[o + at.EXPIRES] != 0:
        m[at.EXPIRY] = min(m[at.EXPIRY], m[o + at.EXPIRES])
        m[at.NEXT] = min(m[at.NEXT], m[at.EXPIRY])
    attempt(m, s, o, False, at.BY_SIGNAL)
    enforce(m)
    return at.NO_REASON


def disallowed(m: Any, s: int, o: int, c: int) -> int:
    """Say why rules do not let an order become another, NO_REASON where they do."""
    reason = by_protection(m, s, o, c)
    if reason != at.NO_REASON or lessens(m, o, c):
        return reason
    return refused_change(m, s, c)


def start_anew(m: Any, w: int, o: int) -> None:
    """Let a changed order travel, and wait for quotes after the present one."""
    m[o + at.ACTIVE] = m[at.NOW] + m[w + at.LATENCY] if m[w + at.LATENCY] > 0 else 0
    m[o + at.SINCE] = m[w + at.QUOTE_SEQ]
    if is_fresh(m, w, m[at.NOW]):
        trail(m, w, o)


def read_changes(m: Any, out: Any, r: int, w: int, o: int, part: int) -> int:
    """Write into an order what a command gives of it; return NO_REASON or why it cannot be."""
    if part == TARGET_EXIT:
        return new_limit(m, out, r + TAKE_PROFIT, w, o)
    if part == STOP_EXIT:
        if given(out, r + STOP_LOSS):
            return new_trigger(m, out, r + STOP_LOSS, w, o)
        return new_trail(m, out, r, w, o)
    reason = read_prices(m, out, r, w, o)
    if reason == at.NO_REASON and out[r + EXPIRE] != 0:
        reason = new_expiry(m, out[r + EXPIRE], o)
    if reason == at.NO_REASON and given(out, r + QUANTITY):
        reason = new_size(m, out, r, w, o)
    return reason


def read_prices(m: Any, out: Any, r: int, w: int, o: int) -> int:
    """Write the prices a command gives of an order itself into it."""
    reason = at.NO_REASON
    if given(out, r + PRICE):
        reason = new_limit(m, out, r + PRICE, w, o)
    if reason == at.NO_REASON and given(out, r + TRIGGER):
        reason = new_trigger(m, out, r + TRIGGER, w, o)
    if reason == at.NO_REASON and given(out, r + TRAIL) and out[r + FLAGS] & EXIT_TRAIL == 0:
        reason = new_trail(m, out, r, w, o)
    return reason


def new_limit(m: Any, out: Any, word: int, w: int, o: int) -> int:
    """Read another limit of an order that has one."""
    if m[o + at.TYPE] not in (at.LIMIT_TYPE, at.STOP_LIMIT, at.TOUCH_LIMIT):
        return at.NOT_OF_ORDER_TYPE
    m[o + at.LIMIT] = ticks_of(m, w, double_of(out[word]))
    return at.NO_REASON if m[o + at.LIMIT] > 0 else at.PRICE_OFF_TICK


def new_trigger(m: Any, out: Any, word: int, w: int, o: int) -> int:
    """Read another trigger of an order that waits for one."""
    if m[o + at.TYPE] < at.STOP or m[o + at.TYPE] == at.TRAILING:
        return at.NOT_OF_ORDER_TYPE
    if m[o + at.STATE] != at.PENDING_PARENT and not is_armed(m, o):
        return at.ALREADY_TRIGGERED
    m[o + at.TRIGGER] = ticks_of(m, w, double_of(out[word]))
    return at.NO_REASON if m[o + at.TRIGGER] > 0 else at.PRICE_OFF_TICK


def new_trail(m: Any, out: Any, r: int, w: int, o: int) -> int:
    """Read how far a trailing stop follows from now on."""
    if m[o + at.TYPE] != at.TRAILING:
        return at.NOT_OF_ORDER_TYPE
    if m[o + at.STATE] != at.PENDING_PARENT and not is_armed(m, o):
        return at.ALREADY_TRIGGERED
    m[o + at.TRAIL] = 0
    m[o + at.TRAIL_PPM] = 0
    return read_trail(m, out, r, w, o)


def new_expiry(m: Any, instant: int, o: int) -> int:
    """Read when an order with an end of its own ends now."""
    if m[o + at.TIME] != at.GTD:
        return at.NOT_OF_ORDER_TYPE
    if instant <= m[at.NOW]:
        return at.EXPIRED_ALREADY
    m[o + at.EXPIRES] = instant
    return at.NO_REASON


def new_size(m: Any, out: Any, r: int, w: int, o: int) -> int:
    """Read another size: above what has filled, and of a child not above what it may reduce."""
    if m[o + at.STATE] == at.PENDING_PARENT:
        return at.ORDER_PENDING
    steps = size_of(m, out, r, w, NO_TICKS)
    reason = within(m, w, steps)
    if reason == at.NO_REASON and steps <= m[o + at.FILLED]:
        reason = at.QUANTITY_TOO_SMALL
    most = max(m[o + at.PARENT_STEPS], m[o + at.STEPS])
    if reason == at.NO_REASON and m[o + at.PARENT] != 0 and steps > most:
        reason = at.QUANTITY_TOO_LARGE
    m[o + at.STEPS] = steps
    return reason


def lessens(m: Any, o: int, c: int) -> bool:
    """Say whether a change can only lessen what an order risks, which no rule refuses."""
    side = m[o + at.SIDE]
    if m[c + at.STEPS] > m[o + at.STEPS] or m[c + at.EXPIRES] > m[o + at.EXPIRES]:
        return False
    if m[c + at.TRAIL] != m[o + at.TRAIL] or m[c + at.TRAIL_PPM] != m[o + at.TRAIL_PPM]:
        return False
    farther = side * (m[c + at.TRIGGER] - m[o + at.TRIGGER])
    nearer = m[o + at.REDUCE] != 0 and m[o + at.TYPE] == at.STOP
    if farther > 0 or (farther < 0 and not nearer):
        return False
    return side * (m[c + at.LIMIT] - m[o + at.LIMIT]) <= 0


def refused_change(m: Any, s: int, o: int) -> int:
    """Judge a changed order as if it were placed now; a stop, by the entry that it protects."""
    w = symbol_at(m, s)
    left = m[o + at.STEPS] - m[o + at.FILLED]
    p = position_of(m, w, o)
    reduces = m[o + at.REDUCE] != 0 or left <= reducible(m, p, m[o + at.SIDE])
    reason = guarded(m, s, reduces, False)
    if reason != at.NO_REASON or m[at.TERMS] == 0:
        return reason
    judged = o
    for k in range(m[w + at.ORDERS]):
        p = order_at(m, w, k)
        protects = m[o + at.TYPE] == at.STOP and m[p + at.ID] == m[o + at.PARENT]
        if protects and m[p + at.STATE] != at.GONE:
            judged = p
    if m[at.ASKS] & at.PROTECTING == 0:
        return by_size(m, s, judged, 0, at.NO_TICKS, at.NO_TICKS)
    stop = m[o + at.TRIGGER] if judged != o else child_stop(m, w, o)
    return by_size(m, s, judged, 0, entry_ticks(m, w, judged), stop)
