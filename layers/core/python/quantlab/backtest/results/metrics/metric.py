"""What a metric is: its key, unit, definition and source beside the function that computes it."""

import math
from collections.abc import Callable
from enum import Enum
from fractions import Fraction

from quantlab.backtest.results.metrics.figures import Figures
from quantlab.kernel.records import dataclass

Value = int | float | Fraction | None


class Unit(Enum):
    """How a value reads: MONEY counts minor units, PERCENT is a hundredth, SECONDS are elapsed."""

    MONEY = "money"
    PERCENT = "percent"
    RATIO = "ratio"
    COUNT = "count"
    SECONDS = "seconds"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    definition is a sentence with the formula, source where the formula is from, undefined when the
    value is null. of returns None then; it never returns an infinity or NaN.
    """

    key: str
    name: str
    group: str
    unit: Unit
    definition: str
    source: str
    undefined: str
    of: Callable[[Figures], Value]


NEVER = "never"
COMMON = "common usage"


def percent(fraction: float | Fraction | None) -> Value:
    """Return a fraction in hundredths."""
    return None if fraction is None else 100 * fraction


def ratio(numerator: float | None, denominator: float | None) -> float | None:
    """Divide; None where a part is unknown, the denominator zero, or the quotient too large."""
    if numerator is None or not denominator:
        return None
    result = numerator / denominator
    return result if math.isfinite(result) else None
