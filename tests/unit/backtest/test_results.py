"""Results of runs of the engine: what they sum to, against its own books and another count."""

import json

import numpy as np
from tests.support import backtest_runs as runs
from tests.support.engine_cases import profile
from tests.support.rule_cases import percent
from tests.support.rule_cases import rule as made_rule

from quantlab.backtest import layout as at
from quantlab.backtest.results.finished import heading_of, of_finished
from quantlab.backtest.results.metrics.figures import figures
from quantlab.backtest.results.metrics.table import METRICS, metrics_of
from quantlab.backtest.results.report.page import html_page
from quantlab.backtest.results.summary import details, document
from quantlab_edge.backtest import EngineFiles

PLAN = """strategy "Plan"

var n = 0

on tick
    n += 1
    if n == 1
        buy(1)
    if n == 2
        close_position()
    if n == 3
        sell(2)
    if n == 4
        close_position()
"""


def results_of(run, quotes):
    return figures(of_finished(run, quotes))


def test_figures_of_two_trades(engine: EngineFiles) -> None:
    quotes = runs.walk(5)
    quotes[:, 1] = [110_000, 110_020, 110_020, 110_018, 110_018]
    quotes[:, 2] = quotes[:, 1] + 2
    run = runs.finished(engine, runs.source_program(PLAN), quotes)
    found = results_of(run, quotes)
    # Long 1 lot from 110002 to 110020; short 2 lots from 110020 to 110020: 18 and 0 dollars.
    assert found.profits == (1_800, 0)
    assert found.closed.mae.tolist() == [-200, -400]
    assert found.closed.mfe.tolist() == [1_800, 0]
    assert found.closed.quotes.tolist() == [2, 2]
    values = metrics_of(found)
    assert (values["netProfit"], values["winRate"], values["profitFactor"]) == (1_800, 50, None)
    # Bought at 110002 with a bid of 110000; sold 2 at 110020 with an ask of 110022.
    assert values["maxDrawdown"] == 400
    assert len(values) == len(METRICS)


def test_a_long_run_sums_to_its_books(engine: EngineFiles) -> None:
    quotes = runs.walk(60_000)
    run = runs.finished(engine, runs.program("sma_cross"), quotes)
    found = results_of(run, quotes)
    assert int(found.trades.profit.sum()) == run.block[at.BALANCE] - runs.INITIAL
    assert found.trades.fee.sum() == run.fills[:, at.F_FEE].sum()
    assert found.falls.depth <= run.block[at.DRAWDOWN]
    closed = found.closed
    assert (closed.mae <= np.minimum(closed.gross, 0)).all()
    assert (closed.mfe >= np.maximum(closed.gross, 0)).all()
    text = json.dumps(document(found, heading_of(run)) | details(found), allow_nan=False)
    assert run.trace_hash() in text


def test_the_page_of_a_run_that_broke_a_rule(engine: EngineFiles) -> None:
    rules = profile(made_rule("max_drawdown", mode="static", loss=percent("1"), comparator="lt"))
    quotes = runs.walk(60_000)
    run = runs.finished(engine, runs.program("sma_cross"), quotes, runs.account(rules), lots=10.0)
    text = html_page(results_of(run, quotes), heading_of(run))
    assert "ended by a broken rule" in text
    assert "max_drawdown" in text
    assert not any(word in text for word in ("http:", "https:", "src=", "<script", "@import"))
