"""Indicators of volume."""

from typing import Final

TEXT: Final = r"""
// On-balance volume: volume added on rises, taken off on falls; 0 on the first bar.
// warm-up: 0
def obv()
    var total = 0.0
    past = close[1]
    total += close > past ? volume : close < past ? -volume : 0.0
    return total

// Money flow index of n bars: of typical price times volume, the share on rises in percent.
// warm-up: n
def mfi(length n = 14)
    typical = hlc3()
    past = typical[1]
    flow = typical * volume
    up = sum(na(past) ? na : typical > past ? flow : 0.0, n)
    down = sum(na(past) ? na : typical < past ? flow : 0.0, n)
    return 100 * up / (up + down)

// Accumulation/distribution line: volume times where the close lies in the bar, summed up.
// warm-up: 0
def ad()
    var total = 0.0
    reach = high - low
    total += reach == 0 ? 0.0 : (close - low - (high - close)) / reach * volume
    return total

// Chaikin oscillator: ema(ad, fast) - ema(ad, slow).
// warm-up: slow - 1
def adosc(length fast = 3, length slow = 10)
    line = ad()
    return ema(line, fast) - ema(line, slow)

// Chaikin money flow: the sums over n of volume times the close's place, and of volume.
// warm-up: n - 1
def cmf(length n = 20)
    reach = high - low
    place = reach == 0 ? 0.0 : (close - low - (high - close)) / reach
    return sum(place * volume, n) / sum(volume, n)

// Negative volume index: moves with the close where volume has fallen; begins at 1000.
// warm-up: 0
def nvi()
    var index = 1000.0
    index := volume < volume[1] ? index * (close / close[1]) : index
    return index

// Positive volume index: moves with the close where volume has risen; begins at 1000.
// warm-up: 0
def pvi()
    var index = 1000.0
    index := volume > volume[1] ? index * (close / close[1]) : index
    return index

// Price volume trend: volume times the change in share of the close, summed up.
// warm-up: 0
def pvt()
    var total = 0.0
    total += nz((close - close[1]) / close[1] * volume)
    return total

// Force index: the ema of volume times the change of the close.
// warm-up: n
def force(length n = 13)
    return ema((close - close[1]) * volume, n)

// Ease of movement: the move of hl2 by volume per range, in units of 10,000.
// warm-up: 1
def emv()
    return (hl2() - hl2()[1]) * (high - low) / volume * 10000

// Market facilitation index: (high - low) / volume.
// warm-up: 0
def marketfi()
    return (high - low) / volume

// Volume oscillator: the distance of two sma of volume in percent of the slow one.
// warm-up: slow - 1
def vosc(length fast, length slow)
    base = sma(volume, slow)
    return 100 * (sma(volume, fast) - base) / base

// Williams' accumulation/distribution: what the close moved from its true low or high, summed up.
// warm-up: 1
def wad()
    var total = 0.0
    past = close[1]
    rise = close - min(low, past)
    fall = close - max(high, past)
    total += na(past) ? 0.0 : close > past ? rise : close < past ? fall : 0.0
    return na(past) ? na : total
"""
