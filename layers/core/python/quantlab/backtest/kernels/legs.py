"""The legs of a hedging account: where they stand, what they are worth, how they come and go.

A leg stands in a list of its own, in the order of opening, its size and cost where a symbol's words
have those of a position that nets: what is asked of either is asked of the place it stands at. A
symbol's own words have the net of its legs, which is what a strategy reads.
"""

from typing import Any

from quantlab.backtest import layout as at
from quantlab.backtest.kernels.quotes import converted, is_fresh, may_convert
from quantlab.ledger.scalars import closing_ticks, open_gain

NO_PLACE = 0


def leg_at(m: Any, k: int) -> int:
    """Return the place of a leg, from which its words count as those of a symbol do."""
    return m[at.LEGS_AT] + k * at.LEG_WORDS - at.SIZE


def position_of(m: Any, w: int, o: int) -> int:
    """Return the place of the position that an order adds to or reduces."""
    return w if m[at.LEGS_AT] == 0 else leg_of(m, w, m[o + at.TICKET])


def leg_of(m: Any, w: int, ticket: int) -> int:
    """Return the place of the leg with a ticket; one that is not open is empty, behind the list."""
    for k in range(m[at.LEGS]):
        p = leg_at(m, k)
        if m[p + at.LEG_TICKET] == ticket:
            return p
    p = leg_at(m, at.LEGS_MAX)
    for j in range(at.SIZE, at.LEG_END):
        m[p + j] = 0
    m[p + at.LEG_OF] = w
    m[p + at.LEG_TICKET] = ticket
    return p


def settle_leg(m: Any, w: int, p: int) -> None:
    """Put a leg that has opened among the others, or take out one that is closed."""
    if m[p + at.SIZE] == 0:
        m[at.LEGS] -= 1
        for j in range(p + at.SIZE, leg_at(m, m[at.LEGS]) + at.SIZE):
            m[j] = m[j + at.LEG_WORDS]
    elif p == leg_at(m, at.LEGS_MAX):
        to = leg_at(m, m[at.LEGS])
        for j in range(at.SIZE, at.LEG_END):
            m[to + j] = m[p + j]
        m[at.LEGS] += 1
    net_legs(m, w)


def net_legs(m: Any, w: int) -> None:
    """Write the net of a symbol's legs into its own words; of both directions no cost, so no price.

    An average price of legs in both directions would be none that anything was bought or sold at.
    """
    longs, shorts, cost = 0, 0, 0
    for k in range(m[at.LEGS]):
        p = leg_at(m, k)
        if m[p + at.LEG_OF] != w:
            continue
        cost += m[p + at.COST]
        if m[p + at.SIZE] > 0:
            longs += m[p + at.SIZE]
        else:
            shorts -= m[p + at.SIZE]
    m[w + at.SIZE] = longs - shorts
    m[w + at.COST] = cost if longs == 0 or shorts == 0 else 0


def call_legs(m: Any, w: int) -> None:
    """Mark the legs of a symbol, so that each is taken up once whatever closes meanwhile."""
    for k in range(m[at.LEGS]):
        p = leg_at(m, k)
        m[p + at.LEG_CALLED] = m[p + at.LEG_OF] == w


def next_called(m: Any) -> int:
    """Return the place of the oldest leg that is marked, and unmark it; NO_PLACE for none."""
    for k in range(m[at.LEGS]):
        p = leg_at(m, k)
        if m[p + at.LEG_CALLED] != 0:
            m[p + at.LEG_CALLED] = 0
            return p
    return NO_PLACE


def holds(m: Any, w: int) -> bool:
    """Say whether a symbol has a position, or any leg."""
    for k in range(m[at.LEGS]):
        if m[leg_at(m, k) + at.LEG_OF] == w:
            return True
    return m[at.LEGS_AT] == 0 and m[w + at.SIZE] != 0


def is_opposed(m: Any, w: int, own: int, side: int) -> bool:
    """Say whether a leg of a symbol, but the one at a place, is on the other side."""
    for k in range(m[at.LEGS]):
        p = leg_at(m, k)
        if p != own and m[p + at.LEG_OF] == w and (m[p + at.SIZE] > 0) != (side > 0):
            return True
    return False


def leg_value(m: Any, p: int) -> int:
    """Value a leg at its closing side, in millionths of the account's minor unit."""
    w = m[p + at.LEG_OF]
    price = closing_ticks(m[p + at.SIZE], m[w + at.BID], m[w + at.ASK])
    gain = open_gain(m[p + at.SIZE], m[p + at.COST], price, m[w + at.UNIT_NUM], m[w + at.UNIT_DEN])
    return gain if m[w + at.CONVERTED_BY] == 0 else converted(m, w, gain)


def value_of_legs(m: Any, w: int) -> int:
    """Value the legs of a symbol, or of all for NO_PLACE."""
    total = 0
    for k in range(m[at.LEGS]):
        p = leg_at(m, k)
        if w == NO_PLACE or m[p + at.LEG_OF] == w:
            total += leg_value(m, p)
    return total


def are_legs_known(m: Any, moment: int) -> bool:
    """Say whether every quote that the legs are valued by may be used."""
    for k in range(m[at.LEGS]):
        w = m[leg_at(m, k) + at.LEG_OF]
        if not is_fresh(m, w, moment) or not may_convert(m, w, moment):
            return False
    return True


def leg_sides(m: Any, w: int, changed: int, cost: int) -> tuple[int, int]:
    """Return what the long and the short legs of a symbol have cost, in ticks times steps.

    The one at the place changed counts with a cost it would have then; its side is the cost's sign.
    """
    longs, shorts = 0, 0
    for k in range(m[at.LEGS]):
        p = leg_at(m, k)
        if m[p + at.LEG_OF] != w or p == changed:
            continue
        if m[p + at.SIZE] > 0:
            longs += abs(m[p + at.COST])
        else:
            shorts += abs(m[p + at.COST])
    if changed != NO_PLACE and m[changed + at.LEG_OF] == w:
        longs += max(cost, 0)
        shorts += max(-cost, 0)
    return longs, shorts
