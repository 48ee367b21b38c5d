"""Numbers of a run as text and JSON: prices, sizes, instants, trades."""

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Final

from quantlab.backtest import layout as at
from quantlab.backtest.outputs import Outputs
from quantlab.backtest.results.run import Run, Scale, Words, day_date
from quantlab.backtest.results.trades import UNKNOWN, Trades
from quantlab.kernel.canonical import Json
from quantlab.kernel.decimals import format_minor, format_units
from quantlab.kernel.instants import format_rfc3339
from quantlab.qls.ir import ORDER_TYPES, TIMES

SIDES: Final = {1: "long", -1: "short"}
ORDER_SIDES: Final = {1: "buy", -1: "sell"}
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
    rows = _rows(trades.columns(), count)
    return [_trade_row(run, number, row) for number, row in enumerate(rows, 1)]


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
        "grossProfit": money(run, trade["gross"]),
        "commission": money(run, trade["fee"]),
        "slippage": money(run, trade["slippage"]),
        "profit": money(run, trade["profit"]),
        "mae": _maybe(run, mae),
        "mfe": _maybe(run, mfe),
        "seconds": None if exit_ns is None else _seconds(exit_ns - trade["entry_ns"]),
        "quotes": known(trade["quotes"]),
        "fills": trade["fills"],
    }


def fill_rows(run: Run) -> list[dict[str, Json]]:
    """Return the fills as JSON."""
    found: list[dict[str, Json]] = []
    for row in _rows(run.fills.columns()):
        scale = run.scales[row["symbol"]]
        found.append(
            {
                "time": format_rfc3339(row["ts_ns"]),
                "order": row["order"],
                "symbol": scale.symbol,
                "side": ORDER_SIDES[row["side"]],
                "quantity": size_text(row["steps"], scale),
                "price": format_units(row["ticks"], scale.tick),
                "slippageTicks": row["slippage"],
                "realised": money(run, row["profit"]),
                "commission": money(run, row["fee"]),
                "balance": money(run, row["balance"]),
                "cause": at.CAUSES[row["cause"]],
            }
        )
    return found


def order_rows(run: Run) -> list[dict[str, Json]]:
    """Return the ended orders as JSON; a close that found nothing to close has no side."""
    found: list[dict[str, Json]] = []
    for row in _rows(run.orders):
        scale, created = run.scales[row["symbol"]], row["created"]
        found.append(
            {
                "order": row["owner"],
                "symbol": scale.symbol,
                "side": ORDER_SIDES.get(row["side"]),
                "type": ORDER_TYPES[row["type"]],
                "timeInForce": TIMES[row["time"]],
                "quantity": size_text(row["steps"], scale),
                "filledQuantity": size_text(row["filled"], scale),
                "placedAt": format_rfc3339(created) if created else None,
                "endedAt": format_rfc3339(row["ended"]),
                "status": at.STATE_NAMES[row["state"]],
                "reason": at.REASONS[row["reason"]] or None,
            }
        )
    return found


def day_rows(run: Run) -> list[dict[str, Json]]:
    """Return the trading days as JSON."""
    return [
        {
            "date": str(day_date(row["start_ns"])),
            "start": format_rfc3339(row["start_ns"]),
            "end": format_rfc3339(row["end_ns"]),
            "balance": money(run, row["balance"]),
            "equity": money(run, row["equity"]),
            "traded": row["traded"] != 0,
        }
        for row in _rows(run.days.columns())
    ]


def output_lists(outputs: Outputs) -> dict[str, Json]:
    """Return what the strategy showed as JSON; na is null."""
    return {
        "logList": [
            {"time": format_rfc3339(one.ns), "kind": one.kind, "text": one.text}
            for one in outputs.lines
        ],
        "markerList": [
            {"time": format_rfc3339(one.ns), "name": one.name, "price": _number(one.price)}
            for one in outputs.markers
        ],
        "plotList": [
            {
                "name": one.name,
                "points": one.points,
                "times": [format_rfc3339(ns) for ns in one.ts_ns.tolist()],
                "values": [_number(value) for value in one.values.tolist()],
            }
            for one in outputs.plots
        ],
        "outputsLeftOut": dict(outputs.left_out),
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _rows(columns: Mapping[str, Words], count: int | None = None) -> Iterator[dict[str, int]]:
    lists = [column[:count].tolist() for column in columns.values()]
    for values in zip(*lists, strict=True):
        yield dict(zip(columns, values, strict=True))


def money(run: Run, amount_minor: int) -> str:
    """Write minor units of the account."""
    return format_minor(amount_minor, run.currency_digits)


def _maybe(run: Run, amount_minor: int | None) -> str | None:
    return None if amount_minor is None else money(run, amount_minor)


def _seconds(span_ns: int) -> str:
    """Write a span exactly, without trailing zeros."""
    return format((Decimal(span_ns) / 1_000_000_000).normalize(), "f")
