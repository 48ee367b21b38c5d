"""Margin: what positions use, what working orders reserve, what there is none left for."""

from typing import Any

from quantlab.backtest import layout as at
from quantlab.backtest.kernels.book import order_at, trigger_of
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
    """Return the margin of the open positions, one of which may be changed to cost so much."""
    total = 0
    for s in range(m[at.SYMBOLS]):
        w = symbol_at(m, s)
        value = cost if s == changed else m[w + at.COST]
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


def reserved(m: Any, changed: int, size: int, left_out: int, rest: int, new: int) -> int:
    """Return what working orders reserve; UNKNOWN where one has neither price nor quote.

    Of the symbol changed, size is held then and the order left_out counts with a rest of its steps;
    its orders on the scratch from new on count as well.
    """
    total = 0
    for s in range(m[at.SYMBOLS]):
        w = symbol_at(m, s)
        if m[w + at.LEVERAGE_NUM] == 0:
            continue
        held = size if s == changed else m[w + at.SIZE]
        value = could_open(m, w, held, left_out, rest, new if s == changed else 0)
        if value == UNKNOWN or (value != 0 and not may_convert(m, w, m[at.NOW])):
            return UNKNOWN
        if value != 0:
            total += valued(m, w, value)
    return minor_above(total)


def could_open(m: Any, w: int, held: int, left_out: int, rest: int, new: int) -> int:
    """Return the value in ticks times steps that a symbol's orders could add to what is held."""
    buys, buy_steps, known = ordered(m, w, 1, left_out, rest)
    sells, sell_steps, known_too = ordered(m, w, -1, left_out, rest)
    if new > 0:
        value, steps, known_new = asked_for(m, w, 1, new)
        buys, buy_steps, known = buys + value, buy_steps + steps, known and known_new
        value, steps, known_new = asked_for(m, w, -1, new)
        sells, sell_steps, known_too = sells + value, sell_steps + steps, known_too and known_new
    if not known or not known_too:
        return UNKNOWN
    return reserved_value(buys, buy_steps, sells, sell_steps, held)


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


def refused_fill(m: Any, s: int, o: int, size: int, cost: int, steps: int, fee_micro: int) -> int:
    """Refuse a fill that opens what there is no free margin for: size and cost are those after it.

    Return NO_REASON where it may be.
    """
    rest = m[o + at.STEPS] - m[o + at.FILLED] - steps
    if m[o + at.TIME] >= at.IOC:
        rest = 0
    fee = minor_above(fee_micro)
    before = reserved(m, NO_SYMBOL, 0, o, 0, 0)
    after = reserved(m, s, size, o, rest, 0)
    return refused(m, before, used(m, s, cost), after, fee)


def refused_orders(m: Any, s: int, new: int, instead_of: int) -> int:
    """Refuse the waiting orders of a command that there is no free margin to reserve for.

    One on the scratch may stand there instead of an order of the book; NO_ORDER where none does.
    """
    w = symbol_at(m, s)
    before = reserved(m, NO_SYMBOL, 0, NO_ORDER, 0, 0)
    after = reserved(m, s, m[w + at.SIZE], instead_of, 0, new)
    return refused(m, before, used(m, NO_SYMBOL, 0), after, 0)


def refused(m: Any, before: int, used_after: int, after: int, fee: int) -> int:
    """Refuse what needs more margin than before and more than is free."""
    now = used(m, NO_SYMBOL, 0)
    if not is_known(m, m[at.NOW]) or UNKNOWN in (now, before, used_after, after):
        return at.NO_QUOTE
    needed, free = needed_and_free(equity_now(m), now, before, used_after, after, fee)
    return at.MARGIN_INSUFFICIENT if needed > free else at.NO_REASON


def free(m: Any) -> int:
    """Return the equity less what is used and reserved; NEVER_LOW where it cannot be known."""
    taken = used(m, NO_SYMBOL, 0)
    held_back = reserved(m, NO_SYMBOL, 0, NO_ORDER, 0, 0)
    if not is_known(m, m[at.NOW]) or UNKNOWN in (taken, held_back):
        return at.NEVER_LOW
    return equity_now(m) - taken - held_back


def stop_out_below(m: Any) -> int:
    """Return the equity below which positions are closed for want of margin; far below for none."""
    margin = used(m, NO_SYMBOL, 0)
    if m[at.STATUS] != at.ACTIVE_STATUS or margin <= 0:
        return at.NEVER_LOW
    return margin * m[at.STOP_OUT] // PPM + 1


def is_stopped_out(m: Any) -> bool:
    """Say whether the margin level has fallen to that of the stop-out."""
    if m[at.HELD] == 0 or not is_known(m, m[at.NOW]):
        return False
    margin = used(m, NO_SYMBOL, 0)
    return margin != UNKNOWN and is_at_level(equity_now(m), margin, m[at.STOP_OUT])
