"""Numbers of a run as text and JSON: prices, sizes, instants, trades."""

from decimal import Decimal
from fractions import Fraction
from typing import Final

from quantlab.backtest.results.run import Run, Scale
from quantlab.backtest.results.trades import UNKNOWN, Trades
from quantlab.kernel.canonical import Json
from quantlab.kernel.decimals import format_minor, format_units
from quantlab.kernel.instants import format_rfc3339

SIDES: Final = {1: "long", -1: "short"}
FINER: Final = 100


def average_price(notional: int, steps: int, scale: Scale) -> str | None:
    """Write an average price, half to even at a hundredth of a tick; whole ticks as such."""
    if steps == 0:
        return None
    ticks = Fraction(notional, steps)
    if ticks.denominator == 1:
        return format_units(int(ticks), scale.tick)
    return format_units(round(ticks * FINER), scale.tick / FINER)


def size_text(steps: int, scale: Scale) -> str:
    """Write a size in lots."""
    return format_units(steps, scale.size_step)


def known(value: int) -> int | None:
    """Return a value of a column, None for one that is not known."""
    return None if value == UNKNOWN else value


def trade_rows(run: Run, trades: Trades, count: int | None = None) -> list[dict[str, Json]]:
    """Return trades, the first count of them, as JSON: money and prices as decimal text."""
    columns = {name: column[:count].tolist() for name, column in trades.columns().items()}
    names = tuple(columns)
    return [
        _trade_row(run, number, dict(zip(names, values, strict=True)))
        for number, values in enumerate(zip(*columns.values(), strict=True), 1)
    ]


def _trade_row(run: Run, number: int, trade: dict[str, int]) -> dict[str, Json]:
    scale = run.scales[trade["symbol"]]
    exit_ns, mae, mfe = (known(trade[name]) for name in ("exit_ns", "mae", "mfe"))
    return {
        "number": number,
        "symbol": scale.symbol,
        "side": SIDES[trade["side"]],
        "size": size_text(trade["size"], scale),
        "largestPosition": size_text(trade["most"], scale),
        "entryTime": format_rfc3339(trade["entry_ns"]),
        "exitTime": None if exit_ns is None else format_rfc3339(exit_ns),
        "entryPrice": average_price(trade["entry_notional"], trade["size"], scale),
        "exitPrice": average_price(trade["exit_notional"], trade["closed"], scale),
        "grossProfit": _money(run, trade["gross"]),
        "commission": _money(run, trade["fee"]),
        "slippage": _money(run, trade["slippage"]),
        "profit": _money(run, trade["profit"]),
        "mae": _money(run, mae),
        "mfe": _money(run, mfe),
        "seconds": None if exit_ns is None else _seconds(exit_ns - trade["entry_ns"]),
        "quotes": known(trade["quotes"]),
        "fills": trade["fills"],
    }


def _money(run: Run, amount_minor: int | None) -> str | None:
    return None if amount_minor is None else format_minor(amount_minor, run.currency_digits)


def _seconds(span_ns: int) -> str:
    """Write a span exactly, without trailing zeros."""
    return format((Decimal(span_ns) / 1_000_000_000).normalize(), "f")
