"""`quantlab montecarlo run`: the trades of a written result, simulated."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support import backtest_runs as runs
from typer.testing import CliRunner

from quantlab.backtest.results.finished import heading_of, of_finished
from quantlab.backtest.results.metrics.figures import figures
from quantlab.backtest.results.montecarlo import bootstrap_trades, shuffle_trades
from quantlab.backtest.results.summary import details, document
from quantlab_edge.backtest import EngineFiles
from quantlab_server.cli.main import app


def command(file: Path, *more: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["montecarlo", "run", str(file), *more])
    return done.exit_code, done.output + str(done.exception or "")


def written(folder: Path, value: Any) -> Path:
    file = folder / "result.json"
    file.write_text(json.dumps(value))
    return file


def test_the_trades_of_a_run_are_simulated(engine: EngineFiles, tmp_path: Path) -> None:
    quotes = runs.walk(5_000)
    finished = runs.finished(engine, runs.program("sma_cross"), quotes)
    found = figures(of_finished(finished, quotes))
    file = written(tmp_path, document(found, heading_of(finished)) | details(found))
    out = tmp_path / "out.json"
    code, shown = command(
        file, "--paths", "500", "--seed", "9", "--ruin", "9999900.00", "--json", str(out)
    )
    assert code == 0, shown
    simulated = json.loads(out.read_text())
    assert simulated["trades"] == len(found.profits) < len(found.trades) + 1
    assert simulated["traceHash"] == finished.trace_hash()
    for name, simulate in (("shuffled", shuffle_trades), ("bootstrapped", bootstrap_trades)):
        wanted = simulate(found.profits, runs.INITIAL, 500, 9, 9_999_900_00)
        assert simulated[name]["end"]["p50"] == f"{wanted.end.percentiles[50] / 100:.2f}"
        assert simulated[name]["maxDrawdown"]["most"] == f"{wanted.max_drawdown.most / 100:.2f}"
        assert simulated[name]["ruined"] == wanted.ruined
        assert simulated[name]["losing"] == wanted.losing


@pytest.mark.parametrize(
    ("value", "more", "said"),
    [
        ({"format": 1}, [], "expected the results of quantlab backtest run --details --json"),
        ([], [], "expected an object"),
        (
            {"account": {"initialBalance": "100.00"}, "tradeList": [{"profit": "1.00"}]}, [],
            "expected trades with profit and exitTime",
        ),
        (
            {
                "account": {"initialBalance": "100.00"},
                "tradeList": [{"profit": "1.001", "exitTime": "2026-01-01T00:00:00Z"}],
            },
            [], "expected amounts of 2 decimals",
        ),
        (
            {
                "account": {"initialBalance": "100.00"},
                "tradeList": [{"profit": "1.00", "exitTime": None}],
            },
            [], "expected trades and paths, was 0 and 10000",
        ),
        (
            {"account": {"initialBalance": "100.00"}, "tradeList": []}, ["--ruin", "x"],
            "--ruin: expected an amount of at most 2 decimals, was 'x'",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_simulated_is_named(
    tmp_path: Path, value: Any, more: list[str], said: str
) -> None:
    code, shown = command(written(tmp_path, value), *more)
    assert (code, said in shown) == (1, True), shown
