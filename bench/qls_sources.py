"""Strategies of a given size, such as people write: indicators, comparisons, state, orders."""

from typing import Final

_HEAD: Final = """\
strategy "bench"
input fast = int(10, min=2, max=50)
input slow = int(40, min=2, max=200)
input lots = float(1.0, min=0.01, max=100.0)
var wins = 0
var last = na
on bar(1m)
    f = ema(close, fast)
    s = sma(close, slow)
    r = rsi(close, 14)
    width = atr(14)
    [line, signal, bars] = macd(close, 12, 26, 9)
    top = highest(high, 20)
    bottom = lowest(low, 20)
"""
_ENDS: Final = (
    "    if position == 0 and crossover(f, s) and r < 70 and close > bottom + width\n"
    "        buy(lots, sl=close - 2 * width, tp=close + 3 * width)\n"
    "    else if position > 0 and (f < s or bars < 0)\n"
    "        close_position()\n"
    '    plot("fast", f)\n'
    '    plot("slow", s)\n'
)
_KINDS: Final = (
    "    a{n} = (close - open) * {n}.5 + (high - low) / ({n} + 1)\n",
    "    b{n} = min(a{n}, f) - max(s, line) * 0.5\n",
    "    c{n} = b{n} > 0 and r < {n} or close[{k}] > a{n}\n",
    "    d{n} = c{n} ? a{n} - b{n} : nz(last) + {n}\n",
    "    if d{n} > width and not c{n}\n        wins += 1\n        last := d{n} - top\n",
)


def source(lines: int) -> str:
    """Return a strategy of about so many lines; all but some 20 are statements of their own."""
    parts = [_HEAD]
    count = _HEAD.count("\n") + _ENDS.count("\n")
    number = 0
    while count < lines:
        kind = _KINDS[number % len(_KINDS)]
        n = number // len(_KINDS)
        text = kind.format(n=n, k=1 + n % 5)
        count += text.count("\n")
        parts.append(text)
        number += 1
    return "".join((*parts, _ENDS))
