"""A run's results as one JSON document: keys in one order, money as decimal text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from quantlab.backtest.results.metrics.figures import Figures
from quantlab.backtest.results.metrics.metric import Value
from quantlab.backtest.results.metrics.table import METRICS, as_json, metrics_of
from quantlab.backtest.results.monthly import monthly
from quantlab.backtest.results.run import NO_FLOOR, Run, Words, day_date
from quantlab.backtest.results.writing import trade_rows
from quantlab.kernel.decimals import format_minor
from quantlab.kernel.instants import format_rfc3339

TRADES_MOST: Final = 100_000


@dataclass(frozen=True, slots=True)
class Heading:
    """What a run was: a strategy, its inputs and profile, how it ended. All is shown as text."""

    strategy: str
    end: str
    profile: str = ""
    trap: str = ""
    trace_hash: str = ""
    inputs: tuple[tuple[str, str], ...] = ()
    broken_rule: str = ""


def document(figures: Figures, heading: Heading) -> dict[str, object]:
    """Return the results: heading, money, metrics, months, days, and at most 100,000 trades."""
    run = figures.run
    inputs: dict[str, object] = dict(heading.inputs)
    return {
        "format": 1,
        "strategy": heading.strategy,
        "inputs": inputs,
        "profile": heading.profile,
        "end": heading.end,
        "brokenRule": heading.broken_rule,
        "trap": heading.trap,
        "traceHash": heading.trace_hash,
        "symbols": [scale.symbol for scale in run.scales],
        "from": format_rfc3339(run.first_ns),
        "to": format_rfc3339(run.last_ns),
        "currency": run.currency,
        "initialBalance": _money(run, run.initial_minor),
        "balance": _money(run, run.balance_minor),
        "equity": _money(run, run.equity_minor),
        "daysPerYear": run.days_per_year,
        "fills": len(run.fills),
        "metrics": metrics_json(run, metrics_of(figures)),
        "months": months_json(run),
        "days": _days(run),
        "trades": list(trade_rows(run, figures.trades, TRADES_MOST)),
        "tradesLeftOut": max(0, len(figures.trades) - TRADES_MOST),
    }


def metrics_json(run: Run, values: dict[str, Value]) -> dict[str, object]:
    """Return the metrics by key, undefined ones as null."""
    return {one.key: as_json(one, values[one.key], run.currency_digits) for one in METRICS}


def months_json(run: Run) -> list[object]:
    """Return the months: when, profit, and return in percent."""
    return [
        {
            "month": f"{one.year:04}-{one.month:02}",
            "profit": _money(run, one.profit_minor),
            "return": None if one.return_ is None else float(f"{float(100 * one.return_):.10g}"),
        }
        for one in monthly(run)
    ]


def _days(run: Run) -> list[object]:
    days = run.days
    rows: Sequence[tuple[int, int, int, int]] = list(
        zip(
            days.start_ns.tolist(), days.balance.tolist(), days.equity.tolist(),
            days.traded.tolist(), strict=True,
        )
    )  # fmt: skip
    return [
        {
            "date": str(day_date(start)),
            "balance": _money(run, balance),
            "equity": _money(run, equity),
            "traded": traded != 0,
        }
        for start, balance, equity, traded in rows
    ]


def _money(run: Run, amount_minor: int) -> str:
    return format_minor(amount_minor, run.currency_digits)


def parquet_columns(figures: Figures) -> dict[str, dict[str, object]]:
    """Return a table of columns for each file of Parquet: trades, fills, orders, equity, days.

    Columns are arrays of int64 or lists of text, all of one length in a table. Instants are ns
    since 1970 UTC; amounts are minor units, of the currency's digits; prices are ticks, sizes
    steps, those of trades decimal text. What is not known is None.
    """
    run = figures.run
    equity = run.curve.columns() | {
        "drawdown": np.maximum.accumulate(np.maximum(run.curve.equity, run.initial_minor))
        - run.curve.equity,
        "floor": [None if floor <= NO_FLOOR else floor for floor in run.curve.floor.tolist()],
    }
    tables: dict[str, dict[str, object]] = {
        "trades": _trade_columns(figures),
        "fills": _with_symbols(run, run.fills.columns()),
        "orders": _with_symbols(run, run.orders),
        "equity": dict(equity),
        "days": dict(run.days.columns()),
    }
    return tables


def _with_symbols(run: Run, columns: dict[str, Words]) -> dict[str, object]:
    named: dict[str, object] = dict(columns)
    if "symbol" in columns:
        names = [scale.symbol for scale in run.scales]
        named["symbol"] = [names[index] for index in columns["symbol"].tolist()]
    return named


def _trade_columns(figures: Figures) -> dict[str, object]:
    rows = trade_rows(figures.run, figures.trades)
    names = tuple(rows[0]) if rows else ()
    return {name: [row[name] for row in rows] for name in names}
