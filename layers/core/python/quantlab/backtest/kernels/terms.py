"""The rules that need no equity: what may be ordered, held and when, and what breaking one does.

Whether a clock lets something be is worked out before the run by the functions of live trading
(`backtest.gates`): a gate is open or shut from one instant of its list to the next.
"""

from typing import Any

from quantlab.backtest import layout as at
from quantlab.backtest.kernels.legs import is_opposed, leg_at
from quantlab.backtest.kernels.quotes import symbol_at
from quantlab.backtest.kernels.risk import is_unprotected
from quantlab.ledger.scalars import nano_of, netted
from quantlab.rules.scalars import idle_from, weighted_nano

NO_LIMIT = -1


def term_at(m: Any, k: int) -> int:
    """Return where a rule's words begin."""
    return m[at.TERMS_AT] + k * at.TERM_WORDS


def is_shut(m: Any, gate: int) -> bool:
    """Say whether a gate is shut now."""
    return m[m[at.GATES_AT] + gate * at.GATE_WORDS + at.GATE_OPEN] == 0


def move_gates(m: Any, now: int) -> None:
    """Open and shut what has its time by now, and note when the next has."""
    soonest = at.NEVER_HIGH
    for gate in range(m[at.GATES]):
        g = m[at.GATES_AT] + gate * at.GATE_WORDS
        index = m[g + at.GATE_INDEX]
        while index < m[g + at.GATE_COUNT] and m[m[g + at.GATE_AT] + index] <= now:
            index += 1
            m[g + at.GATE_OPEN] = 1 - m[g + at.GATE_OPEN]
        m[g + at.GATE_INDEX] = index
        if index < m[g + at.GATE_COUNT]:
            soonest = min(soonest, m[m[g + at.GATE_AT] + index])
    m[at.GATE_NEXT] = soonest
    watch_time(m)


def watch_time(m: Any) -> None:
    """Have every quote looked at while a rule on time may ask something of what is held."""
    m[at.FORCE] &= ~at.OVERSTAYING
    for k in range(m[at.TERMS]):
        t = term_at(m, k)
        kind = m[t + at.TERM_KIND]
        if kind == at.HOLDING and is_shut(m, m[t + at.TERM_GATE]):
            m[at.FORCE] |= at.OVERSTAYING
        if kind == at.IDLE:
            due = idle_from(m[at.LAST_ORDER], m[t + at.TERM_MOST])
            if m[at.NOW] >= due:
                m[at.FORCE] |= at.OVERSTAYING
            else:
                m[at.GATE_NEXT] = min(m[at.GATE_NEXT], due)


def is_overstayed(m: Any, t: int) -> bool:
    """Say whether a rule on what may be held, or on patience, asks for something now."""
    kind = m[t + at.TERM_KIND]
    if kind == at.HOLDING:
        return m[at.HELD] != 0 and is_shut(m, m[t + at.TERM_GATE])
    return kind == at.IDLE and m[at.NOW] >= idle_from(m[at.LAST_ORDER], m[t + at.TERM_MOST])


def asks_now(m: Any) -> bool:
    """Say whether a standing rule is newly broken."""
    for k in range(m[at.TERMS]):
        t = term_at(m, k)
        if is_overstayed(m, t) and is_new(m, k, m[t + at.TERM_ACTION]):
            return True
    return False


def standing(m: Any) -> int:
    """Note the standing rules that are newly broken; return the gravest action, or below 0."""
    return max(overstayed(m, at.HOLDING), too_late(m))


def too_late(m: Any) -> int:
    """Note the rules on patience that are newly broken; return the gravest action, or below 0."""
    return overstayed(m, at.IDLE)


def overstayed(m: Any, kind: int) -> int:
    """Note the standing rules of a kind that are newly broken, as `standing` does."""
    gravest = at.NO_ACTION
    for k in range(m[at.TERMS]):
        t = term_at(m, k)
        wanted = m[t + at.TERM_KIND] == kind
        if wanted and is_overstayed(m, t) and is_new(m, k, m[t + at.TERM_ACTION]):
            note_term(m, k)
            gravest = max(gravest, m[t + at.TERM_ACTION])
    return gravest


def is_new(m: Any, k: int, action: int) -> bool:
    """Say whether breaking a rule has not been acted on yet this day: see `rules.verdicts`."""
    if action == at.DISABLE or (m[at.RAISED] >> (m[at.RULES] + k)) & 1 == 0:
        return True
    if action == at.FLATTEN_ALL:
        return m[at.HELD] != 0
    return action == at.LOCK_UNTIL_RESET and m[at.STATUS] != at.LOCKED


def note_term(m: Any, k: int) -> None:
    """Keep that a rule was broken, and when it first was.

    One that asks again for flat is not counted again: see `engine.enforcement.enforce`.
    """
    t = term_at(m, k)
    raised = (m[at.RAISED] >> (m[at.RULES] + k)) & 1 != 0
    again = raised and m[t + at.TERM_ACTION] == at.FLATTEN_ALL
    m[at.RAISED] |= 1 << (m[at.RULES] + k)
    if m[t + at.TERM_BROKEN] == 0:
        m[t + at.TERM_BROKEN_AT] = m[at.NOW]
    m[t + at.TERM_BROKEN] += not again
    if m[at.BREACH] < 0 and m[t + at.TERM_ACTION] == at.DISABLE:
        m[at.BREACH] = m[at.RULES] + k


def refused_by_moment(m: Any, s: int, reducing: bool) -> int:
    """Return which rule lets no order of a symbol be now, as its number; below 0 for none."""
    for k in range(m[at.TERMS]):
        t = term_at(m, k)
        if keeps_out(m, t, s, reducing) and refuses(m, k, t):
            return k
    return -1


def refuses(m: Any, k: int, t: int) -> bool:
    """Note a rule that an order breaks; a warning is noted once a day and refuses nothing."""
    warns = m[t + at.TERM_ACTION] == at.WARN
    if not warns or is_new(m, k, at.WARN):
        note_term(m, k)
    return not warns


def keeps_out(m: Any, t: int, s: int, reducing: bool) -> bool:
    """Say whether a rule on the moment or the instrument is against an order."""
    kind = m[t + at.TERM_KIND]
    if reducing and (m[t + at.TERM_REDUCING] != 0 or kind == at.HOLDING):
        return False
    if kind == at.ALLOWED:
        return m[m[t + at.TERM_TABLE] + s] == 0
    return kind in (at.HOURS, at.HOLDING) and is_shut(m, m[t + at.TERM_GATE])


def refused_by_size(
    m: Any, s: int, p: int, side: int, left: int, whole: int, new: int, entry: int, stop: int
) -> int:
    """Return which rule refuses an order of a known size, as its number; below 0 for none.

    p is the place of the position that it adds to or reduces.
    left is what it would fill now, whole what it was given for; new is how many orders are asked
    for with it, itself included, 0 where it counts already.
    entry and stop are prices, see `risk`, and only asked for where a rule asks for stops.
    """
    w = symbol_at(m, s)
    after, opened = m[p + at.SIZE], 0
    if left != 0:
        after, _, _, _, opened = netted(m[p + at.SIZE], m[p + at.COST], side, left, 0)
    for k in range(m[at.TERMS]):
        t = term_at(m, k)
        kind = m[t + at.TERM_KIND]
        if kind < at.NEWS:
            continue
        if kind == at.PROTECTED:
            broken = opened != 0 and is_unprotected(m, t, w, side, entry, stop, opened)
        elif kind == at.OPPOSED:
            broken = opened != 0 and is_opposed(m, w, p, side)
        else:
            broken = asks_too_much(m, t, s, p, whole, after, opened, new)
        if broken and refuses(m, k, t):
            return k
    return -1


def asks_too_much(
    m: Any, t: int, s: int, p: int, whole: int, after: int, opened: int, new: int
) -> bool:
    """Say whether an order breaks a rule on news, sizes or counts: see `rules.asked`."""
    kind = m[t + at.TERM_KIND]
    if kind == at.NEWS:
        spared = m[t + at.TERM_REDUCING] != 0 and opened == 0
        return not spared and is_shut(m, m[t + at.TERM_GATE] + s)
    if opened == 0:
        return False
    if kind == at.COUNTS:
        return counts_over(m, t, s, after, opened, new)
    most = step_of(m, t) if kind == at.SCALED else m[t + at.TERM_MOST]
    return lots_counted(m, t, s, p, whole, after) > most


def stop_fired(m: Any, s: int) -> int:
    """Note the rules on news that a stop breaks by firing; return the gravest action, or below 0.

    It is filled all the same.
    """
    gravest = at.NO_ACTION
    for k in range(m[at.TERMS]):
        t = term_at(m, k)
        if m[t + at.TERM_STOPS] != 0 and is_shut(m, m[t + at.TERM_GATE] + s):
            note_term(m, k)
            gravest = max(gravest, m[t + at.TERM_ACTION])
    return gravest


def lots_counted(m: Any, t: int, s: int, p: int, whole: int, after: int) -> int:
    """Return the lots that a rule on sizes looks at: of the order, its position, or all of them."""
    kind = m[t + at.TERM_KIND]
    if kind == at.ORDER_LOTS:
        return weighted(m, t, s, whole)
    if kind == at.POSITION_LOTS:
        return weighted(m, t, s, abs(after))
    return weighted(m, t, s, abs(after)) + other_lots(m, t, p)


def other_lots(m: Any, t: int, p: int) -> int:
    """Return the lots of all that is open but the position at a place, as a rule weighs them."""
    total = 0
    for s in range(m[at.SYMBOLS]):
        w = symbol_at(m, s)
        if w != p and m[at.LEGS_AT] == 0:
            total += weighted(m, t, s, abs(m[w + at.SIZE]))
        for k in range(m[at.LEGS]):
            leg = leg_at(m, k)
            if leg != p and m[leg + at.LEG_OF] == w:
                total += weighted(m, t, s, abs(m[leg + at.SIZE]))
    return total


def weighted(m: Any, t: int, s: int, steps: int) -> int:
    """Return steps of a symbol in 10^-9 lots as a rule weighs them."""
    return weighted_nano(lots(m, s, steps), m[m[t + at.TERM_TABLE] + s])


def lots(m: Any, s: int, steps: int) -> int:
    """Return steps of a symbol in 10^-9 lots."""
    w = symbol_at(m, s)
    return nano_of(steps, m[w + at.NANO_NUM], m[w + at.NANO_DEN])


def step_of(m: Any, t: int) -> int:
    """Return the most lots that the profit at the day's start allows."""
    profit = m[at.START_BALANCE] - m[at.INITIAL]
    first = m[t + at.TERM_STEPS]
    k = 0
    while k < m[t + at.TERM_COUNT] and profit >= m[first + 2 * k]:
        k += 1
    return m[first + 2 * k + 1]


def counts_over(m: Any, t: int, s: int, after: int, opened: int, new: int) -> bool:
    """Say whether an order makes the day's orders, trades or lots too many."""
    begins = abs(after) == opened
    most, trades, nano = m[t + at.TERM_MOST], m[t + at.TERM_TRADES], m[t + at.TERM_NANO]
    if most != NO_LIMIT and m[at.DAY_ORDERS] + new > most:
        return True
    if trades != NO_LIMIT and m[at.DAY_TRADES] + begins > trades:
        return True
    return nano != NO_LIMIT and m[at.DAY_NANO] + lots(m, s, opened) > nano


def count_order(m: Any) -> None:
    """Count an order that was taken."""
    m[at.DAY_ORDERS] += 1
    m[at.LAST_ORDER] = m[at.NOW]


def count_fill(m: Any, s: int, size: int, opened: int) -> None:
    """Count what a fill opened; size is the position after it."""
    if opened > 0:
        m[at.DAY_NANO] += lots(m, s, opened)
        m[at.DAY_TRADES] += abs(size) == opened


def begin_counts(m: Any) -> None:
    """Start the counts of a new trading day."""
    m[at.DAY_ORDERS] = 0
    m[at.DAY_TRADES] = 0
    m[at.DAY_NANO] = 0
