"""What an order loses at its stop, and whether a rule lets it: see `engine.pretrade`."""

from typing import Any

from quantlab.backtest import layout as at
from quantlab.backtest.kernels.quotes import may_convert, rate_of
from quantlab.backtest.kernels.worth import scaled
from quantlab.kernel.arith import MICRO, muldiv
from quantlab.ledger.fees import raw_fee_micro
from quantlab.ledger.scalars import fits

UNKNOWN = -1


def is_unprotected(m: Any, t: int, w: int, side: int, entry: int, stop: int, opened: int) -> bool:
    """Say whether an order that opens so many steps lacks a stop, or loses too much there."""
    if stop == at.NO_TICKS:
        return True
    if m[t + at.TERM_MOST] == at.NEVER_HIGH:
        return False
    if entry == at.NO_TICKS:
        return True
    lost = lost_between(side * entry, side * stop, opened)
    return is_too_much(m, t, risk_at(m, w, entry, lost, opened))


def is_too_much(m: Any, t: int, risk: int) -> bool:
    """Say whether a loss at a stop is above the share of the balance that a rule allows."""
    base = m[at.BALANCE] if m[t + at.TERM_OF_BALANCE] != 0 else m[at.INITIAL]
    return risk == UNKNOWN or risk > scaled(base, m[t + at.TERM_MOST], MICRO)


def lost_between(entry: int, stop: int, steps: int) -> int:
    """Return what steps lose from a price to another, in ticks times steps; NEVER_HIGH at most."""
    lost = max(0, entry - stop)
    if steps > 0 and lost >= at.NEVER_HIGH // steps:
        return at.NEVER_HIGH
    return lost * steps


def risk_at(m: Any, w: int, price: int, lost: int, steps: int) -> int:
    """Return what is lost at a stop with the costs of a fill, in minor units rounded up.

    UNKNOWN where that cannot be converted, NEVER_HIGH where it is beyond all bounds.
    """
    unit_num, unit_den = m[w + at.UNIT_NUM], m[w + at.UNIT_DEN]
    if not may_convert(m, w, m[at.NOW]):
        return UNKNOWN
    if steps > 0 and abs(price) >= at.NEVER_HIGH // steps:
        return at.NEVER_HIGH
    if not fits(steps, 0, lost, abs(price), m[w + at.WORTH_LIMIT]):
        return at.NEVER_HIGH
    rate_num, rate_den = rate_of(m, w, -1)
    micro = muldiv(muldiv(lost, unit_num, unit_den), rate_num, rate_den)
    if steps != 0:
        raw = raw_fee_micro(
            steps,
            price,
            unit_num,
            unit_den,
            m[w + at.FEE_NUM],
            m[w + at.FEE_DEN],
            m[w + at.FEE_PPM],
            rate_num,
            rate_den,
        )
        micro += max(m[w + at.FEE_LEAST], raw)
    return -(-micro // MICRO)
