"""What the account is worth at the latest quotes, and the prices at which that matters again.

A level is a price of one symbol. While no symbol's closing price has reached its level, the equity
can neither break a floor, nor raise a mark, nor deepen the drawdown: each of the open positions may
use up an equal share of what is left, and is looked at exactly when it has.
"""

from typing import Any

from quantlab.backtest import layout as at
from quantlab.backtest.kernels.legs import NO_PLACE, are_legs_known, value_of_legs
from quantlab.backtest.kernels.quotes import converted, is_fresh, may_convert, symbol_at
from quantlab.kernel.arith import MICRO
from quantlab.ledger.scalars import closing_ticks, equity_of_open, open_gain
from quantlab.rules.scalars import BASIS_EQUITY, breach_below, floor_of

_HALF = MICRO // 2
NO_FALL = 1 << 62


def value_of(m: Any, w: int) -> int:
    """Value a symbol's position at its closing side, in millionths of the account's minor unit."""
    price = closing_ticks(m[w + at.SIZE], m[w + at.BID], m[w + at.ASK])
    gain = open_gain(m[w + at.SIZE], m[w + at.COST], price, m[w + at.UNIT_NUM], m[w + at.UNIT_DEN])
    return gain if m[w + at.CONVERTED_BY] == 0 else converted(m, w, gain)


def held_value(m: Any, w: int) -> int:
    """Value what a symbol has open: its position, or its legs."""
    return value_of(m, w) if m[at.LEGS_AT] == 0 else value_of_legs(m, w)


def open_value(m: Any) -> int:
    """Value all positions."""
    total = 0
    if m[at.HELD] == 0:
        return total
    if m[at.LEGS] != 0:
        return value_of_legs(m, NO_PLACE)
    for s in range(m[at.SYMBOLS]):
        w = symbol_at(m, s)
        if m[w + at.SIZE] != 0:
            total += value_of(m, w)
    return total


def value_all(m: Any) -> int:
    """Value all positions and keep what each is worth."""
    total = 0
    for s in range(m[at.SYMBOLS]):
        w = symbol_at(m, s)
        if m[w + at.SIZE] != 0:
            m[w + at.VALUE] = value_of(m, w)
            total += m[w + at.VALUE]
    return total


def equity_now(m: Any) -> int:
    """Return the equity at the latest quotes, whatever their age."""
    return equity_of_open(m[at.BALANCE], m[at.CARRY], open_value(m))


def is_known(m: Any, moment: int) -> bool:
    """Say whether every quote the equity rests on may be used."""
    if m[at.HELD] == 0:
        return True
    if m[at.LEGS] != 0:
        return are_legs_known(m, moment)
    for s in range(m[at.SYMBOLS]):
        w = symbol_at(m, s)
        if m[w + at.SIZE] == 0:
            continue
        if not is_fresh(m, w, moment) or not may_convert(m, w, moment):
            return False
    return True


def is_news(m: Any, j: int, action: int) -> bool:
    """Say whether breaking a rule has not been acted on yet this day."""
    if action == at.DISABLE:
        return True
    if (m[at.RAISED] >> j) & 1 == 0:
        return True
    return action == at.LOCK_UNTIL_RESET and m[at.STATUS] != at.LOCKED


def rule_floor(m: Any, j: int, mark: int) -> int:
    """Return a rule's floor at a high-water mark."""
    r = m[at.RULES_AT] + j * at.RULE_WORDS
    loss = m[r + at.RULE_LOSS] + m[r + at.RULE_SPARES_COSTS] * m[at.DAY_COSTS] * MICRO
    return floor_of(
        m[r + at.RULE_KIND],
        m[r + at.RULE_CODE],
        m[r + at.RULE_KEEP],
        loss,
        m[r + at.RULE_COMPARATOR],
        m[r + at.RULE_LOCK],
        m[r + at.RULE_LEAST],
        m[at.INITIAL],
        m[at.START_BALANCE],
        m[at.START_EQUITY],
        m[at.BALANCE],
        m[at.REALISED],
        mark,
    )


def breach_level(m: Any) -> int:
    """Return the equity any below which breaks a rule that is news; far below zero for none."""
    below = at.NEVER_LOW
    if m[at.STATUS] == at.DISABLED:
        return below
    for j in range(m[at.RULES]):
        r = m[at.RULES_AT] + j * at.RULE_WORDS
        if is_news(m, j, m[r + at.RULE_ACTION]):
            below = max(
                below, breach_below(m[r + at.RULE_COMPARATOR], rule_floor(m, j, m[at.MARK]))
            )
    return below


def scaled(value: int, num: int, den: int) -> int:
    """Return floor(value * num / den) without leaving 64 bits while num * den is below 2^62."""
    if den == 1:
        return value * num
    if num == 1:
        return value // den
    whole, rest = divmod(value, den)
    return whole * num + rest * num // den


def tune(m: Any) -> None:
    """Set the levels of every open position from the present equity, mark and drawdown.

    While one of them is converted, its worth moves with two prices: then every quote is looked at,
    as always where there are legs.
    """
    if m[at.FORCE] & at.HEDGED != 0:
        return
    if m[at.CONVERSIONS] != 0 and holds_converted(m):
        return
    if m[at.HELD] != 0:
        tune_to(m, breach_level(m), value_all(m))


def tune_to(m: Any, below: int, total: int) -> None:
    """Set the levels of the open positions, of which some are and are worth a total by `value_all`.

    Any equity below breaks a rule.
    """
    down, up = max(below, m[at.STOP_BELOW]), m[at.PEAK]
    if m[at.HELD] > 1:
        down = max(down, up - m[at.DRAWDOWN])
    if m[at.BASIS] == BASIS_EQUITY:
        up = min(up, m[at.MARK])
    high = (up + 1 - m[at.BALANCE]) * MICRO - _HALF - m[at.CARRY]
    rise, fall = share(m, high - total), NO_FALL
    if down > at.NEVER_LOW:
        low = (down - m[at.BALANCE]) * MICRO - _HALF - m[at.CARRY] + 1
        fall = share(m, total - low)
    for s in range(m[at.SYMBOLS]):
        w = symbol_at(m, s)
        if m[w + at.SIZE] != 0:
            set_levels(m, w, fall, m[w + at.VALUE] + rise)


def holds_converted(m: Any) -> bool:
    """Say whether a position is converted, and have every quote looked at while one is."""
    m[at.FORCE] &= ~at.CONVERTING
    for s in range(m[at.SYMBOLS]):
        w = symbol_at(m, s)
        if m[w + at.SIZE] != 0 and m[w + at.CONVERTED_BY] != 0:
            m[at.FORCE] |= at.CONVERTING
            return True
    return False


def share(m: Any, room: int) -> int:
    """Return what of a room for loss or gain one open position may use up."""
    return room if m[at.HELD] == 1 else room // m[at.HELD]


def set_levels(m: Any, w: int, fall: int, high: int) -> None:
    """Set the prices at which a position's value may fall by more than fall, or reach high.

    Rounding a value moves it by half at most, so a unit on either side is looked at too.
    """
    num, den, cost, size = m[w + at.UNIT_NUM], m[w + at.UNIT_DEN], m[w + at.COST], m[w + at.SIZE]
    most = scaled(high - 1, den, num) + cost
    clear_levels(m, w)
    if size > 0:
        m[w + at.EQ_HIGH_BID] = -(-most // size)
    else:
        m[w + at.EQ_LOW_ASK] = -most // -size
    if fall == NO_FALL:
        return
    least = scaled(m[w + at.VALUE] - fall + 1, den, num) + cost
    if size > 0:
        m[w + at.EQ_LOW_BID] = least // size
    else:
        m[w + at.EQ_HIGH_ASK] = -(least // -size)


def clear_levels(m: Any, w: int) -> None:
    """Take a symbol's levels away."""
    m[w + at.EQ_LOW_BID] = at.NEVER_LOW
    m[w + at.EQ_HIGH_BID] = at.NEVER_HIGH
    m[w + at.EQ_LOW_ASK] = at.NEVER_LOW
    m[w + at.EQ_HIGH_ASK] = at.NEVER_HIGH


def note_equity(m: Any, equity: int) -> None:
    """Keep an equity as the latest, for the curve's peak and the deepest fall from it."""
    m[at.EQUITY] = equity
    m[at.PEAK] = max(m[at.PEAK], equity)
    m[at.DRAWDOWN] = max(m[at.DRAWDOWN], m[at.PEAK] - equity)


def floor_of_kind(m: Any, kind: int) -> int:
    """Return the highest floor of the rules of a kind; far below zero where there is none."""
    found = at.NEVER_LOW
    for j in range(m[at.RULES]):
        if m[m[at.RULES_AT] + j * at.RULE_WORDS + at.RULE_KIND] == kind:
            found = max(found, rule_floor(m, j, m[at.MARK]))
    return found


def note_worst(m: Any) -> None:
    """Take the worst prices since the last look into the drawdown, while one position is open.

    Between two looks the peak stands still, and so do money and position: the worst price of the
    closing side was the lowest equity. With more positions each new depth is looked at itself.
    """
    if m[at.HELD] != 1 or m[at.FORCE] & (at.CONVERTING | at.HEDGED) != 0:
        return
    for s in range(m[at.SYMBOLS]):
        w = symbol_at(m, s)
        if m[w + at.SIZE] != 0:
            price = closing_ticks(m[w + at.SIZE], m[w + at.WORST_BID], m[w + at.WORST_ASK])
            value = open_gain(
                m[w + at.SIZE], m[w + at.COST], price, m[w + at.UNIT_NUM], m[w + at.UNIT_DEN]
            )
            worst = equity_of_open(m[at.BALANCE], m[at.CARRY], value)
            m[at.DRAWDOWN] = max(m[at.DRAWDOWN], m[at.PEAK] - worst)
