"""The working orders of a symbol: their ends, what calls for them, the prices that do."""

from typing import Any

from quantlab.backtest import layout as at
from quantlab.backtest.kernels.quotes import symbol_at
from quantlab.engine.pricing import (
    market_limit,
    stop_reached,
    touch_reached,
    trail_peak,
    trail_trigger,
)


def order_at(m: Any, w: int, k: int) -> int:
    """Return where a symbol's order begins."""
    return m[w + at.ORDERS_AT] + k * at.ORDER_WORDS


def is_armed(m: Any, o: int) -> bool:
    """Say whether an order waits for its trigger."""
    return m[o + at.STATE] == at.WORKS and m[o + at.TYPE] >= at.STOP


def is_touch(m: Any, o: int) -> bool:
    """Say whether an order waits for a better price than the market's."""
    return m[o + at.TYPE] >= at.TOUCH


def trigger_of(m: Any, o: int) -> int:
    """Return the price that triggers an armed order whose trigger is known."""
    if m[o + at.TYPE] != at.TRAILING:
        return m[o + at.TRIGGER]
    return trail_trigger(m[o + at.SIDE], m[o + at.PEAK_TICKS], m[o + at.TRAIL], m[o + at.TRAIL_PPM])


def is_reached(m: Any, w: int, o: int) -> bool:
    """Say whether the quote triggers an armed order."""
    if m[o + at.TYPE] == at.TRAILING and m[o + at.TRAILS] == 0:
        return False
    trigger = trigger_of(m, o)
    if is_touch(m, o):
        return touch_reached(m[o + at.SIDE], trigger, m[w + at.BID], m[w + at.ASK])
    return stop_reached(m[o + at.SIDE], trigger, m[w + at.BID], m[w + at.ASK])


def is_marketable(m: Any, w: int, o: int) -> bool:
    """Say whether the quote is at an order's limit or better."""
    side = m[o + at.SIDE]
    price = m[w + at.ASK] if side > 0 else m[w + at.BID]
    return side * (price - m[o + at.LIMIT]) <= 0


def has_arrived(m: Any, w: int, o: int) -> bool:
    """Say whether the quote is late enough for an order that had to travel."""
    return m[w + at.TS] >= m[o + at.ACTIVE]


def is_called(m: Any, w: int, o: int) -> bool:
    """Say whether the quote triggers an order, is at its limit, or is the only one it may have."""
    if m[o + at.STATE] < at.WORKS or not has_arrived(m, w, o):
        return False
    if m[w + at.QUOTE_SEQ] <= m[o + at.SINCE]:
        return False
    if is_armed(m, o):
        return is_reached(m, w, o)
    return m[o + at.TIME] >= at.IOC or is_marketable(m, w, o)


def trail(m: Any, w: int, o: int) -> None:
    """Move the peak of an armed trailing stop by the quote."""
    if m[o + at.TYPE] != at.TRAILING or not is_armed(m, o) or not has_arrived(m, w, o):
        return
    side = m[o + at.SIDE]
    if m[o + at.TRAILS] == 0:
        m[o + at.PEAK_TICKS] = m[w + at.ASK] if side > 0 else m[w + at.BID]
        m[o + at.TRAILS] = 1
        return
    m[o + at.PEAK_TICKS] = trail_peak(side, m[o + at.PEAK_TICKS], m[w + at.BID], m[w + at.ASK])


def end_order(m: Any, s: int, o: int, state: int, reason: int) -> None:
    """Record that an order has ended; `compact` takes it out of the book."""
    e = m[at.ENDS_AT] + m[at.ENDS] * at.END_WORDS
    m[at.ENDS] += 1
    m[at.ENDS_TOTAL] += 1
    m[e + at.E_ID] = m[o + at.ID]
    m[e + at.E_OWNER] = m[o + at.OWNER]
    m[e + at.E_PARENT] = m[o + at.PARENT]
    m[e + at.E_SYMBOL] = s
    m[e + at.E_SIDE] = m[o + at.SIDE]
    m[e + at.E_TYPE] = m[o + at.TYPE]
    m[e + at.E_TIME] = m[o + at.TIME]
    m[e + at.E_STEPS] = m[o + at.STEPS]
    m[e + at.E_FILLED] = m[o + at.FILLED]
    m[e + at.E_LIMIT] = m[o + at.LIMIT]
    m[e + at.E_TRIGGER] = m[o + at.TRIGGER]
    m[e + at.E_CREATED] = m[o + at.CREATED]
    m[e + at.E_ENDED] = m[at.NOW]
    m[e + at.E_STATE] = state
    m[e + at.E_REASON] = reason
    m[e + at.E_TAG] = m[o + at.TAG]
    m[o + at.STATE] = at.GONE


def drop(m: Any, s: int, o: int, state: int, reason: int) -> None:
    """End a working order, and cancel the children that wait for a fill of it."""
    end_order(m, s, o, state, reason)
    m[at.WORKING] -= 1
    m[at.CANCELLED] += 1
    w = symbol_at(m, s)
    for k in range(m[w + at.ORDERS]):
        c = order_at(m, w, k)
        if m[c + at.PARENT] == m[o + at.ID] and m[c + at.STATE] == at.PENDING_PARENT:
            end_order(m, s, c, at.CANCELLED_STATE, at.PARENT_ENDED)
            m[at.WORKING] -= 1
            m[at.CANCELLED] += 1


def cancel_symbol(m: Any, s: int, reason: int) -> None:
    """Cancel every working order of a symbol."""
    w = symbol_at(m, s)
    for k in range(m[w + at.ORDERS]):
        o = order_at(m, w, k)
        if m[o + at.STATE] != at.GONE:
            drop(m, s, o, at.CANCELLED_STATE, reason)


def cancel_openers(m: Any, reason: int) -> None:
    """Cancel the working orders that could open a position; those that only reduce stay."""
    for s in range(m[at.SYMBOLS]):
        w = symbol_at(m, s)
        for k in range(m[w + at.ORDERS]):
            o = order_at(m, w, k)
            if m[o + at.STATE] != at.GONE and m[o + at.REDUCE] == 0:
                drop(m, s, o, at.CANCELLED_STATE, reason)


def expire_due(m: Any) -> None:
    """Expire the orders whose time has come, and note when the next one's does."""
    soonest = at.NEVER_HIGH
    for s in range(m[at.SYMBOLS]):
        w = symbol_at(m, s)
        for k in range(m[w + at.ORDERS]):
            o = order_at(m, w, k)
            if m[o + at.STATE] == at.GONE or m[o + at.EXPIRES] == 0:
                continue
            if m[at.NOW] >= m[o + at.EXPIRES]:
                drop(m, s, o, at.EXPIRED, at.BY_TIME)
            else:
                soonest = min(soonest, m[o + at.EXPIRES])
        tidy(m, s)
    m[at.EXPIRY] = soonest


def compact(m: Any, w: int) -> None:
    """Close the gaps that ended orders have left; the others keep their order."""
    kept = 0
    for k in range(m[w + at.ORDERS]):
        o = order_at(m, w, k)
        if m[o + at.STATE] != at.GONE:
            if kept != k:
                to = order_at(m, w, kept)
                for j in range(at.ORDER_WORDS):
                    m[to + j] = m[o + j]
            kept += 1
    m[w + at.ORDERS] = kept


def tidy(m: Any, s: int) -> None:
    """Bring a symbol's book in order, and set the prices that call for one of its orders.

    They begin with those at which the equity is looked at.
    """
    w = symbol_at(m, s)
    m[w + at.LOW_BID] = m[w + at.EQ_LOW_BID]
    m[w + at.HIGH_BID] = m[w + at.EQ_HIGH_BID]
    m[w + at.LOW_ASK] = m[w + at.EQ_LOW_ASK]
    m[w + at.HIGH_ASK] = m[w + at.EQ_HIGH_ASK]
    m[w + at.WORST_BID] = m[w + at.BID]
    m[w + at.WORST_ASK] = m[w + at.ASK]
    if m[w + at.ORDERS] == 0:
        return
    compact(m, w)
    for k in range(m[w + at.ORDERS]):
        o = order_at(m, w, k)
        if m[o + at.STATE] >= at.WORKS:
            watch(m, w, o)


def watch(m: Any, w: int, o: int) -> None:
    """Widen a symbol's levels by what calls for an order."""
    if m[o + at.ACTIVE] > m[w + at.TS] or m[o + at.TIME] >= at.IOC:
        m[w + at.LOW_BID] = at.NEVER_HIGH
        return
    if not is_armed(m, o):
        better(m, w, m[o + at.SIDE], m[o + at.LIMIT])
        return
    if m[o + at.TYPE] == at.TRAILING:
        if m[o + at.TRAILS] == 0:
            m[w + at.LOW_BID] = at.NEVER_HIGH
            return
        better(m, w, m[o + at.SIDE], m[o + at.PEAK_TICKS] - m[o + at.SIDE])
    if is_touch(m, o):
        better(m, w, m[o + at.SIDE], m[o + at.TRIGGER])
    elif m[o + at.SIDE] > 0:
        m[w + at.HIGH_ASK] = min(m[w + at.HIGH_ASK], trigger_of(m, o))
    else:
        m[w + at.LOW_BID] = max(m[w + at.LOW_BID], trigger_of(m, o))


def better(m: Any, w: int, side: int, price: int) -> None:
    """Call when a side's price is at this one or better."""
    if side > 0:
        m[w + at.LOW_ASK] = max(m[w + at.LOW_ASK], price)
    else:
        m[w + at.HIGH_BID] = min(m[w + at.HIGH_BID], price)


def no_limit(side: int) -> int:
    """Return the limit of an order that has none."""
    return market_limit(side)
