"""Walk-forward: windows, the best of each against single runs, the stitched days."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from tests.support import backtest_runs as runs
from typer.testing import CliRunner

from quantlab.backtest import layout as at
from quantlab.backtest.results.metrics.figures import figures
from quantlab.backtest.running import Run
from quantlab_edge.backtest import EngineFiles, KeptCode, Records
from quantlab_server.backtests.accounts import Configured
from quantlab_server.backtests.attempts import day_places
from quantlab_server.backtests.evaluating import Evaluator
from quantlab_server.backtests.given import Bench
from quantlab_server.backtests.walking import Walked, document_of, stitched, walk, windows_of
from quantlab_server.cli.main import app
from quantlab_server.refusal import Refusal

TICKS = 6_000
COMBINATIONS = [{"fast": fast, "slow": slow} for fast in (5, 15) for slow in (30, 60)]


@pytest.fixture
def bench(engine: EngineFiles, code: KeptCode) -> Bench:
    quotes = runs.walk(TICKS)
    quotes[:, 0] = runs.START_NS + (quotes[:, 0] - runs.START_NS) * 100  # some seven days
    owner = Configured(runs.account(), {})
    return Bench(runs.program("sma_cross"), owner, Records(quotes, 0, ""), engine, code)


def walked(bench: Bench, train: int, test: int, metric: str, **more: Any) -> list[Walked]:
    quotes = bench.records.words
    windows = windows_of(
        day_places(bench.account, quotes), len(quotes), train, test, anchored=False
    )
    here = Evaluator(bench, metric)
    asked = {"lowest": False} | more
    return walk(
        bench, windows, COMBINATIONS, {}, metric, lambda jobs: map(here, jobs),
        lambda _done, _of: None, **asked,
    )  # fmt: skip


def test_windows_follow_one_another() -> None:
    places = [0, 10, 20, 30, 40, 50]

    def found(**more: Any) -> list[tuple[int, ...]]:
        windows = windows_of(places, 60, 2, 3, **more)
        return [(w.begin, w.middle, w.end, w.train_days, w.test_days) for w in windows]

    assert found(anchored=False) == [(0, 20, 50, 2, 3), (30, 50, 60, 2, 1)]
    assert found(anchored=True) == [(0, 20, 50, 2, 3), (0, 50, 60, 5, 1)]
    with pytest.raises(Refusal, match="expected fewer than the 6 trading days of the data, was 6"):
        windows_of(places, 60, 6, 1, anchored=False)


def test_the_best_before_is_run_after(bench: Bench) -> None:
    found = walked(bench, 3, 2, "netProfit")
    quotes = bench.records.words

    def profit(inputs: Any, begin: int, end: int) -> int:
        run = Run(bench.program, bench.account, quotes[begin:end], bench.engine, inputs, bench.code)
        return int(run.finish().block[at.BALANCE]) - runs.INITIAL

    assert len(found) >= 2
    for one in found:
        window = one.window
        assert one.best is not None
        assert one.after is not None
        before = [profit(inputs, window.begin, window.middle) for inputs in COMBINATIONS]
        assert one.best["inputs"] == COMBINATIONS[before.index(max(before))]
        after = profit(one.best["inputs"], window.middle, window.end)
        assert one.after["netProfit"] == f"{after / 100:.2f}"
    least = walked(bench, 3, 2, "netProfit", lowest=True)
    assert least[0].best["inputs"] != found[0].best["inputs"]


def test_the_days_after_are_stitched(bench: Bench) -> None:
    found = walked(bench, 3, 2, "netProfit")
    whole = stitched(found)
    assert whole is not None
    parts = [one.run for one in found if one.run is not None]
    gains = [
        after - before
        for part in parts
        for before, after in itertools.pairwise([part.initial_minor, *part.days.equity.tolist()])
    ]
    assert figures(whole).closes == tuple(itertools.accumulate(gains, initial=runs.INITIAL))
    assert (whole.days.start_ns[1:] > whole.days.start_ns[:-1]).all()
    assert (whole.curve.ts_ns[1:] > whole.curve.ts_ns[:-1]).all()
    document = document_of(bench, found)
    assert document["outOfSample"]["tradingDays"] == sum(one.window.test_days for one in found)
    total = sum(gains)
    assert document["outOfSample"]["netProfit"] == f"{total / 100:.2f}"


def test_a_window_without_a_metric_is_not_traded(bench: Bench) -> None:
    found = walked(bench, 1, 3, "sharpe")  # of one day there is no deviation
    assert [one.after for one in found] == [None] * len(found)
    document = document_of(bench, found)
    assert (document["outOfSample"], document["efficiency"]) == (None, None)
    assert document["windows"][0]["inputs"] is None


def test_the_command(bench: Bench, tmp_path: Path) -> None:
    words = bench.records.words[:, :3].tolist()
    rows = [f"{t // 10**6},{b / 1e5:.5f},{a / 1e5:.5f}" for t, b, a in words]
    (tmp_path / "quotes.csv").write_text("\n".join(["ts_ms,bid,ask", *rows]) + "\n")
    out = tmp_path / "out.json"
    asked = ["walkforward", "run", "examples/sma_cross.qls", "--axis", "fast=5,15", "--axis"]
    asked += ["slow=30,60", "--ticks", f"EURUSD={tmp_path / 'quotes.csv'}", "--metric", "netProfit"]
    asked += ["--jobs", "1", "--json", str(out)]
    done = CliRunner().invoke(app, [*asked, "--train", "3d", "--test", "2d"])
    assert done.exit_code == 0, done.output
    found = json.loads(out.read_text())
    wanted = document_of(bench, walked(bench, 3, 2, "netProfit"))
    assert found["combinations"] == 4
    assert [row["inputs"] for row in found["windows"]] == [
        row["inputs"] for row in wanted["windows"]
    ]
    assert found["outOfSample"]["netProfit"] == wanted["outOfSample"]["netProfit"]
    for train, said in (("3", "--train: expected trading days, as in 20d, was '3'"), ("0d", "20d")):
        done = CliRunner().invoke(app, [*asked, "--train", train, "--test", "2d"])
        assert said in str(done.exception)
