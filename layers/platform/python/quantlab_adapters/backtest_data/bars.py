"""Bars as the quotes they may have been: open, the nearer extreme, the other one, close.

Bid and ask are the same, as a bar says nothing of a spread. The path is TradingView's.
"""

from pathlib import Path

import numpy as np

from quantlab_adapters.backtest_data.sources import Columns, UnreadableQuotes, instants, table

_STEPS = 4


def read_path(path: Path) -> Columns:
    """Read bars (time, open, high, low, close) and walk through each of them in four quotes."""
    found = {name.lower(): column for name, column in table(path).items()}
    for name in ("open", "high", "low", "close"):
        if name not in found:
            raise UnreadableQuotes(f"{path}: expected a column {name}, was {', '.join(found)}")
    begin = instants(path, found)
    if len(begin) <= 1 or (np.diff(begin) <= 0).any():
        raise UnreadableQuotes(f"{path}: expected two bars or more, each later than the one before")
    length = int(np.diff(begin).min())
    open_, high, low, close = (
        np.asarray(found[name], np.float64) for name in ("open", "high", "low", "close")
    )
    high_first = np.abs(high - open_) < np.abs(open_ - low)
    walked = np.stack(
        (open_, np.where(high_first, high, low), np.where(high_first, low, high), close), axis=1
    )
    steps = np.array([0, length // _STEPS, length // 2, length - 1], np.int64)
    ts_ns = (begin[:, None] + steps[None, :]).reshape(-1)
    prices = walked.reshape(-1)
    none = np.zeros(len(prices))
    return Columns(ts_ns, prices, prices, none, none)
