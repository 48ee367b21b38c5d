"""Oscillators and momentum."""

from typing import Final

TEXT: Final = r"""
// Relative strength index (Wilder): 100 - 100 / (1 + rma of rises / rma of falls).
// warm-up: n
def rsi(float x, length n)
    moved = x - x[1]
    up = rma(max(moved, 0.0), n)
    down = rma(max(-moved, 0.0), n)
    return down == 0 ? (na(up) ? na : 100.0) : up == 0 ? 0.0 : 100 - 100 / (1 + up / down)

// MACD: [ema(x, fast) - ema(x, slow), its ema of `signal`, their difference].
// warm-up: slow + signal - 2
def macd(float x, length fast = 12, length slow = 26, length signal = 9)
    line = ema(x, fast) - ema(x, slow)
    average = ema(line, signal)
    return [line, average, line - average]

// Absolute price oscillator: ema(x, fast) - ema(x, slow).
// warm-up: slow - 1
def apo(float x, length fast, length slow)
    return ema(x, fast) - ema(x, slow)

// Percentage price oscillator: the distance of the two averages in percent of the slow one.
// warm-up: slow - 1
def ppo(float x, length fast, length slow)
    base = ema(x, slow)
    return 100 * (ema(x, fast) - base) / base

// Stochastic %K: where x lies between the lowest low and the highest high of n bars, in percent.
// warm-up: n - 1
def stoch(float x, float top, float bottom, length n)
    least = lowest(bottom, n)
    return 100 * (x - least) / (highest(top, n) - least)

// Slow stochastic of the bar: [sma(stoch, smooth), its sma of d].
// warm-up: n + smooth + d - 3
def stochastic(length n = 14, length smooth = 3, length d = 3)
    k = sma(stoch(close, high, low, n), smooth)
    return [k, sma(k, d)]

// Stochastic RSI: [sma(stoch of rsi, k), its sma of d], in percent.
// warm-up: rsi_n + n + k + d - 3
def stochrsi(float x, length rsi_n = 14, length n = 14, length k = 3, length d = 3)
    r = rsi(x, rsi_n)
    smooth = sma(stoch(r, r, r, n), k)
    return [smooth, sma(smooth, d)]

// Commodity channel index: (x - sma) / (0.015 times the mean deviation).
// warm-up: n - 1
def cci(float x, length n)
    return (x - sma(x, n)) / (0.015 * dev(x, n))

// Chande momentum oscillator: 100 (rises - falls) / (rises + falls) over n changes.
// warm-up: n
def cmo(float x, length n)
    moved = x - x[1]
    up = sum(max(moved, 0.0), n)
    down = sum(max(-moved, 0.0), n)
    return 100 * (up - down) / (up + down)

// Williams %R: 100 (x - highest high) / (highest high - lowest low) over n bars.
// warm-up: n - 1
def willr(length n)
    top = highest(high, n)
    return 100 * (close - top) / (top - lowest(low, n))

// True strength index: ema(ema(change, slow), fast) over that of its magnitude, times 100.
// warm-up: slow + fast - 1
def tsi(float x, length fast = 13, length slow = 25)
    moved = x - x[1]
    return 100 * ema(ema(moved, slow), fast) / ema(ema(abs(moved), slow), fast)

// TRIX: the change in percent of a triple ema.
// warm-up: 3 n - 2
def trix(float x, length n)
    e = ema(ema(ema(x, n), n), n)
    return 100 * (e - e[1]) / e[1]

// Ultimate oscillator of three lengths, weights 4, 2, 1.
// warm-up: slow
def ultosc(length fast = 7, length middle = 14, length slow = 28)
    past = close[1]
    bottom = min(low, past)
    pressure = close - bottom
    reach = max(high, past) - bottom
    a = sum(pressure, fast) / sum(reach, fast)
    b = sum(pressure, middle) / sum(reach, middle)
    c = sum(pressure, slow) / sum(reach, slow)
    return 100 * (4 * a + 2 * b + c) / 7

// Awesome oscillator: sma(hl2, 5) - sma(hl2, 34).
// warm-up: 33
def ao()
    return sma(hl2(), 5) - sma(hl2(), 34)

// Balance of power: (close - open) / (high - low), 0 for a bar without range.
// warm-up: 0
def bop()
    reach = high - low
    return reach == 0 ? 0.0 : (close - open) / reach

// Detrended price oscillator: x of n / 2 + 1 bars ago less the sma of n.
// warm-up: n - 1
def dpo(float x, length n)
    back = idiv(n, 2) + 1
    return x[back] - sma(x, n)

// Fisher transform of the place of hl2 in its range over n: [transform, its value before].
// warm-up: n - 1
def fisher(length n = 9)
    var value = 0.0
    var transform = 0.0
    top = highest(hl2(), n)
    bottom = lowest(hl2(), n)
    reach = top - bottom
    place = (hl2() - bottom) / (reach == 0 ? 0.001 : reach) - 0.5
    past = transform
    good = finite(place)
    moved = 0.66 * place + 0.67 * value
    value := good ? (moved > 0.99 ? 0.999 : moved < -0.99 ? -0.999 : moved) : value
    transform := good ? 0.5 * ln((1 + value) / (1 - value)) + 0.5 * transform : transform
    return [good ? transform : na, good ? past : na]

// Q stick: the sma of close - open.
// warm-up: n - 1
def qstick(length n)
    return sma(close - open, n)

// Coppock curve: wma(roc(x, slow) + roc(x, fast), n).
// warm-up: slow + n - 1
def coppock(float x, length n = 10, length fast = 11, length slow = 14)
    return wma(roc(x, slow) + roc(x, fast), n)

// Elder ray: [high - ema(close, n), low - ema(close, n)].
// warm-up: n - 1
def elder_ray(length n = 13)
    e = ema(close, n)
    return [high - e, low - e]

// Vertical horizontal filter: the range of x over n bars by the way it went.
// warm-up: n
def vhf(float x, length n)
    return (highest(x, n) - lowest(x, n)) / sum(abs(x - x[1]), n)

// Choppiness index: 100 log10(sum of true ranges / range) / log10 n.
// warm-up: n
def chop(length n = 14)
    reach = highest(high, n) - lowest(low, n)
    return 100 * log10(sum(tr(), n) / reach) / log10(float(n))

// Relative vigor index: [swma(close - open) sums over swma(high - low) sums, its swma].
// warm-up: n + 5
def rvgi(length n = 10)
    v = sum(swma(close - open), n) / sum(swma(high - low), n)
    return [v, swma(v)]
"""
