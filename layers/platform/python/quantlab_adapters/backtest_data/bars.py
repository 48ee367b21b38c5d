"""Bars as the quotes they may have been: open, the nearer extreme, the other one, close.

A bar of trades says nothing of a spread: its bid and ask are the same. A bar of quotes has both
(bid_open, ask_open, ...); the bid says which extreme is the nearer one. The path is TradingView's.
"""

from pathlib import Path
from typing import Any, Final

import numpy as np

from quantlab_adapters.backtest_data.sources import (
    Columns,
    UnreadableQuotes,
    demand,
    instants,
    numbers,
    table,
)

STEPS: Final = 4
PRICES: Final = ("open", "high", "low", "close")
BARS: Final = (*PRICES, *(f"{side}_{name}" for side in ("bid", "ask") for name in PRICES))


def read_path(path: Path) -> tuple[Columns, Any]:
    """Read bars and walk through each of them in four quotes; say which of these are of good bars.

    The prices of a good bar are positive numbers, none above its high or below its low. Raises
    UnreadableQuotes.
    """
    found = table(path, BARS)
    sides = ("bid_", "ask_") if "bid_open" in found and "open" not in found else ("", "")
    demand(path, found, (side + name for side in sides for name in PRICES))
    begin = instants(path, found)
    if len(begin) <= 1 or (np.diff(begin) <= 0).any():
        raise UnreadableQuotes(f"{path}: expected two bars or more, each later than the one before")
    bars = [np.stack([numbers(path, found, side + name, len(begin)) for name in PRICES], 1)
            for side in dict.fromkeys(sides)]  # fmt: skip
    bid, ask = bars[0], bars[-1]
    open_, high, low = bid[:, 0], bid[:, 1], bid[:, 2]
    high_first = np.abs(high - open_) < np.abs(open_ - low)
    length = int(np.diff(begin).min())
    steps = np.array([0, length // STEPS, length // 2, length - 1], np.int64)
    ts_ns = (begin[:, None] + steps[None, :]).reshape(-1)
    none = np.zeros(len(ts_ns))
    good = np.all([_is_whole(bar) for bar in bars], axis=0)
    walked = Columns(ts_ns, _walked(bid, high_first), _walked(ask, high_first), none, none)
    return walked, np.repeat(good, STEPS)


def _walked(bar: Any, high_first: Any) -> Any:
    nearer = np.where(high_first, bar[:, 1], bar[:, 2])
    other = np.where(high_first, bar[:, 2], bar[:, 1])
    return np.stack((bar[:, 0], nearer, other, bar[:, 3]), axis=1).reshape(-1)


def _is_whole(bar: Any) -> Any:
    lowest, highest = bar.min(axis=1), bar.max(axis=1)  # NaN where one is
    return (lowest > 0) & (lowest == bar[:, 2]) & (highest == bar[:, 1])
