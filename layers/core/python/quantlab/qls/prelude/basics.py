"""Sums, extremes, changes, crossings and counts."""

from typing import Final

TEXT: Final = r"""
// The sum of the last n values; na while one of them is na. A second sum, begun anew each n values,
// takes the place of the first then: rounding errors never grow, and na is forgotten.
// warm-up: n - 1
def sum(float x, length n)
    ring kept(n)
    var at = 0
    var total = na
    var fresh = 0.0
    bad = na(x - x)
    value = bad ? na : x
    next = at + 1
    wraps = next >= n
    grown = fresh + value
    moved = total - get(kept, at) + value
    put(kept, at, value)
    total := wraps ? grown : moved
    fresh := wraps or bad ? 0.0 : grown
    at := wraps or bad ? 0 : next
    return total

// The running total of all values; na counts as 0.
// warm-up: 0
def cum(float x)
    var total = 0.0
    total += nz(x)
    return total

// The greatest of the last n values.
// warm-up: n - 1
def highest(float x, length n)
    best = x
    for i in 1..n - 1
        best := max(best, x[i])
    return best

// The least of the last n values.
// warm-up: n - 1
def lowest(float x, length n)
    best = x
    for i in 1..n - 1
        best := min(best, x[i])
    return best

// How many events ago the greatest of the last n values was, as 0 or a negative number.
// warm-up: n - 1
def highestbars(float x, length n)
    best = x
    at = 0.0
    for i in 1..n - 1
        past = x[i]
        at := past > best ? float(-i) : at
        best := max(best, past)
    return na(best) ? na : at

// How many events ago the least of the last n values was, as 0 or a negative number.
// warm-up: n - 1
def lowestbars(float x, length n)
    best = x
    at = 0.0
    for i in 1..n - 1
        past = x[i]
        at := past < best ? float(-i) : at
        best := min(best, past)
    return na(best) ? na : at

// The highest less the lowest of the last n values.
// warm-up: n - 1
def range(float x, length n)
    return highest(x, n) - lowest(x, n)

// The value n events ago.
// warm-up: n
def shift(float x, length n)
    return x[n]

// x less its value n events ago.
// warm-up: n
def change(float x, length n = 1)
    return x - x[n]

// Momentum: x less its value n events ago.
// warm-up: n
def mom(float x, length n)
    return x - x[n]

// Rate of change in percent over n events.
// warm-up: n
def roc(float x, length n)
    past = x[n]
    return 100 * (x - past) / past

// Whether x is above each of the n values before it.
// warm-up: n
def rising(float x, length n)
    above = true
    for i in 1..n
        above := above and x > x[i]
    return above

// Whether x is below each of the n values before it.
// warm-up: n
def falling(float x, length n)
    below = true
    for i in 1..n
        below := below and x < x[i]
    return below

// Whether x has risen above y: above now, not above before.
// warm-up: 1
def crossover(float x, float y)
    return x > y and x[1] <= y[1]

// Whether x has fallen below y: below now, not below before.
// warm-up: 1
def crossunder(float x, float y)
    return x < y and x[1] >= y[1]

// Whether x has crossed y in either direction.
// warm-up: 1
def cross(float x, float y)
    return (x > y and x[1] <= y[1]) or (x < y and x[1] >= y[1])

// How many events ago a condition was last true; na before its first time.
// warm-up: 0
def barssince(bool c)
    var count = na
    count := c ? 0.0 : count + 1
    return count

// The value of x when the condition was last true; na before its first time.
// warm-up: 0
def valuewhen(bool c, float x)
    var kept = na
    kept := c ? x : kept
    return kept

// x, or its last value that was not na.
// warm-up: 0
def fixnan(float x)
    var kept = na
    kept := na(x) ? kept : x
    return kept

// The number of the last n events at which a condition was true.
// warm-up: n - 1
def count_true(bool c, length n)
    return sum(c ? 1.0 : 0.0, n)

// The mean of the two middle prices of a bar, high and low.
// warm-up: 0
def hl2()
    return (high + low) / 2

// The mean of high, low and close.
// warm-up: 0
def hlc3()
    return (high + low + close) / 3

// The mean of open, high, low and close.
// warm-up: 0
def ohlc4()
    return (open + high + low + close) / 4

// The mean of high, low and twice the close.
// warm-up: 0
def hlcc4()
    return (high + low + close + close) / 4

// The middle of bid and ask.
// warm-up: 0
def mid()
    return (bid + ask) * 0.5

// The ask less the bid.
// warm-up: 0
def spread()
    return ask - bid
"""
