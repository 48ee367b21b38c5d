"""Spread, rank, regression and correlation over a window."""

from typing import Final

TEXT: Final = r"""
// Variance of the last n values: the mean squared distance from their mean (divisor n).
// warm-up: n - 1
def variance(float x, length n)
    mean = sma(x, n)
    far = x - mean
    total = far * far
    for i in 1..n - 1
        far := x[i] - mean
        total += far * far
    return total / n

// Standard deviation of the last n values (divisor n).
// warm-up: n - 1
def stdev(float x, length n)
    return sqrt(variance(x, n))

// Standard deviation of the last n values as a sample (divisor n - 1).
// warm-up: n - 1
def stdev_sample(float x, length n)
    return sqrt(variance(x, n) * n / (n - 1))

// Mean absolute deviation of the last n values from their mean.
// warm-up: n - 1
def dev(float x, length n)
    mean = sma(x, n)
    total = abs(x - mean)
    for i in 1..n - 1
        total += abs(x[i] - mean)
    return total / n

// How many standard deviations x lies above the mean of the last n values.
// warm-up: n - 1
def zscore(float x, length n)
    return (x - sma(x, n)) / stdev(x, n)

// Covariance of the last n pairs (divisor n).
// warm-up: n - 1
def covariance(float x, float y, length n)
    mean_x = sma(x, n)
    mean_y = sma(y, n)
    total = (x - mean_x) * (y - mean_y)
    for i in 1..n - 1
        total += (x[i] - mean_x) * (y[i] - mean_y)
    return total / n

// Pearson's correlation of the last n pairs.
// warm-up: n - 1
def correlation(float x, float y, length n)
    return covariance(x, y, n) / (stdev(x, n) * stdev(y, n))

// The slope of the least-squares line through the last n values, per event.
// warm-up: n - 1
def linreg_slope(float x, length n)
    middle = (n - 1) / 2.0
    top = middle * x
    for i in 1..n - 1
        top += (middle - i) * x[i]
    return n > 1 ? top * 12 / (float(n) * n * n - n) : x - x

// The least-squares line through the last n values, `offset` events before its newest point.
// warm-up: n - 1
def linreg(float x, length n, float offset = 0)
    return sma(x, n) + linreg_slope(x, n) * ((n - 1) / 2.0 - offset)

// The least-squares line through the last n values at its oldest point.
// warm-up: n - 1
def linreg_intercept(float x, length n)
    return sma(x, n) - linreg_slope(x, n) * ((n - 1) / 2.0)

// Time series forecast: the least-squares line of the last n values one event ahead of it.
// warm-up: n - 1
def tsf(float x, length n)
    return sma(x, n) + linreg_slope(x, n) * ((n + 1) / 2.0)

// Standard error of the mean of the last n values: stdev / sqrt n.
// warm-up: n - 1
def stderr(float x, length n)
    return stdev(x, n) / sqrt(n)

// Forecast oscillator: 100 (x - the forecast of the bar before) / x.
// warm-up: n
def fosc(float x, length n)
    return 100 * (x - tsf(x, n)[1]) / x

// Standard error of x around its least-squares line over n values (divisor n - 2).
// warm-up: n - 1
def linreg_stderr(float x, length n)
    slope = linreg_slope(x, n)
    newest = sma(x, n) + slope * ((n - 1) / 2.0)
    far = x - newest
    total = far * far
    for i in 1..n - 1
        far := x[i] - (newest - slope * i)
        total += far * far
    return sqrt(total / (n - 2))

// The value of rank k (0 is the least) among the last n.
// warm-up: n - 1
def _ranked(float x, length n, float k)
    found = na
    for i in 0..n - 1
        one = x[i]
        below = 0
        for j in 0..n - 1
            other = x[j]
            below += int(other < one or (other == one and j < i))
        found := below == k ? one : found
    return na(sum(x, n)) ? na : found

// Median of the last n values.
// warm-up: n - 1
def median(float x, length n)
    return percentile_linear(x, n, 50)

// Percentile p of the last n values, linear between the two ranks next to it.
// warm-up: n - 1
def percentile_linear(float x, length n, float p)
    place = p / 100 * (n - 1)
    low = floor(place)
    a = _ranked(x, n, low)
    b = _ranked(x, n, min(low + 1, n - 1))
    return a + (b - a) * (place - low)

// Percentile p of the last n values by nearest rank.
// warm-up: n - 1
def percentile_nearest(float x, length n, float p)
    return _ranked(x, n, max(ceil(p / 100 * n) - 1, 0))

// The share in percent of the n values before x that are not above it.
// warm-up: n
def percentrank(float x, length n)
    count = 0.0
    bad = false
    for i in 1..n
        count += float(int(x[i] <= x))
        bad := bad or na(x[i])
    return bad or na(x) ? na : 100 * count / n
"""
