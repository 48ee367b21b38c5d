"""What is compiled whole: the kernels, and modules of the scalar functions live trading runs."""

from typing import Final

from quantlab.backtest.kernels import (
    attempts,
    book,
    cancelling,
    changing,
    clock,
    desk,
    fills,
    gathering,
    judge,
    legs,
    loop,
    margin,
    outright,
    overnight,
    protecting,
    quotes,
    reading,
    refusals,
    risk,
    run,
    stopping,
    terms,
    worth,
)
from quantlab.engine import pricing
from quantlab.kernel import arith
from quantlab.ledger import fees
from quantlab.ledger import scalars as ledger_scalars
from quantlab.market import rates
from quantlab.rules import scalars as rules_scalars

KERNELS: Final = (
    *(quotes, legs, worth, book, margin, risk, terms, protecting, fills, judge, attempts, stopping),
    *(overnight, clock, reading, gathering, refusals, cancelling, changing, outright, desk),
    *(loop, run),
)
SCALARS: Final = (arith, ledger_scalars, fees, pricing, rates, rules_scalars)
