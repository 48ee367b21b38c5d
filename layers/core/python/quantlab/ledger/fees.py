"""What a fill costs, exactly: per lot and side, by basis points of its notional, by order at least.

The functions on integers know no object, so that live trading and a compiled backtest run the very
same ones. docs/margin.md has the formulas.
"""

from fractions import Fraction

from quantlab.kernel.arith import MICRO, muldiv
from quantlab.kernel.records import dataclass
from quantlab.market.costs import Commission
from quantlab.market.instrument import Instrument


@dataclass(frozen=True, slots=True)
class Fees:
    """The commission of an instrument on an account, in millionths of the account's minor unit.

    step_num/step_den is charged per size step, notional_ppm of the notional, and minimum_micro at
    least for an order that fills at all.
    """

    step_num: int = 0
    step_den: int = 1
    notional_ppm: int = 0
    minimum_micro: int = 0


def fees_of(instrument: Instrument, own: Commission | None = None) -> Fees:
    """Return the fees of an instrument: those of the account type where it has its own."""
    if own is None:
        return Fees(
            instrument.commission_micro_per_step,
            1,
            instrument.commission_ppm,
            instrument.commission_minimum_micro,
        )
    per_step = Fraction(own.per_lot_minor) * MICRO * Fraction(instrument.size_step)
    return Fees(per_step.numerator, per_step.denominator, own.notional_ppm, own.minimum_micro)


def raw_fee_micro(
    size_steps: int,
    price_ticks: int,
    unit_num: int,
    unit_den: int,
    step_num: int,
    step_den: int,
    notional_ppm: int,
    rate_num: int,
    rate_den: int,
) -> int:
    """Return what a fill costs before any minimum, in millionths of the account's minor unit.

    size_steps * step + |price_ticks| * size_steps * unit * ppm / 10^6 * rate, where unit values a
    tick times a step in the quote currency and rate converts that to the account's; each product
    is rounded half to even.
    """
    fee_micro = muldiv(size_steps, step_num, step_den)
    if notional_ppm == 0:
        return fee_micro
    notional_micro = muldiv(abs(price_ticks) * size_steps, unit_num, unit_den)
    share_micro = muldiv(notional_micro, notional_ppm, MICRO)
    return fee_micro + muldiv(share_micro, rate_num, rate_den)


def charged_fee_micro(fee_micro: int, filled_before: bool, before_micro: int, minimum: int) -> int:
    """Return what is charged for a fill so that its order has cost the larger of fees and minimum.

    before_micro is what earlier fills of the order cost before the minimum.
    """
    charged_micro = max(minimum, before_micro) if filled_before else 0
    return max(minimum, before_micro + fee_micro) - charged_micro


def risk_steps(
    risk_micro: int,
    distance_ticks: int,
    entry_ticks: int,
    unit_num: int,
    unit_den: int,
    step_num: int,
    step_den: int,
    notional_ppm: int,
    rate_num: int,
    rate_den: int,
) -> int:
    """Return the steps that lose at most risk_micro over a distance, rounded down.

    What one step loses and costs, in millionths of the account's minor unit, is at least one.
    """
    step_micro = muldiv(muldiv(distance_ticks, unit_num, unit_den), rate_num, rate_den)
    step_micro += raw_fee_micro(
        1,
        entry_ticks,
        unit_num,
        unit_den,
        step_num,
        step_den,
        notional_ppm,
        rate_num,
        rate_den,
    )
    return max(risk_micro, 0) // max(step_micro, 1)
