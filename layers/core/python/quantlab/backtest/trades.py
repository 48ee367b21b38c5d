"""Fills joined to trades: from the first fill of a position to the one that closes or turns it."""

from typing import Any, NamedTuple

from quantlab.backtest import layout as at


class Trade(NamedTuple):
    """One position from flat to flat, or to the end of the run (closed_ns 0).

    side is 1 or -1; size_steps is what was opened in all; entry and exit are average prices in
    ticks; profit_minor is what was realised less fee_minor. A fill that turns a position puts its
    fee on the trade it ends.
    """

    symbol: int
    side: int
    opened_ns: int
    closed_ns: int
    size_steps: int
    entry_ticks: float
    exit_ticks: float
    profit_minor: int
    fee_minor: int
    fills: int


def trades_of(fills: Any) -> list[Trade]:
    """Return the trades of a run's fills, in the order in which they ended; open ones come last."""
    done: list[Trade] = []
    running: dict[int, list[int]] = {}
    for row in fills.tolist():
        symbol, side, price = row[at.F_SYMBOL], row[at.F_SIDE], row[at.F_TICKS]
        opened, closed = row[at.F_OPENED], row[at.F_CLOSED]
        if closed:
            # side, opened_ns, steps in, cost in, steps out, cost out, profit, fees, fills
            trade = running[symbol]
            trade[4] += closed
            trade[5] += closed * price
            trade[6] += row[at.F_PROFIT] - row[at.F_FEE]
            trade[7] += row[at.F_FEE]
            trade[8] += 1
            if opened or row[at.F_POSITION] == 0:
                done.append(_trade(symbol, running.pop(symbol), row[at.F_NS]))
        if opened:
            fee = 0 if closed else row[at.F_FEE]
            trade = running.setdefault(symbol, [side, row[at.F_NS], 0, 0, 0, 0, 0, 0, 0])
            trade[2] += opened
            trade[3] += opened * price
            trade[6] -= fee
            trade[7] += fee
            trade[8] += 1
    return done + [_trade(symbol, trade, 0) for symbol, trade in sorted(running.items())]


def _trade(symbol: int, trade: list[int], closed_ns: int) -> Trade:
    side, opened_ns, into, cost_in, out, cost_out, profit, fees, fills = trade
    return Trade(
        symbol, side, opened_ns, closed_ns, into, cost_in / into, cost_out / out if out else 0.0,
        profit, fees, fills,
    )  # fmt: skip
