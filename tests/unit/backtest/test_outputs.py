"""What a strategy shows in a backtest: kept by the compiled loop, within the limits, and shown."""

import json
from typing import Any

import numpy as np
import pytest
from tests.support import backtest_runs as runs

from quantlab.backtest.outputs import Outputs
from quantlab.backtest.results.finished import heading_of, of_finished
from quantlab.backtest.results.metrics.figures import figures
from quantlab.backtest.results.report.page import html_page
from quantlab.backtest.results.summary import details
from quantlab.backtest.running import Finished, Run
from quantlab.qls.limits import LINES_PER_RUN_MAX, PLOT_POINTS_MAX
from quantlab_edge.backtest import EngineFiles, KeptCode

SHOWS = """strategy "Shows"

var n = 0

on start
    log("begun")

on tick
    n += 1
    plot("count", n)
    plot("often na", n % 3 == 0 ? 1.5 * n : na)
    if n % 100 == 0
        log("tick {} of {}: {}", n, bid, n > 150)
        marker("hundred", ask)
    if n == 50
        alert("<now> {}", n)
        buy(1)

on bar(1m)
    plot("close", close)

on fill
    alert("filled {}", fill_size)

on stop
    log("done after {}", n)
"""


def run_of(
    engine: EngineFiles, code: KeptCode, source: str, quotes: Any, *, keeps: bool = True
) -> Run:
    program = runs.source_program(source)
    return Run(program, runs.account(), quotes, engine, objects=code, keeps_outputs=keeps)


def shown(engine: EngineFiles, code: KeptCode, source: str, quotes: Any) -> Outputs:
    return run_of(engine, code, source, quotes).finish().outputs


@pytest.fixture
def finished(engine: EngineFiles, code: KeptCode) -> Finished:
    return run_of(engine, code, SHOWS, runs.walk(2_500)).finish()


def test_all_that_is_shown_is_kept_with_its_time(finished: Finished) -> None:
    quotes, outputs = runs.walk(2_500), finished.outputs
    logs = [(one.ns, one.text) for one in outputs.lines if one.kind == "log"]
    assert logs[0] == (quotes[0, 0], "begun")
    assert logs[-1] == (quotes[-1, 0], "done after 2500")
    hundreds = quotes[99::100]
    assert logs[1:-1] == [
        (row[0], f"tick {n} of {row[1] / 1e5}: {str(n > 150).lower()}")
        for n, row in zip(range(100, 2_501, 100), hundreds.tolist(), strict=True)
    ]
    assert [(one.ns, one.name, one.price) for one in outputs.markers] == [
        (row[0], "hundred", row[2] / 1e5) for row in hundreds.tolist()
    ]
    alerts = [(one.ns, one.text) for one in outputs.lines if one.kind == "alert"]
    assert alerts == [(quotes[49, 0], "<now> 50"), (quotes[49, 0], "filled 1.0")]
    count, often, close = outputs.plots
    assert (count.ts_ns == quotes[:, 0]).all()
    assert (count.values == np.arange(1, 2_501)).all()
    assert np.isnan(often.values).sum() == 2_500 - 833
    assert close.points == len(close.values) > 30
    assert outputs.left_out == {}


def test_keeping_changes_nothing(engine: EngineFiles, code: KeptCode, finished: Finished) -> None:
    silent = run_of(engine, code, SHOWS, runs.walk(2_500), keeps=False).finish()
    assert silent.trace_hash() == finished.trace_hash()
    assert silent.outputs == Outputs()
    parts = run_of(engine, code, SHOWS, runs.walk(2_500))
    for end in (1, 7, 1_023, 1_025, 2_499):
        parts.take(end)
    again = parts.finish()
    assert again.trace_hash() == finished.trace_hash()
    assert again.outputs.lines == finished.outputs.lines
    assert again.outputs.markers == finished.outputs.markers


def test_many_lines_and_points_are_kept_within_limits(engine: EngineFiles, code: KeptCode) -> None:
    count = 30_001
    source = """strategy "Many"

var n = 0

on tick
    n += 1
    plot("n", n)
    log("{}", n)
    marker("m", n)
"""
    outputs = shown(engine, code, source, runs.walk(count))
    [plot] = outputs.plots
    assert PLOT_POINTS_MAX // 2 <= len(plot.values) <= PLOT_POINTS_MAX
    assert plot.points == count
    assert plot.values[0] == 1
    assert set(np.diff(plot.values)) == {8}
    over = count - LINES_PER_RUN_MAX
    assert [one.text for one in outputs.lines] == [str(n) for n in range(over + 1, count + 1)]
    assert [one.price for one in outputs.markers[:2]] == [over + 1, over + 2]
    assert outputs.left_out == {"log": over, "marker": over}


def test_what_comes_too_thick_is_counted(engine: EngineFiles, code: KeptCode) -> None:
    line = '    for i in 1..64\n        log("x")\n'
    source = f'strategy "Thick"\n\non tick\n{line}\non bar(1s)\n{line}'
    quotes = runs.walk(2_048)
    quotes[:, 0] = runs.START_NS + np.arange(2_048) * 1_000_000_000
    outputs = shown(engine, code, source, quotes)
    assert len(outputs.lines) == LINES_PER_RUN_MAX
    assert outputs.left_out["unread"] > 0
    assert sum(outputs.left_out.values()) + LINES_PER_RUN_MAX == 64 * (2 * 2_048 - 1)


def test_an_event_that_traps_shows_nothing(engine: EngineFiles, code: KeptCode) -> None:
    source = """strategy "Trap"

var n = 0

on tick
    n += 1
    log("{}", n)
    n := n + n % (3 - n)
"""
    run = run_of(engine, code, source, runs.walk(100)).finish()
    assert (run.end, run.trap) == ("trap", "division_by_zero")
    assert [one.text for one in run.outputs.lines] == ["1"]


def test_documents_and_page_show_them(finished: Finished) -> None:
    found = figures(of_finished(finished, runs.walk(2_500)))
    lists = json.loads(json.dumps(details(found), allow_nan=False))
    assert len(lists["logList"]) == 27 + 2
    assert lists["markerList"][0]["name"] == "hundred"
    assert [one["name"] for one in lists["plotList"]] == ["count", "often na", "close"]
    assert lists["plotList"][1]["values"][:3] == [None, None, 4.5]
    assert lists["outputsLeftOut"] == {}
    page = html_page(found, heading_of(finished))
    assert page.count('<circle class="mark"') == 25
    assert "ALERT &lt;now&gt; 50" in page
    assert "<h3>often na</h3>" in page
    assert "done after 2500" in page
