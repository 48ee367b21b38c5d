"""What is wrong on the command lines of backtests is said in one sentence."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from quantlab_server.cli.main import app
from quantlab_server.refusal import Refusal

ROWS = "".join(f"{1_704_067_200_000 + k},1.1000{k % 3},1.1000{k % 3 + 1}\n" for k in range(9))


@pytest.fixture
def quotes(tmp_path: Path) -> Path:
    file = tmp_path / "q.csv"
    file.write_text("ts_ms,bid,ask\n" + ROWS)
    return file


@pytest.fixture
def strategy(tmp_path: Path) -> Path:
    file = tmp_path / "s.qls"
    file.write_text(
        'strategy "S"\ninput lots = float(1.0, min=0.0)\ninput any = float(1.0)\n'
        'on tick\n    plot("x", lots + any)\n'
    )
    return file


def said(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert isinstance(done.exception, Refusal), done.output
    return f"{done.output}{done.exception}"


@pytest.mark.parametrize("option", ["json", "report"])
def test_a_place_that_cannot_be_written_is_refused_before_the_run(
    strategy: Path, quotes: Path, tmp_path: Path, option: str
) -> None:
    for place in (tmp_path, tmp_path / "none" / "o"):
        found = said(
            "backtest", "run", strategy, "--ticks", f"EURUSD={quotes}", f"--{option}", place
        )
        assert found == (
            f"--{option}: expected a file in a folder that is there, was {place}"
        )  # nothing is said of a run


@pytest.mark.parametrize(
    "command",
    [
        ("sweep", "run", "--axis", "lots=1,2"),
        ("walkforward", "run", "--axis", "lots=1,2", "--train", "1d", "--test", "1d"),
        ("challenge", "run", "--profile", "a/b"),
    ],
)
def test_other_commands_refuse_such_a_place_too(
    strategy: Path, quotes: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    words = (*command, strategy, "--ticks", f"EURUSD={quotes}", "--json", tmp_path)
    assert "--json: expected a file in a folder that is there" in said(*words)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (("--set", "lots=2", "--set", "lots=3"), "expected one value of lots, was a second: '3'"),
        (("--set", "lots=-1"), "--set: lots: expected at least 0.0, was -1.0"),
        (("--set", "any=nan"), "--set: any: expected a finite number, was nan"),
        (("--set", "any=1e999"), "--set: any: expected a finite number, was inf"),
        (("--ticks", "EURUSD=other.csv"), "expected one file of EURUSD, was a second: other.csv"),
        (("--bars", "EURUSD=other.csv"), "expected one file of EURUSD, was a second: other.csv"),
    ],
)
def test_what_is_given_twice_or_out_of_bounds_is_said(
    strategy: Path, quotes: Path, given: tuple[str, ...], wanted: str
) -> None:
    assert wanted in said("backtest", "run", strategy, "--ticks", f"EURUSD={quotes}", *given)


def test_a_run_says_of_when_its_quotes_are(strategy: Path, quotes: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.json"
    words = ("backtest", "run", strategy, "--ticks", f"EURUSD={quotes}", "--json", out)
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    assert "2024-01-01T00:00:00.000000Z to 2024-01-01T00:00:00.008000Z" in done.output
    assert "profit factor none" in done.output
    found = json.loads(out.read_text())
    assert found["traceHash"] in done.output


def test_who_asks_for_volumes_of_bars_is_told_that_they_are_not_read(tmp_path: Path) -> None:
    file, strategy = tmp_path / "b.csv", tmp_path / "v.qls"
    rows = "".join(f"2024-01-01T0{hour}:00:00Z,1.1,1.2,1.0,1.1,500\n" for hour in range(4))
    file.write_text("time,open,high,low,close,volume\n" + rows)
    strategy.write_text('on bar(1h)\n    plot("v", obv())\n')
    done = CliRunner().invoke(app, ["backtest", "run", str(strategy), "--bars", f"EURUSD={file}"])
    assert done.exit_code == 0, done.output
    assert "the volumes of a file of bars are not read" in done.output
