"""What the compiled engine is made of: the kernels, and the scalar functions live trading runs."""

from typing import Final

from quantlab.backtest import layout, words
from quantlab.backtest.kernels import (
    attempts,
    book,
    calls,
    clock,
    desk,
    fills,
    gathering,
    judge,
    loop,
    margin,
    overnight,
    quotes,
    reading,
    run,
    stopping,
    terms,
    worth,
)
from quantlab.backtest.native import names
from quantlab.engine import fill_models, pricing
from quantlab.engine import margin as live_margin
from quantlab.kernel import arith
from quantlab.ledger import fees, swap
from quantlab.ledger import scalars as ledger_scalars
from quantlab.market import rates
from quantlab.rules import scalars as rules_scalars

KERNELS: Final = (
    *(quotes, worth, book, margin, terms, fills, judge, attempts, stopping, overnight, clock),
    *(reading, gathering, desk, loop, run),
)
SCALARS: Final = (arith, ledger_scalars, fees, pricing, rates, rules_scalars)
SOURCES: Final = (
    *(*KERNELS, *SCALARS, calls, words, layout, fill_models, names, live_margin, swap),
)
