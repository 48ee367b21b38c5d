"""Margin: what positions use, what working orders reserve, what there is none left for."""

from typing import Any

from quantlab.backtest import layout as at
from quantlab.backtest.kernels.book import order_at, trigger_of
from quantlab.backtest.kernels.legs import NO_PLACE, leg_sides
from quantlab.backtest.kernels.quotes import is_fresh, may_convert, rate_of, symbol_at
from quantlab.backtest.kernels.worth import equity_now, is_known
from quantlab.engine.margin import (
    PPM,
    is_at_level,
    margin_micro,
    minor_above,
    needed_and_free,
    reserved_value,
)

UNKNOWN = -1
NO_SYMBOL = -1
NO_ORDER = 0


def used(m: Any, changed: int, cost: int) -> int:
    """Return the margin of the open positions; the one at a place may be changed to cost so much.

    Of legs of a symbol in both directions the side of the larger value counts.
    """
    total = 0
    for s in range(m[at.SYMBOLS]):
        w = symbol_at(m, s)
        value = cost if w == changed else m[w + at.COST]
        if m[at.LEGS_AT] != 0:
            longs, shorts = leg_sides(m, w, changed, cost)
            value = max(longs, shorts)
        if value == 0 or m[w + at.LEVERAGE_NUM] == 0:
            continue
        if not may_convert(m, w, m[at.NOW]):
            return UNKNOWN
        total += valued(m, w, value)
    return minor_above(total)


def valued(m: Any, w: int, value: int) -> int:
    """Return the margin of a value in ticks times steps, in millionths of a minor unit."""
    rate_num, rate_den = rate_of(m, w, -1)
    return margin_micro(
        value,
        m[w + at.UNIT_NUM],
        m[w + at.UNIT_DEN],
        rate_num,
        rate_den,
        m[w + at.LEVERAGE_NUM],
        m[w + at.LEVERAGE_DEN],
    )


def reserved(
    m: Any, of: int, changed: int, size: int, cost: int, left_out: int, rest: int, new: int
) -> int:
    """Return what working orders reserve; UNKNOWN where one has neither price nor quote.

    The position at the place changed has a size and a cost then, and the order left_out counts with
    a rest of its steps; of a symbol orders on the scratch from new on count as well.
    """
    total = 0
    for s in range(m[at.SYMBOLS]):
        w = symbol_at(m, s)
        if m[w + at.LEVERAGE_NUM] == 0:
            continue
        fresh = new if s == of else 0
        if m[at.LEGS_AT] != 0:
            value = could_add(m, w, changed, cost, left_out, rest, fresh)
        else:
            held = size if w == changed else m[w + at.SIZE]
            value = could_open(m, w, held, left_out, rest, fresh)
        if value == UNKNOWN or (value != 0 and not may_convert(m, w, m[at.NOW])):
            return UNKNOWN
        if value != 0:
            total += valued(m, w, value)
    return minor_above(total)


def could_open(m: Any, w: int, held: int, left_out: int, rest: int, new: int) -> int:
    """Return the value in ticks times steps that a symbol's orders could add to what is held."""
    buys, buy_steps, known = would_open(m, w, 1, left_out, rest, new)
    sells, sell_steps, known_too = would_open(m, w, -1, left_out, rest, new)
    if not known or not known_too:
        return UNKNOWN
    return reserved_value(buys, buy_steps, sells, sell_steps, held)


def could_add(m: Any, w: int, changed: int, cost: int, left_out: int, rest: int, new: int) -> int:
    """Return the value in ticks times steps that orders could add to the larger side of legs."""
    buys, _, known = would_open(m, w, 1, left_out, rest, new)
    sells, _, known_too = would_open(m, w, -1, left_out, rest, new)
    if not known or not known_too:
        return UNKNOWN
    longs, shorts = leg_sides(m, w, changed, cost)
    return max(longs + buys, shorts + sells) - max(longs, shorts)


def would_open(
    m: Any, w: int, side: int, left_out: int, rest: int, new: int
) -> tuple[int, int, bool]:
    """Return value and steps that a symbol's orders of a side could open, with a command's own."""
    value, steps, known = ordered(m, w, side, left_out, rest)
    if new > 0:
        more, more_steps, known_new = asked_for(m, w, side, new)
        value, steps, known = value + more, steps + more_steps, known and known_new
    return value, steps, known


def ordered(m: Any, w: int, side: int, left_out: int, rest: int) -> tuple[int, int, bool]:
    """Return value and steps that a symbol's working orders of a side could open."""
    value, steps = 0, 0
    for k in range(m[w + at.ORDERS]):
        o = order_at(m, w, k)
        wanted = rest if o == left_out else m[o + at.STEPS] - m[o + at.FILLED]
        if m[o + at.SIDE] != side or not reserves(m, o) or wanted == 0:
            continue
        price = opening_ticks(m, w, o)
        if price == at.NEVER_LOW:
            return 0, 0, False
        value += abs(price) * wanted
        steps += wanted
    return value, steps, True


def asked_for(m: Any, w: int, side: int, new: int) -> tuple[int, int, bool]:
    """Return value and steps that the waiting orders of a command, on the scratch, could open."""
    value, steps = 0, 0
    for k in range(new, m[at.SCRATCH]):
        o = m[at.SCRATCH_AT] + k * at.ORDER_WORDS
        if m[o + at.SIDE] != side or not reserves(m, o) or not is_waiting(m, o):
            continue
        price = opening_ticks(m, w, o)
        if price == at.NEVER_LOW:
            return 0, 0, False
        wanted = m[o + at.STEPS] - m[o + at.FILLED]
        value += abs(price) * wanted
        steps += wanted
    return value, steps, True


def reserves(m: Any, o: int) -> bool:
    """Say whether an order could open something by itself."""
    return m[o + at.STATE] >= at.WORKS and m[o + at.REDUCE] == 0


def is_waiting(m: Any, o: int) -> bool:
    """Say whether an order is kept until a quote is for it; a plain market order fills now."""
    return m[o + at.TYPE] != at.MARKET or m[o + at.ACTIVE] > 0


def opening_ticks(m: Any, w: int, o: int) -> int:
    """Return the price an order is expected to open at: its limit, its trigger, or the quote's."""
    kind = m[o + at.TYPE]
    if kind in (at.LIMIT_TYPE, at.STOP_LIMIT, at.TOUCH_LIMIT):
        return m[o + at.LIMIT]
    if kind != at.MARKET and (kind != at.TRAILING or m[o + at.TRAILS] != 0):
        return trigger_of(m, o)
    if not is_fresh(m, w, m[at.NOW]):
        return at.NEVER_LOW
    return m[w + at.ASK] if m[o + at.SIDE] > 0 else m[w + at.BID]


def refused_fill(
    m: Any, s: int, o: int, p: int, size: int, cost: int, steps: int, fee_micro: int
) -> int:
    """Refuse a fill that opens what there is no free margin for.

    size and cost are those of its position, at the place p, after it. Return NO_REASON where it
    may be.
    """
    rest = m[o + at.STEPS] - m[o + at.FILLED] - steps
    if m[o + at.TIME] >= at.IOC:
        rest = 0
    fee = minor_above(fee_micro)
    before = reserved(m, s, NO_PLACE, 0, 0, o, 0, 0)
    after = reserved(m, s, p, size, cost, o, rest, 0)
    return refused(m, before, used(m, p, cost), after, fee)


def refused_orders(m: Any, s: int, new: int, instead_of: int) -> int:
    """Refuse the waiting orders of a command that there is no free margin to reserve for.

    One on the scratch may stand there instead of an order of the book; NO_ORDER where none does.
    """
    before = reserved(m, s, NO_PLACE, 0, 0, NO_ORDER, 0, 0)
    after = reserved(m, s, NO_PLACE, 0, 0, instead_of, 0, new)
    return refused(m, before, used(m, NO_PLACE, 0), after, 0)


def refused(m: Any, before: int, used_after: int, after: int, fee: int) -> int:
    """Refuse what needs more margin than before and more than is free."""
    now = used(m, NO_PLACE, 0)
    if not is_known(m, m[at.NOW]) or UNKNOWN in (now, before, used_after, after):
        return at.NO_QUOTE
    needed, free = needed_and_free(equity_now(m), now, before, used_after, after, fee)
    return at.MARGIN_INSUFFICIENT if needed > free else at.NO_REASON


def free(m: Any) -> int:
    """Return the equity less what is used and reserved; NEVER_LOW where it cannot be known."""
    taken = used(m, NO_PLACE, 0)
    held_back = reserved(m, NO_SYMBOL, NO_PLACE, 0, 0, NO_ORDER, 0, 0)
    if not is_known(m, m[at.NOW]) or UNKNOWN in (taken, held_back):
        return at.NEVER_LOW
    return equity_now(m) - taken - held_back


def stop_out_below(m: Any) -> int:
    """Return the equity below which positions are closed for want of margin; far below for none."""
    margin = used(m, NO_PLACE, 0)
    if m[at.STATUS] != at.ACTIVE_STATUS or margin <= 0:
        return at.NEVER_LOW
    return margin * m[at.STOP_OUT] // PPM + 1


def is_stopped_out(m: Any) -> bool:
    """Say whether the margin level has fallen to that of the stop-out."""
    if m[at.HELD] == 0 or not is_known(m, m[at.NOW]):
        return False
    margin = used(m, NO_PLACE, 0)
    return margin != UNKNOWN and is_at_level(equity_now(m), margin, m[at.STOP_OUT])
