"""Metrics against figures worked out by hand, and their page."""

from pathlib import Path

import numpy as np
import pytest
from tests.support import backtest_runs as runs

from quantlab.backtest.metrics import METRICS, metrics_of, table_text
from quantlab.backtest.report import page
from quantlab.backtest.results import document_of
from quantlab.backtest.trades import trades_of
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


def test_the_page_has_the_table_of_metrics() -> None:
    assert Path("docs/backtest.md").read_text(encoding="utf-8").endswith(table_text())


def test_figures_of_two_trades(engine: EngineFiles) -> None:
    quotes = runs.walk(5)
    quotes[:, 1] = [110_000, 110_020, 110_020, 110_018, 110_018]
    quotes[:, 2] = quotes[:, 1] + 2
    run = runs.finished(engine, runs.source_program(PLAN), quotes)
    won, lost = trades_of(run.fills)
    # Long 1 lot from 110002 to 110020; short 2 lots from 110020 to 110020: 18 and 0 dollars.
    assert (won.profit_minor, lost.profit_minor) == (1_800, 0)
    figures = metrics_of(run, trades_of(run.fills))
    assert figures["netProfit"] == 18.0
    assert figures["winRate"] == 0.5
    assert figures["profitFactor"] is None
    assert figures["averageWin"] == 18.0
    assert (figures["longTrades"], figures["shortTrades"]) == (1, 1)
    # Bought at 110002 with a bid of 110000; sold 2 at 110020 with an ask of 110022.
    assert figures["maxDrawdown"] == pytest.approx(4.0)
    assert len(figures) == len(METRICS) > 40


def test_a_report_asks_for_nothing_else(engine: EngineFiles) -> None:
    run = runs.finished(engine, runs.program("sma_cross"), runs.walk(20_000))
    text = page(run, document_of(run))
    assert "<svg" in text
    assert document_of(run)["traceHash"] in text
    assert not any(word in text for word in ("http:", "https:", "src=", "<script", "@import"))
    assert np.char.count(text, "<tr>") > len(METRICS)
