"""Moving averages."""

from typing import Final

TEXT: Final = r"""
// Simple moving average: the mean of the last n values.
// warm-up: n - 1
def sma(float x, length n)
    return sum(x, n) / n

// An average that moves by `weight` of the distance to each value; it begins with the mean of the
// first n values. na leaves it as it is.
// warm-up: n - 1
def _smooth(float x, length n, float weight)
    var count = 0
    var total = 0.0
    var value = na
    if finite(x)
        if count < n
            count += 1
            total += x
            value := count == n ? total / n : na
        else
            value := value + weight * (x - value)
    return finite(x) ? value : na

// Exponential moving average, weight 2 / (n + 1), begun with the mean of the first n values.
// warm-up: n - 1
def ema(float x, length n)
    return _smooth(x, n, 2.0 / (n + 1))

// Wilder's moving average (RMA, SMMA), weight 1 / n, begun with the mean of the first n values.
// warm-up: n - 1
def rma(float x, length n)
    return _smooth(x, n, 1.0 / n)

// Weighted moving average: weights n, n - 1, ..., 1 from the newest value back.
// warm-up: n - 1
def wma(float x, length n)
    total = x * n
    for i in 1..n - 1
        total += x[i] * (n - i)
    return total / (float(n) * (n + 1) / 2)

// Hull moving average: wma(2 wma(x, n / 2) - wma(x, n), floor(sqrt n)).
// warm-up: n + floor(sqrt(n)) - 2
def hma(float x, length n)
    half = max(idiv(n, 2), 1)
    return wma(2 * wma(x, half) - wma(x, n), isqrt(n))

// Volume-weighted moving average of the last n bars.
// warm-up: n - 1
def vwma(float x, length n)
    return sum(x * volume, n) / sum(volume, n)

// Symmetrically weighted average of four values: weights 1/6, 2/6, 2/6, 1/6.
// warm-up: 3
def swma(float x)
    return x[3] / 6 + x[2] * 2 / 6 + x[1] * 2 / 6 + x / 6

// Arnaud Legoux moving average: Gaussian weights with their centre at offset and width n / sigma.
// warm-up: n - 1
def alma(float x, length n, float offset = 0.85, float sigma = 6)
    centre = offset * (n - 1)
    width = n / sigma
    total = 0.0
    norm = 0.0
    for i in 0..n - 1
        far = (n - 1 - i) - centre
        weight = exp(-(far * far) / (2 * width * width))
        total += weight * x[i]
        norm += weight
    return total / norm

// Double exponential moving average: 2 ema - ema(ema).
// warm-up: 2 n - 2
def dema(float x, length n)
    e = ema(x, n)
    return 2 * e - ema(e, n)

// Triple exponential moving average: 3 ema - 3 ema(ema) + ema(ema(ema)).
// warm-up: 3 n - 3
def tema(float x, length n)
    e1 = ema(x, n)
    e2 = ema(e1, n)
    return 3 * (e1 - e2) + ema(e2, n)

// Triangular moving average: an sma of an sma, whose lengths add up to n + 1.
// warm-up: n - 1
def trima(float x, length n)
    half = idiv(n + 1, 2)
    return sma(sma(x, half), max(n + 1 - half, 1))

// Kaufman's adaptive moving average: the efficiency of the last n changes moves the weight between
// those of 30 and 2 periods.
// warm-up: n
def kama(float x, length n)
    var value = na
    way = sum(abs(x - x[1]), n)
    straight = abs(x - x[n])
    efficiency = way == 0 ? 0.0 : straight / way
    root = efficiency * (2.0 / 3 - 2.0 / 31) + 2.0 / 31
    weight = root * root
    begun = na(value) ? x[1] : value
    value := na(weight) ? na : begun + weight * (x - begun)
    return value

// Zero-lag exponential moving average: the ema of x + (x - x[(n - 1) / 2]).
// warm-up: n - 1 + (n - 1) / 2
def zlema(float x, length n)
    lag = max(idiv(n - 1, 2), 1)
    return ema(n > 2 ? 2 * x - x[lag] : x, n)

// Rolling volume-weighted average of the typical price over the last n bars.
// warm-up: n - 1
def rolling_vwap(length n)
    return sum(hlc3() * volume, n) / sum(volume, n)

// The volume-weighted average price of `x` since `restart` was last true; restart with new_day
// for the session's VWAP.
// warm-up: 0
def vwap(float x, bool restart)
    var traded = 0.0
    var lots = 0.0
    begun = restart ? 0.0 : 1.0
    traded := traded * begun + x * volume
    lots := lots * begun + volume
    return traded / lots
"""
