"""The latest quote of a symbol, how old it is, and what an amount is in the account's currency."""

from typing import Any

from quantlab.backtest import layout as at
from quantlab.kernel.arith import muldiv
from quantlab.market.rates import rate_at


def symbol_at(m: Any, s: int) -> int:
    """Return where a symbol's words begin."""
    return m[at.SYMBOLS_AT] + s * at.SYMBOL_WORDS


def is_fresh(m: Any, w: int, moment: int) -> bool:
    """Say whether a symbol has a quote that may be used."""
    return m[w + at.TS] > 0 and moment - m[w + at.TS] <= m[w + at.MAX_AGE]


def may_convert(m: Any, w: int, moment: int) -> bool:
    """Say whether what a symbol gains can be converted: its currency needs no pair, or has one."""
    return m[w + at.CONVERTED_BY] == 0 or is_fresh(m, converting(m, w), moment)


def converting(m: Any, w: int) -> int:
    """Return where the words of the pair begin that converts what a symbol gains."""
    return symbol_at(m, m[w + at.CONVERTED_BY] - 1)


def rate_of(m: Any, w: int, sign: int) -> tuple[int, int]:
    """Return the fraction from a symbol's quote currency to the account's, for a gain or a loss."""
    if m[w + at.CONVERTED_BY] == 0:
        return 1, 1
    c = converting(m, w)
    return rate_at(
        m[w + at.CONVERT_MULTIPLIES],
        m[w + at.CONVERT_NUM],
        m[w + at.CONVERT_DEN],
        m[c + at.BID],
        m[c + at.ASK],
        sign,
    )


def converted(m: Any, w: int, amount: int) -> int:
    """Return an amount of a symbol's quote currency in that of the account."""
    num, den = rate_of(m, w, amount)
    return muldiv(amount, num, den)
