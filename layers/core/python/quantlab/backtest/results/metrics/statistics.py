"""Statistics of short samples in plain Python: sums are exact (`math.fsum`), so the same anywhere.

Each returns None where the sample has no such number.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Final

_FLAT: Final = 1e-14


def mean(values: Sequence[float]) -> float | None:
    """Return the arithmetic mean; None of nothing."""
    return math.fsum(values) / len(values) if values else None


def moment(values: Sequence[float], order: int) -> float:
    """Return the central moment of an order of a sample that is not empty, divided by n."""
    middle = math.fsum(values) / len(values)
    return math.fsum((one - middle) ** order for one in values) / len(values)


def deviation(values: Sequence[float]) -> float | None:
    """Return the sample standard deviation (n - 1); None under two values."""
    if len(values) < 2:
        return None
    return math.sqrt(moment(values, 2) * len(values) / (len(values) - 1))


def spread(values: Sequence[float]) -> float | None:
    """Return the sample standard deviation; None where it is zero but for rounding."""
    found = deviation(values)
    if found is None or found <= _FLAT * max(map(abs, values)):
        return None
    return found


def skewness(values: Sequence[float]) -> float | None:
    """Return m3 / m2^1.5; None where the values do not differ."""
    if spread(values) is None:
        return None
    return _finite(moment(values, 3), moment(values, 2) ** 1.5)


def kurtosis(values: Sequence[float]) -> float | None:
    """Return m4 / m2^2, 3 for a normal distribution; None where the values do not differ."""
    if spread(values) is None:
        return None
    return _finite(moment(values, 4), moment(values, 2) ** 2)


def autocorrelation(values: Sequence[float]) -> float | None:
    """Return the correlation of values with those one before, about the mean of all."""
    if len(values) < 3 or spread(values) is None:
        return None
    middle = math.fsum(values) / len(values)
    off = [one - middle for one in values]
    return _finite(
        math.fsum(a * b for a, b in itertools.pairwise(off)),
        math.fsum(one * one for one in off),
    )


def quantile(values: Sequence[float], share: float) -> float:
    """Return a quantile, linear between order statistics (Hyndman and Fan 1996, type 7)."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def normal_cdf(value: float) -> float:
    """Return the standard normal distribution function."""
    return math.erfc(-value / math.sqrt(2)) / 2


def _finite(numerator: float, denominator: float) -> float | None:
    """Divide; None where the denominator underflowed or the quotient is no number."""
    if denominator == 0:
        return None
    result = numerator / denominator
    return result if math.isfinite(result) else None
