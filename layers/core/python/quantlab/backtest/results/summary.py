"""A run's results as one JSON document: keys in one order, money as decimal text."""

from dataclasses import field

import numpy as np

from quantlab.backtest.results.goals import Passing
from quantlab.backtest.results.metrics.figures import Figures
from quantlab.backtest.results.metrics.metric import Value
from quantlab.backtest.results.metrics.table import METRICS, as_json, metrics_of
from quantlab.backtest.results.monthly import monthly
from quantlab.backtest.results.run import NO_FLOOR, Run, Words
from quantlab.backtest.results.writing import (
    day_rows,
    fill_rows,
    money,
    order_rows,
    output_lists,
    trade_rows,
)
from quantlab.kernel.instants import format_rfc3339
from quantlab.kernel.records import dataclass


@dataclass(frozen=True, slots=True)
class RuleOutcome:
    """A rule: how often it was broken and when at first; one on equity at what equity and floor."""

    slug: str
    rule_id: str
    broken: int
    first_ns: int
    equity_minor: int | None = None
    floor_minor: int | None = None


@dataclass(frozen=True, slots=True)
class Heading:
    """What a run was: strategy, inputs, profile, how it ended, its rules. All is shown as text."""

    strategy: str
    end: str
    profile: str = ""
    trap: str = ""
    trace_hash: str = ""
    source_hash: str = ""
    inputs: tuple[tuple[str, str], ...] = ()
    rules: tuple[RuleOutcome, ...] = ()
    passing: Passing = field(default_factory=Passing)
    status: str = "active"
    ticks: int = 0
    orders: int = 0
    rejected_orders: int = 0


def document(figures: Figures, heading: Heading) -> dict[str, object]:
    """Return the results without the long lists: heading, counts, account, metrics, months."""
    run = figures.run
    return {
        "format": 1,
        "strategy": heading.strategy,
        "sourceHash": heading.source_hash,
        "traceHash": heading.trace_hash,
        "inputs": dict(heading.inputs),
        "profile": heading.profile or None,
        "end": heading.end,
        "trap": heading.trap or None,
        "symbols": [scale.symbol for scale in run.scales],
        "from": format_rfc3339(run.first_ns),
        "to": format_rfc3339(run.last_ns),
        "ticks": heading.ticks,
        "orders": heading.orders,
        "rejectedOrders": heading.rejected_orders,
        "fills": len(run.fills),
        "trades": len(figures.trades),
        "account": {
            "currency": run.currency,
            "initialBalance": money(run, run.initial_minor),
            "balance": money(run, run.balance_minor),
            "equity": money(run, run.equity_minor),
            "status": heading.status,
        },
        "daysPerYear": run.days_per_year,
        "metrics": metrics_json(run, metrics_of(figures)),
        "rules": [_rule(run, one) for one in heading.rules],
        **_goals(heading),
        "months": months_json(run),
    }


def _rule(run: Run, one: RuleOutcome) -> dict[str, object]:
    broken = one.broken > 0
    return {
        "rule": one.slug,
        "ruleId": one.rule_id,
        "broken": one.broken,
        "firstAt": format_rfc3339(one.first_ns) if broken else None,
        "equity": _money(run, one.equity_minor) if broken else None,
        "floor": _money(run, one.floor_minor) if broken else None,
    }


def _money(run: Run, minor: int | None) -> object:
    return None if minor is None else money(run, minor)


def _goals(heading: Heading) -> dict[str, object]:
    """Write whether an evaluation was passed: null where the profile asks for nothing."""
    passed_ns = heading.passing.passed_ns
    return {
        "passed": passed_ns is not None if heading.passing.goals else None,
        "passedAt": None if passed_ns is None else format_rfc3339(passed_ns),
        "goals": [goal.as_payload() for goal in heading.passing.goals],
    }


def details(figures: Figures) -> dict[str, object]:
    """Return the long lists, that join the document: trades, fills, orders, days, outputs."""
    run = figures.run
    return {
        "tradeList": trade_rows(run, figures.trades),
        "fillList": fill_rows(run),
        "orderList": order_rows(run),
        "dayList": day_rows(run),
        **output_lists(run.outputs),
    }


def metrics_json(run: Run, values: dict[str, Value]) -> dict[str, object]:
    """Return the metrics by key, undefined ones as null."""
    return {one.key: as_json(one, values[one.key], run.currency_digits) for one in METRICS}


def months_json(run: Run) -> list[object]:
    """Return the months: when, profit, and return in percent."""
    return [
        {
            "month": f"{one.year:04}-{one.month:02}",
            "profit": money(run, one.profit_minor),
            "return": None if one.return_ is None else float(f"{float(100 * one.return_):.10g}"),
        }
        for one in monthly(run)
    ]


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
