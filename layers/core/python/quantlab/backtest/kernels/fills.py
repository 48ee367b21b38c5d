"""One order meets the quote: what it fills, what that does to money, and to linked orders."""

from typing import Any

from quantlab.backtest import layout as at
from quantlab.backtest.kernels.book import (
    drop,
    end_order,
    order_at,
    trail,
)
from quantlab.backtest.kernels.legs import position_of, settle_leg
from quantlab.backtest.kernels.margin import refused_fill
from quantlab.backtest.kernels.quotes import converted, may_convert, rate_of, symbol_at
from quantlab.backtest.kernels.terms import count_fill
from quantlab.backtest.kernels.worth import clear_levels
from quantlab.engine.fill_models import next_draw, plan_fill
from quantlab.kernel.arith import book, muldiv
from quantlab.ledger.fees import charged_fee_micro, raw_fee_micro
from quantlab.ledger.scalars import fits, netted
from quantlab.market.fill_model import ANY_SIZE, DISPLAYED, RANDOM_TICKS

NOTHING = 0
PLANNED = 1


def reducible(m: Any, p: int, side: int) -> int:
    """Return how many steps an order of a side could take off the position at a place."""
    return max(0, -side * m[p + at.SIZE])


def begin_command(m: Any) -> None:
    """Begin a command: nothing has been released by it yet."""
    for s in range(m[at.SYMBOLS]):
        w = symbol_at(m, s)
        for k in range(m[w + at.ORDERS]):
            m[order_at(m, w, k) + at.DUE] = 0


def taken(m: Any, w: int, side: int) -> int:
    """Return how much of the quote's displayed size on a side earlier fills have used up."""
    if m[w + at.TAKEN_OF] != m[w + at.QUOTE_SEQ]:
        m[w + at.TAKEN_OF] = m[w + at.QUOTE_SEQ]
        m[w + at.TAKEN_BUY] = 0
        m[w + at.TAKEN_SELL] = 0
    return m[w + at.TAKEN_BUY] if side > 0 else m[w + at.TAKEN_SELL]


def has_size(m: Any, w: int, side: int) -> bool:
    """Say whether the quote has any size left for a market order of a side, or needs none."""
    rule, shown = m[w + at.SIZE_RULE], m[w + at.ASK_SIZE] if side > 0 else m[w + at.BID_SIZE]
    if rule == ANY_SIZE or (shown == 0 and rule != DISPLAYED):
        return True
    return shown > taken(m, w, side)


def use_up(m: Any, w: int, side: int, steps: int) -> None:
    """Note that a fill used up so much of the displayed size, where there is one that counts."""
    if m[w + at.SIZE_RULE] == ANY_SIZE:
        return
    if side > 0 and m[w + at.ASK_SIZE] != 0:
        m[w + at.TAKEN_BUY] += steps
    elif side < 0 and m[w + at.BID_SIZE] != 0:
        m[w + at.TAKEN_SELL] += steps


def meets(m: Any, w: int, side: int, steps: int, limit: int) -> tuple[int, int, int]:
    """Return what a symbol's quote fills of so many steps: (steps, price, slippage)."""
    return plan_fill(
        side,
        steps,
        limit,
        m[w + at.BID],
        m[w + at.ASK],
        m[w + at.BID_SIZE],
        m[w + at.ASK_SIZE],
        taken(m, w, side),
        m[w + at.SIZE_RULE],
        m[w + at.SLIPPAGE],
        m[w + at.AMOUNT],
        m[w + at.REFERENCE],
        m[at.DRAW],
    )


def plan(m: Any, s: int, o: int) -> tuple[int, int, int, int]:
    """Return (code, steps, price, slippage): NOTHING, PLANNED, or the reason of a refusal.

    A refusal is a reason number, which is above PLANNED.
    """
    w = symbol_at(m, s)
    side = m[o + at.SIDE]
    left = m[o + at.STEPS] - m[o + at.FILLED]
    wanted = left
    if m[o + at.REDUCE] != 0:
        wanted = min(left, reducible(m, position_of(m, w, o), side))
    steps, price, slipped = meets(m, w, side, wanted, m[o + at.LIMIT])
    if steps == 0:
        if m[o + at.TYPE] == at.MARKET and wanted != 0:
            return at.NO_DISPLAYED_SIZE, 0, 0, 0
        return NOTHING, 0, 0, 0
    if m[o + at.TIME] == at.FOK and steps < left:
        return NOTHING, 0, 0, 0
    reason = unaffordable(m, s, o, steps, price)
    return (PLANNED, steps, price, slipped) if reason == at.NO_REASON else (reason, 0, 0, 0)


def unaffordable(m: Any, s: int, o: int, steps: int, price: int) -> int:
    """Say why a fill cannot be booked: its size, its conversion or its margin; else NO_REASON."""
    w = symbol_at(m, s)
    p = position_of(m, w, o)
    size, cost, gain, _, opened = netted(
        m[p + at.SIZE], m[p + at.COST], m[o + at.SIDE], steps, price
    )
    if not fits(size, cost, gain, price, m[w + at.WORTH_LIMIT]):
        return at.POSITION_TOO_LARGE
    if not may_convert(m, w, m[at.NOW]):
        return at.NO_CONVERSION
    if opened > 0 and m[w + at.LEVERAGE_NUM] != 0:
        _, fee = fee_of(m, w, o, steps, price, gain)
        return refused_fill(m, s, o, p, size, cost, steps, fee)
    return at.NO_REASON


def charge(m: Any, amount_micro: int) -> int:
    """Book millionths of a minor unit; return what was booked."""
    booked, carry = book(amount_micro, m[at.CARRY])
    m[at.CARRY] = carry
    m[at.BALANCE] += booked
    m[at.REALISED] += booked
    return booked


def book_fill(m: Any, s: int, o: int, steps: int, price: int, slipped: int, cause: int) -> None:
    """Book a planned fill."""
    w = symbol_at(m, s)
    p = position_of(m, w, o)
    moved = netted(m[p + at.SIZE], m[p + at.COST], m[o + at.SIDE], steps, price)
    book_netted(m, s, p, o, steps, price, slipped, cause, moved)


def book_netted(
    m: Any, s: int, p: int, o: int, steps: int, price: int, slipped: int, cause: int,
    moved: tuple[int, int, int, int, int],
) -> None:  # fmt: skip
    """Book a fill by what `netted` makes of the position at a place; keep it in the log."""
    w = symbol_at(m, s)
    use_up(m, w, m[o + at.SIDE], steps)
    size, cost, gain, closed, opened = moved
    profit = 0
    if closed > 0:
        worth = muldiv(gain, m[w + at.UNIT_NUM], m[w + at.UNIT_DEN])
        profit = charge(m, worth if m[w + at.CONVERTED_BY] == 0 else converted(m, w, worth))
    fee = charge_fee(m, w, o, steps, price, gain)
    if m[w + at.SLIPPAGE] == RANDOM_TICKS:
        m[at.DRAW] = next_draw(m[at.DRAW])
    if opened > 0:
        m[at.TRADED] = 1
    if m[at.TERMS] != 0:
        count_fill(m, s, size, opened)
    m[o + at.FILLED] += steps
    m[o + at.STATE] = at.FULL if m[o + at.FILLED] == m[o + at.STEPS] else at.PARTIAL
    m[o + at.SINCE] = m[w + at.QUOTE_SEQ]
    m[at.HELD] += (size != 0) - (m[p + at.SIZE] != 0)
    if m[p + at.SIZE] * size <= 0:
        m[p + at.OPENED] = m[at.NOW]
    m[p + at.SIZE] = size
    m[p + at.COST] = cost
    if size == 0:
        clear_levels(m, w)
    log_fill(m, s, o, p, steps, price, slipped, profit, fee, cause, opened, closed)
    if p != w:
        settle_leg(m, w, p)


def fee_of(m: Any, w: int, o: int, steps: int, price: int, gain: int) -> tuple[int, int]:
    """Return what a fill costs before its order's minimum and what is charged, in millionths.

    It is converted as the fill's gain is.
    """
    rate_num, rate_den = rate_of(m, w, gain)
    raw = raw_fee_micro(
        steps,
        price,
        m[w + at.UNIT_NUM],
        m[w + at.UNIT_DEN],
        m[w + at.FEE_NUM],
        m[w + at.FEE_DEN],
        m[w + at.FEE_PPM],
        rate_num,
        rate_den,
    )
    least, before = m[w + at.FEE_LEAST], m[o + at.RAW_FEE]
    return raw, charged_fee_micro(raw, m[o + at.FILLED] > 0, before, least)


def charge_fee(m: Any, w: int, o: int, steps: int, price: int, gain: int) -> int:
    """Book what a fill costs; return that in minor units."""
    raw, micro = fee_of(m, w, o, steps, price, gain)
    m[o + at.RAW_FEE] += raw
    if micro <= 0:
        return 0
    fee = -charge(m, -micro)
    m[at.DAY_COSTS] += fee
    m[at.COSTS] += fee
    return fee


def log_fill(
    m: Any, s: int, o: int, p: int, steps: int, price: int, slipped: int, profit: int, fee: int,
    cause: int, opened: int, closed: int,
) -> None:  # fmt: skip
    """Keep a fill for the strategy and the results."""
    w = symbol_at(m, s)
    f = m[at.FILLS_AT] + m[at.FILLS] * at.FILL_WORDS
    m[at.FILLS] += 1
    m[at.FILLS_TOTAL] += 1
    m[at.PENDING] = 1
    m[f + at.F_NS] = m[at.NOW]
    m[f + at.F_SEQ] = m[w + at.QUOTE_SEQ]
    m[f + at.F_ORDER] = m[o + at.ID]
    m[f + at.F_OWNER] = m[o + at.OWNER]
    m[f + at.F_SYMBOL] = s
    m[f + at.F_SIDE] = m[o + at.SIDE]
    m[f + at.F_STEPS] = steps
    m[f + at.F_TICKS] = price
    m[f + at.F_SLIPPAGE] = slipped
    m[f + at.F_PROFIT] = profit
    m[f + at.F_FEE] = fee
    m[f + at.F_BALANCE] = m[at.BALANCE]
    m[f + at.F_CARRY] = m[at.CARRY]
    m[f + at.F_POSITION] = m[p + at.SIZE]
    m[f + at.F_CAUSE] = cause
    m[f + at.F_OPENED] = opened
    m[f + at.F_CLOSED] = closed
    m[f + at.F_COST] = m[p + at.COST]
    m[f + at.F_TICKET] = m[o + at.TICKET]
    m[f + at.F_LEFT] = m[o + at.STEPS] - m[o + at.FILLED]
    if m[at.CONVERSIONS] != 0:
        m[f + at.F_RATE_NUM], m[f + at.F_RATE_DEN] = rate_of(m, w, -1)


def follow_fill(m: Any, s: int, o: int, steps: int) -> None:
    """Do what a fill means for the orders that hang on it, as `engine.orders.follow_fill` does."""
    w = symbol_at(m, s)
    if m[w + at.ORDERS] == 0:
        return
    shrink_group(m, s, o, steps)
    name, parent = m[o + at.ID], m[o + at.PARENT]
    for k in range(m[w + at.ORDERS]):
        p = order_at(m, w, k)
        if parent != 0 and m[p + at.ID] == parent and m[p + at.STATE] != at.GONE:
            drop(m, s, p, at.CANCELLED_STATE, at.EXIT_FILLED)
    for k in range(m[w + at.ORDERS]):
        c = order_at(m, w, k)
        if m[c + at.PARENT] == name and m[c + at.STATE] != at.GONE:
            enlarge(m, w, c, steps)
    for k in range(m[w + at.ORDERS]):
        r = order_at(m, w, k)
        works = m[r + at.STATE] >= at.WORKS and m[r + at.REDUCE] != 0
        works = works and m[r + at.TICKET] == m[o + at.TICKET]
        p = position_of(m, w, r)
        if works and m[r + at.STATE] != at.FULL and reducible(m, p, m[r + at.SIDE]) == 0:
            drop(m, s, r, at.CANCELLED_STATE, at.POSITION_CLOSED)


def shrink_group(m: Any, s: int, o: int, steps: int) -> None:
    """Cancel the other orders of a filled one's group, or make them as much smaller."""
    w = symbol_at(m, s)
    if m[o + at.GROUP] == 0:
        return
    for k in range(m[w + at.ORDERS]):
        p = order_at(m, w, k)
        if p == o or m[p + at.GROUP] != m[o + at.GROUP] or m[p + at.STATE] == at.GONE:
            continue
        left = m[p + at.STEPS] - steps
        if m[o + at.GROUP_KIND] == at.OCO:
            drop(m, s, p, at.CANCELLED_STATE, at.BY_OCO)
        elif left <= m[p + at.FILLED]:
            drop(m, s, p, at.CANCELLED_STATE, at.BY_OUO)
        else:
            m[p + at.STEPS] = left
            m[p + at.PARENT_STEPS] -= steps if m[p + at.PARENT] != 0 else 0


def enlarge(m: Any, w: int, c: int, steps: int) -> None:
    """Let a child work for what its parent has filled; from its first fill it is looked at."""
    m[c + at.STEPS] += steps
    m[c + at.PARENT_STEPS] += steps
    if m[c + at.STATE] != at.PENDING_PARENT:
        return
    m[c + at.STATE] = at.WORKS
    m[c + at.SINCE] = m[w + at.QUOTE_SEQ]
    m[c + at.DUE] = 1
    trail(m, w, c)


def fill_order(
    m: Any, s: int, o: int, kept: bool, planned: tuple[int, int, int, int], cause: int
) -> None:
    """Fill an order as planned and do what follows; one that may not wait ends with it."""
    code, steps, price, slipped = planned
    if code == PLANNED:
        book_fill(m, s, o, steps, price, slipped, cause)
        whole = m[o + at.STATE] == at.FULL
        if whole:
            end_order(m, s, o, at.FULL, at.NO_REASON)
            m[at.WORKING] -= kept
        follow_fill(m, s, o, steps)
    if m[o + at.STATE] != at.GONE and m[o + at.TIME] >= at.IOC:
        m[at.WORKING] += 1 - kept
        drop(m, s, o, at.CANCELLED_STATE, at.NOT_FILLED)


def is_blocked(m: Any) -> bool:
    """Say whether a rule that was broken this day lets no order open a position."""
    if m[at.RAISED] == 0:
        return False
    for j in range(m[at.RULES]):
        r = m[at.RULES_AT] + j * at.RULE_WORDS
        if m[r + at.RULE_ACTION] == at.REJECT_ORDERS and (m[at.RAISED] >> j) & 1 != 0:
            return True
    return False
