"""The files the compiled engine is made of, by name: whoever asks for its hash imports none."""

from typing import Final

_KERNELS: Final = (
    *("quotes", "legs", "worth", "book", "margin", "risk", "terms", "protecting", "fills"),
    *("judge", "attempts", "stopping", "overnight"),
    *("clock", "reading", "gathering", "refusals", "cancelling", "changing", "outright"),
    *("desk", "loop", "run"),
)
_SCALARS: Final = (
    *("kernel.arith", "ledger.scalars", "ledger.fees", "engine.pricing", "market.rates"),
    "rules.scalars",
)
MODULES: Final = (
    *(f"backtest.kernels.{name}" for name in _KERNELS),
    *_SCALARS,
    *("backtest.kernels.calls", "backtest.words", "backtest.layout", "engine.fill_models"),
    *("backtest.native.names", "engine.margin", "ledger.swap", "kernel.records"),
    *("backtest.native.linking", "backtest.native.engine"),
)
"""Modules of `quantlab`, those of `sources` and the one that compiles them."""
