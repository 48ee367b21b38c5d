"""Sweeps: axes against what a strategy says of its inputs, rows against single runs, resuming."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support import backtest_runs as runs
from typer.testing import CliRunner

from quantlab.backtest.results.finished import of_finished
from quantlab.backtest.results.metrics.figures import figures
from quantlab.backtest.results.metrics.table import METRICS, as_json
from quantlab.backtest.running import Run
from quantlab_edge.backtest import EngineFiles, KeptCode, Records
from quantlab_server.backtests.accounts import Configured
from quantlab_server.backtests.axes import axes_of, drawn, grid
from quantlab_server.backtests.evaluating import WITHOUT_ROWS, Evaluator, Job, processes
from quantlab_server.backtests.given import Bench
from quantlab_server.backtests.sweeping import ranked
from quantlab_server.cli.main import app
from quantlab_server.refusal import Refusal

SOURCE = """strategy "Inputs"

input fast = int(10, min=2, max=200, step=9)
input edge = float(0.0, min=0.0, max=1.0)
input free = float(1.0)
input mode = choice("a", options=["a", "b"])
input flag = bool(true)
input note = string("x")

on tick
    if flag and mode == "a" and free > edge and fast > 2
        log("on")
"""
DAY_TICKS = 30_000


def axes(*given: str, fixed: Any = ()) -> Any:
    return axes_of(runs.source_program(SOURCE), given, dict(fixed))


def test_an_axis_has_the_values_it_names() -> None:
    found = axes("fast=5..20:5", "free=0.1..0.3:0.1", "flag", "mode")
    assert [axis.values for axis in found] == [
        (5, 10, 15, 20), (0.1, 0.2, 0.3), (False, True), ("a", "b"),
    ]  # fmt: skip
    assert axes("fast=2..4")[0].values == (2, 3, 4)
    assert axes("fast=9, 3")[0].values == (9, 3)
    assert axes("fast")[0].values == tuple(range(2, 201, 9))
    assert list(grid(axes("flag", "fast=2,3"))) == [
        {"flag": flag, "fast": fast} for flag in (False, True) for fast in (2, 3)
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("slow=1..2", "--axis: expected one of fast, edge, free, mode, flag, note, was 'slow'"),
        ("fast=1..5", "--axis: fast: expected 2 to 200, was 1"),
        ("fast=5,500", "--axis: fast: expected 2 to 200, was 500"),
        ("fast=5..x", "fast: expected whole numbers as in 5..20:5, was 'x' in '5..x'"),
        ("fast=5..9:0.5", "expected whole numbers"),
        ("fast=9..5", "fast: expected the least first, was '9..5'"),
        ("free=0..1:0", "free: expected a step above 0"),
        ("free=0..1:0.000001", "expected at most 100,000 values"),
        ("fast=5,5", "fast: expected distinct values, was '5,5'"),
        ("fast=", "fast: expected int, was ''"),
        ("mode=c", "mode: expected one of a, b, was 'c'"),
        ("flag=yes", "flag: expected bool, was 'yes'"),
        ("free", "the strategy does not say its least and its most"),
        ("note=a,b", "note: a string is fixed when a strategy is compiled"),
    ],
)
def test_a_bad_axis_is_named(given: str, said: str) -> None:
    with pytest.raises(Refusal) as caught:
        axes(given)
    assert said in str(caught.value)


def test_axes_that_clash_are_refused() -> None:
    with pytest.raises(Refusal, match="expected an input once, was in --axis already"):
        axes("flag", "flag=true")
    with pytest.raises(Refusal, match="expected an input once, was in --set already"):
        axes("flag", fixed={"flag": True})
    with pytest.raises(Refusal, match=r"expected a step, as in .*, or --random"):
        list(grid(axes("edge")))
    with pytest.raises(Refusal, match="expected at most 1,000,000 combinations"):
        list(grid(axes("free=0..1:0.0001", "edge=0..1:0.001")))


def test_drawn_combinations_are_distinct_and_those_of_their_seed() -> None:
    space = axes("fast=5..20:5", "edge", "mode")
    found = drawn(space, 50, 3)
    assert len({tuple(one.values()) for one in found}) == 50
    assert {one["fast"] for one in found} == {5, 10, 15, 20}
    assert all(0 <= one["edge"] < 1 for one in found)
    assert found == drawn(space, 50, 3)
    assert found[:20] == drawn(space, 20, 3)
    assert found != drawn(space, 50, 4)
    assert len(drawn(axes("mode", "flag"), 50, 3)) == 4


def test_rows_are_those_of_single_runs(engine: EngineFiles, code: KeptCode) -> None:
    quotes, program, owner = runs.walk(DAY_TICKS), runs.program("sma_cross"), runs.account()
    quotes[:, 0] = runs.START_NS + (quotes[:, 0] - runs.START_NS) * 40  # some two weeks
    bench = Bench(program, Configured(owner, {}), Records(quotes, 0, ""), engine, code)
    inputs, part = {"fast": 7, "slow": 33}, quotes[5_000:]
    finished = Run(program, owner, part, engine, inputs, code).finish()
    wanted = figures(of_finished(finished, part))
    assert len(wanted.closes) > 10
    for metric in METRICS:
        if metric.key not in WITHOUT_ROWS and metric.key not in ("sqn", "averageMae", "trades"):
            continue
        row = Evaluator(bench, metric.key)(Job(inputs, 5_000, DAY_TICKS))
        assert row["value"] == as_json(metric, metric.of(wanted), 2), metric.key
        assert (row["fills"], row["ticks"]) == (len(finished.fills), len(part))
    traced = Evaluator(bench, "sharpe", traced=True)(Job(inputs, 5_000, DAY_TICKS))
    assert traced["traceHash"] == finished.trace_hash()


def test_the_best_is_first_and_the_undefined_last() -> None:
    rows = [{"value": one} for one in (3, None, "-4.50", 10)]
    assert [row["value"] for row in ranked(rows, lowest=False)] == [10, 3, "-4.50", None]
    assert [row["value"] for row in ranked(rows, lowest=True)] == ["-4.50", 3, 10, None]


def test_more_processes_only_where_they_pay() -> None:
    assert (processes(0, 1_000), processes(3, 1_000)) == (1, 3)
    assert processes(0, 10**12) >= 1


@pytest.fixture
def given(engine: EngineFiles, tmp_path: Path) -> list[str]:
    words = runs.walk(4_000)
    words[:, 0] = runs.START_NS + (words[:, 0] - runs.START_NS) * 300
    rows = [f"{t // 10**6},{b / 1e5:.5f},{a / 1e5:.5f}" for t, b, a in words[:, :3].tolist()]
    (tmp_path / "quotes.csv").write_text("\n".join(["ts_ms,bid,ask", *rows]) + "\n")
    return ["examples/sma_cross.qls", "--ticks", f"EURUSD={tmp_path / 'quotes.csv'}"]


def sweep(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["sweep", "run", *arguments])
    return done.exit_code, done.output + str(done.exception or "")


def test_results_depend_on_no_process_and_a_sweep_resumes(given: list[str], tmp_path: Path) -> None:
    asked = [*given, "--axis", "fast=5..20:5", "--axis", "slow=30,50", "--metric", "netProfit"]
    one, two = tmp_path / "one", tmp_path / "two"
    code, shown = sweep(*asked, "--out", str(one), "--jobs", "1")
    assert code == 0, shown
    assert "8 runs of 8 were made, 32,000 ticks" in shown
    code, shown = sweep(*asked, "--out", str(two), "--jobs", "2", "--trace")
    assert code == 0, shown
    lines = (one / "results.jsonl").read_text().splitlines()
    others = [json.loads(line) for line in (two / "results.jsonl").read_text().splitlines()]
    assert len({row.pop("traceHash") for row in others}) == 8
    assert [json.loads(line) for line in lines] == others
    # What a killed sweep leaves: three rows, and the beginning of a fourth.
    (one / "results.jsonl").write_text("\n".join([*lines[:3], lines[3][:20]]))
    code, shown = sweep(*asked, "--out", str(one), "--jobs", "1")
    assert code == 0, shown
    assert "5 runs of 8 were made" in shown
    assert (one / "results.jsonl").read_text().splitlines() == lines


def test_a_folder_of_another_sweep_is_refused(given: list[str], tmp_path: Path) -> None:
    asked = [*given, "--axis", "fast=5,6", "--out", str(tmp_path / "out"), "--jobs", "1"]
    assert sweep(*asked)[0] == 0
    code, shown = sweep(*asked, "--set", "lots=2.0")
    assert (code, "holds results of another sweep: fixed differ" in shown) == (1, True), shown
    (tmp_path / "out" / "results.jsonl").write_text("nonsense\n")
    code, shown = sweep(*asked)
    assert (code, "line 1: expected a result of a sweep" in shown) == (1, True), shown


def test_a_search_asks_for_the_same_again(given: list[str], tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    asked = [*given, "--axis", "fast=5..20", "--axis", "slow=30..60:10", "--optuna", "20"]
    asked += ["--metric", "netProfit", "--jobs", "1"]
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    code, shown = sweep(*asked, "--json", str(first), "--out", str(tmp_path / "kept"))
    assert code == 0, shown
    assert sweep(*asked, "--json", str(second))[0] == 0
    assert first.read_text() == second.read_text()
    rows = json.loads(first.read_text())["rows"]
    assert all(5 <= row["inputs"]["fast"] <= 20 for row in rows)
    assert "0 runs of" in sweep(*asked, "--out", str(tmp_path / "kept"))[1]


def test_what_cannot_be_swept_is_refused(given: list[str]) -> None:
    for more, said in (
        (["--axis", "fast=5", "--metric", "luck"], "--metric: expected one of netProfit"),
        (["--axis", "fast=5", "--random", "2", "--optuna", "2"], "expected --random or --optuna"),
        (["--axis", "fast=5", "--set", "lots=900.0"], "--set: lots: expected 0.01 to 100.0"),
    ):
        code, shown = sweep(*given, *more)
        assert (code, said in shown) == (1, True), shown
