"""What a position earns or costs for nights it is held over, exactly.

The functions on integers know no object, so that live trading and a compiled backtest run the very
same ones. docs/margin.md has the formulas.
"""

from fractions import Fraction

from quantlab.kernel.arith import MICRO, muldiv
from quantlab.market.costs import POINTS, SwapTerms
from quantlab.market.instrument import Instrument

SATURDAY = 5
TRIPLE = 3


def night_value(terms: SwapTerms, instrument: Instrument, side: int) -> tuple[int, int]:
    """Return what one size step held one night earns, as a reduced fraction.

    In millionths of the quote currency's minor unit; side is BUY for long, SELL for short.
    """
    per_lot = Fraction(terms.long if side > 0 else terms.short)
    if terms.unit == POINTS:
        # A point of a lot is a point of each of its steps.
        value = per_lot * Fraction(instrument.unit_num, instrument.unit_den)
    else:
        value = per_lot * Fraction(instrument.size_step) * 10**instrument.quote_digits * MICRO
    return value.numerator, value.denominator


def nights_of(weekday: int, triple_day: int | None) -> int:
    """Return how many nights a rollover counts that ends a weekday (0 is Monday)."""
    if triple_day is None:
        return 1
    if weekday >= SATURDAY:
        return 0
    return TRIPLE if weekday == triple_day else 1


def swap_micro(
    size_steps: int, nights: int, night_num: int, night_den: int, rate_num: int, rate_den: int
) -> int:
    """Return what a position earns over nights, in millionths of the account's minor unit.

    |size_steps| * nights * night * rate; each product is rounded half to even.
    """
    earned_micro = muldiv(abs(size_steps) * nights, night_num, night_den)
    return muldiv(earned_micro, rate_num, rate_den)
