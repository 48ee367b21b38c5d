"""Walk-forward analysis (Pardo 1992): inputs chosen on days before are run on the days after.

Windows are of trading days with quotes. Each begins with a fresh account and strategy; what the
days after came to is stitched, a position still open at a window's end at its last quote.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from quantlab.backtest import layout as at
from quantlab.backtest.results.finished import of_finished
from quantlab.backtest.results.metrics.figures import figures
from quantlab.backtest.results.metrics.table import METRICS, as_json
from quantlab.backtest.results.run import Curve, Days, Run
from quantlab.kernel.decimals import parse_minor
from quantlab.kernel.instants import format_rfc3339
from quantlab_server.backtests.evaluating import (
    WITHOUT_ROWS,
    Evaluate,
    Evaluator,
    Job,
    Row,
)
from quantlab_server.backtests.given import Bench
from quantlab_server.backtests.progress import Moved
from quantlab_server.backtests.sweeping import ranked
from quantlab_server.refusal import Refusal


@dataclass(frozen=True, slots=True)
class Window:
    """Places of quotes: [begin, middle) to choose on, [middle, end) to run after; their days."""

    begin: int
    middle: int
    end: int
    train_days: int
    test_days: int


@dataclass(frozen=True, slots=True)
class Walked:
    """A window, the row that was best before, and what the same inputs came to after; None of none.

    run is that of the days after, without fills.
    """

    window: Window
    best: Row | None
    after: Row | None
    run: Run | None


def windows_of(
    places: Sequence[int], count: int, train: int, test: int, *, anchored: bool
) -> list[Window]:
    """Return the windows; the last may have fewer days after. places begin the days of the data."""
    ends = [*places, count]
    found = []
    for middle in range(train, len(places), test):
        first = 0 if anchored else middle - train
        last = min(middle + test, len(places))
        found.append(Window(ends[first], ends[middle], ends[last], middle - first, last - middle))
    if not found:
        raise Refusal(
            f"--train: expected fewer than the {len(places)} trading days of the data, was {train}"
        )
    return found


def walk(
    bench: Bench,
    windows: Sequence[Window],
    combinations: Sequence[Mapping[str, Any]],
    fixed: Mapping[str, Any],
    metric: str,
    evaluate: Evaluate,
    progress: Moved,
    *,
    lowest: bool,
) -> list[Walked]:
    """Choose the best combination of each window and run it on the days after."""
    jobs = [
        Job({**fixed, **one}, window.begin, window.middle)
        for window in windows
        for one in combinations
    ]
    rows = []
    for number, row in enumerate(evaluate(jobs), 1):
        rows.append(row)
        progress(number, len(jobs))
    here, found = Evaluator(bench, metric), []
    for number, window in enumerate(windows):
        part = rows[number * len(combinations) : (number + 1) * len(combinations)]
        named = [{"inputs": dict(one), **row} for one, row in zip(combinations, part, strict=True)]
        found.append(_after(here, bench, window, ranked(named, lowest=lowest)[0], fixed))
    return found


def _after(
    here: Evaluator, bench: Bench, window: Window, best: Row, fixed: Mapping[str, Any]
) -> Walked:
    """Run the best inputs on the days after; where no metric was defined, nothing is run."""
    if best["value"] is None:
        return Walked(window, None, None, None)
    job = Job({**fixed, **best["inputs"]}, window.middle, window.end)
    finished = here.finished(job)
    quotes = bench.records.words[job.begin : job.end]
    run = of_finished(finished, quotes, with_paths=False)
    bare = replace(run, fills=type(run.fills)(*(_none(),) * len(run.fills.columns())))
    return Walked(window, best, here.row(finished, job), bare)


def _none() -> Any:
    return np.zeros(0, np.int64)


def stitched(walked: Sequence[Walked]) -> Run | None:
    """Return the days after of all windows as one run without fills; None where none was run."""
    runs = [one.run for one in walked if one.run is not None]
    if not runs:
        return None
    days, curves, gained = [], [], 0
    for run in runs:
        days.append(replace(run.days, balance=run.days.balance + gained,
                            equity=run.days.equity + gained))  # fmt: skip
        curves.append(replace(run.curve, equity=run.curve.equity + gained))
        gained += run.equity_minor - run.initial_minor
    total = runs[0].initial_minor + gained
    return replace(
        runs[-1],
        balance_minor=total,
        equity_minor=total,
        first_ns=runs[0].first_ns,
        curve=Curve(**_joined(curves)),
        days=Days(**_joined(days)),
        max_drawdown_minor=None,
        orders={},
    )


def _joined(parts: Sequence[Curve] | Sequence[Days]) -> dict[str, Any]:
    return {
        name: np.concatenate([part.columns()[name] for part in parts])
        for name in parts[0].columns()
    }


def document_of(bench: Bench, walked: Sequence[Walked]) -> dict[str, Any]:
    """Return windows, the stitched results, and how much of the profit before was left after."""
    run = stitched(walked)
    digits = bench.account.currency_digits
    result = None if run is None else figures(run)
    before = [(one.best, one.window.train_days) for one in walked if one.best is not None]
    after = [(one.after, one.window.test_days) for one in walked if one.after is not None]
    in_sample, out_of_sample = _a_day(before, digits), _a_day(after, digits)
    efficiency = None
    if in_sample is not None and out_of_sample is not None and in_sample > 0:
        efficiency = float(f"{out_of_sample / in_sample:.10g}")
    return {
        "windows": [_window(bench, one) for one in walked],
        "efficiency": efficiency,
        "outOfSample": None
        if result is None
        else {
            one.key: as_json(one, one.of(result), digits)
            for one in METRICS
            if one.key in WITHOUT_ROWS
        },
    }


def _a_day(rows: Sequence[tuple[Row, int]], digits: int) -> float | None:
    """Return the net profit a day, in minor units."""
    days = sum(count for _, count in rows)
    total = sum(parse_minor(row["netProfit"], digits) or 0 for row, _ in rows)
    return total / days if days else None


def _window(bench: Bench, one: Walked) -> dict[str, Any]:
    instants = bench.records.words[:, at.Q_NS]
    window = one.window
    return {
        "trainFrom": format_rfc3339(int(instants[window.begin])),
        "testFrom": format_rfc3339(int(instants[window.middle])),
        "to": format_rfc3339(int(instants[window.end - 1])),
        "trainDays": window.train_days,
        "testDays": window.test_days,
        "inputs": None if one.best is None else one.best["inputs"],
        "inSample": _side(one.best),
        "outOfSample": _side(one.after),
    }


def _side(row: Row | None) -> dict[str, Any] | None:
    return None if row is None else {name: row[name] for name in row if name != "inputs"}
