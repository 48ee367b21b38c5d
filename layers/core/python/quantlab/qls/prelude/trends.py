"""Ranges, channels, bands and trend followers."""

from typing import Final

TEXT: Final = r"""
// True range: the greatest of high - low, |high - last close| and |low - last close|; na on the
// first bar.
// warm-up: 1
def tr()
    past = close[1]
    return max(high - low, abs(high - past), abs(low - past))

// True range, high - low on the first bar.
// warm-up: 0
def true_range()
    past = close[1]
    return na(past) ? high - low : max(high - low, abs(high - past), abs(low - past))

// Average true range: rma of the true range, whose first bar is high - low.
// warm-up: n - 1
def atr(length n = 14)
    return rma(true_range(), n)

// Average true range in percent of the close.
// warm-up: n - 1
def natr(length n = 14)
    return 100 * atr(n) / close

// Bollinger bands: [sma, sma + k stdev, sma - k stdev].
// warm-up: n - 1
def bb(float x, length n = 20, float k = 2)
    middle = sma(x, n)
    far = k * stdev(x, n)
    return [middle, middle + far, middle - far]

// Bollinger band width: (upper - lower) / middle, in percent.
// warm-up: n - 1
def bbw(float x, length n = 20, float k = 2)
    [middle, upper, lower] = bb(x, n, k)
    return 100 * (upper - lower) / middle

// %B: where x lies between the Bollinger bands, 0 at the lower, 1 at the upper.
// warm-up: n - 1
def percent_b(float x, length n = 20, float k = 2)
    [middle, upper, lower] = bb(x, n, k)
    return (x - lower) / (upper - lower)

// Keltner channels: [ema, ema + k ema(true range), ema - k ema(true range)].
// warm-up: n - 1
def kc(float x, length n = 20, float k = 1.5)
    middle = ema(x, n)
    far = k * ema(true_range(), n)
    return [middle, middle + far, middle - far]

// Donchian channels: [mean of both, highest high, lowest low] of n bars.
// warm-up: n - 1
def donchian(length n = 20)
    upper = highest(high, n)
    lower = lowest(low, n)
    return [(upper + lower) / 2, upper, lower]

// Directional movement: [+DI, -DI, ADX] of Wilder.
// warm-up: n + smooth - 1
def dmi(length n = 14, length smooth = 14)
    up = high - high[1]
    down = low[1] - low
    plus_move = na(up) ? na : up > down and up > 0 ? up : 0.0
    minus_move = na(down) ? na : down > up and down > 0 ? down : 0.0
    reach = rma(tr(), n)
    plus = fixnan(100 * rma(plus_move, n) / reach)
    minus = fixnan(100 * rma(minus_move, n) / reach)
    both = plus + minus
    adx = 100 * rma(abs(plus - minus) / (both == 0 ? 1.0 : both), smooth)
    return [plus, minus, adx]

// Average directional index of Wilder.
// warm-up: 2 n - 1
def adx(length n = 14)
    [plus, minus, value] = dmi(n, n)
    return value

// Aroon: [up, down] in percent over n bars.
// warm-up: n
def aroon(length n = 14)
    up = 100 * (highestbars(high, n + 1) + n) / n
    down = 100 * (lowestbars(low, n + 1) + n) / n
    return [up, down]

// Aroon oscillator: up - down.
// warm-up: n
def aroon_osc(length n = 14)
    [up, down] = aroon(n)
    return up - down

// Supertrend: [line, direction]; direction is -1 in a rise (line below), 1 in a fall.
// warm-up: n - 1
def supertrend(float factor = 3, length n = 10)
    var upper = na
    var lower = na
    var direction = 1.0
    var line = na
    reach = atr(n)
    past = close[1]
    old_upper = nz(upper)
    old_lower = nz(lower)
    top = hl2() + factor * reach
    bottom = hl2() - factor * reach
    lower := bottom > old_lower or past < old_lower ? bottom : old_lower
    upper := top < old_upper or past > old_upper ? top : old_upper
    was_up = line == old_upper
    turned = was_up ? (close > upper ? -1.0 : 1.0) : (close < lower ? 1.0 : -1.0)
    direction := na(reach[1]) ? 1.0 : turned
    line := na(reach) ? na : direction == -1 ? lower : upper
    return [line, direction]

// Parabolic stop and reverse of Wilder.
// warm-up: 1
def sar(float begin = 0.02, float step = 0.02, float most = 0.2)
    var value = na
    var extreme = na
    var pace = na
    var rises = false
    var count = 0
    count := min(count + 1, 3)
    turned = false
    if count == 2
        rises := close > close[1]
        extreme := rises ? high : low
        value := rises ? low[1] : high[1]
        turned := true
        pace := begin
    if count > 1
        value := value + pace * (extreme - value)
        if rises
            if value > low
                turned := true
                rises := false
                value := max(high, extreme)
                extreme := low
                pace := begin
        else if value < high
            turned := true
            rises := true
            value := min(low, extreme)
            extreme := high
            pace := begin
        if not turned
            further = rises ? high > extreme : low < extreme
            extreme := further ? (rises ? high : low) : extreme
            pace := further ? min(pace + step, most) : pace
        if rises
            value := min(value, low[1])
            value := count > 2 ? min(value, low[2]) : value
        else
            value := max(value, high[1])
            value := count > 2 ? max(value, high[2]) : value
    return value

// Ichimoku: [conversion, base, span A, span B] as of this bar; draw the spans `base` bars ahead.
// warm-up: span - 1
def ichimoku(length conversion = 9, length base = 26, length span = 52)
    [c, _c1, _c2] = donchian(conversion)
    [b, _b1, _b2] = donchian(base)
    [s, _s1, _s2] = donchian(span)
    return [c, b, (c + b) / 2, s]

// Mass index: the sum over n of ema(high - low, 9) / ema(ema(high - low, 9), 9).
// warm-up: n + 15
def mass(length n = 25)
    e = ema(high - low, 9)
    return sum(e / ema(e, 9), n)

// Pivot high: the high `right` bars ago when no high within `left` bars before and `right` after it
// is above it, else na.
// warm-up: left + right
def pivot_high(length left, length right)
    centre = high[right]
    before = highest(high[right], left + 1)
    after = highest(high, right + 1)
    return centre >= before and centre >= after ? centre : na

// Pivot low: the low `right` bars ago when no low around it is below it, else na.
// warm-up: left + right
def pivot_low(length left, length right)
    centre = low[right]
    before = lowest(low[right], left + 1)
    after = lowest(low, right + 1)
    return centre <= before and centre <= after ? centre : na

// Annualised volatility of daily bars: the standard deviation of n returns times sqrt 252.
// warm-up: n
def volatility(float x, length n)
    return stdev(x / x[1] - 1, n) * sqrt(252)
"""
