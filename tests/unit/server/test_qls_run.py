"""`quantlab qls run`: a strategy over the rows of a file, in the sandbox."""

import gzip
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from quantlab_server.cli.qls import app
from quantlab_server.refusal import Refusal
from quantlab_server.sandbox import seccomp
from quantlab_server.sandbox.looked import settings
from quantlab_server.sandbox.rows import rows

pytestmark = pytest.mark.skipif(not seccomp.is_known(), reason="no seccomp filter for this system")

STRATEGY = (
    'input n = int(2, min=1, max=9)\ninput word = string("up")\non start\n    log("begun")\n'
    'on bar(1m)\n    m = sma(close, n)\n    plot("mean", m)\n    if close > m\n'
    '        buy(1, sl=low, tag="x")\n        alert("{} {}", close, close > open)\n'
)
BARS = (
    "time,Open,High,Low,Close\n2024-01-01T00:00:00Z,1,2,0.5,1\n2024-01-01 00:01:00,1,3,0.5,3\n\n"
    "1704067320000,3,3,1,1\n"
)


def run(tmp_path: Path, *options: str, strategy: str = STRATEGY, bars: str = BARS):
    (tmp_path / "s.qls").write_text(strategy)
    (tmp_path / "bars.csv").write_text(bars)
    arguments = ["run", str(tmp_path / "s.qls"), "--bars", str(tmp_path / "bars.csv"), *options]
    return CliRunner().invoke(app, arguments)


def test_it_prints_what_the_strategy_does(tmp_path: Path) -> None:
    lines = [json.loads(line) for line in run(tmp_path, "--json").stdout.splitlines()]
    start = 1_704_067_200 * 10**9
    assert lines == [
        {"row": -1, "timeNs": 0, "kind": "log", "text": "begun"},
        {"row": 0, "timeNs": start, "kind": "plot", "name": "mean", "value": None},
        {"row": 1, "timeNs": start + 60 * 10**9, "kind": "order", "id": 1, "verb": "place",
         "type": "market", "sizeUnit": "lots", "side": 1, "quantity": 1.0, "stop_loss": 0.5},
        {"row": 1, "timeNs": start + 60 * 10**9, "kind": "plot", "name": "mean", "value": 2.0},
        {"row": 1, "timeNs": start + 60 * 10**9, "kind": "alert", "text": "3.0 True"},
        {"row": 2, "timeNs": start + 120 * 10**9, "kind": "plot", "name": "mean", "value": 2.0},
    ]  # fmt: skip


def test_inputs_are_set_by_name_texts_too(tmp_path: Path) -> None:
    plain = run(tmp_path, "--set", "n=3", "--set", "word=down").stdout.splitlines()
    assert plain[0] == "-1 log text=begun"
    assert [line for line in plain if "mean" in line] == [
        "0 plot name=mean value=nan", "1 plot name=mean value=nan",
        "2 plot name=mean value=1.6666666666666667",
    ]  # fmt: skip
    assert settings(["a=1", "b=1.5", "c=true", "d=x=y", "e=[1]"]) == {
        "a": 1, "b": 1.5, "c": True, "d": "x=y", "e": "[1]",
    }  # fmt: skip
    with pytest.raises(Refusal, match="expected INPUT=VALUE"):
        settings(["a"])


def test_a_trap_is_the_last_line(tmp_path: Path) -> None:
    strategy = 'on bar(1m)\n    log("{}", idiv(1, 1 - bar_index))\n'
    lines = run(tmp_path, strategy=strategy).stdout.splitlines()
    assert lines == ["0 log text=1", "1 trap reason=division_by_zero"]


def test_what_cannot_run_is_refused(tmp_path: Path) -> None:
    for strategy, sentence in (
        ('on tick\n    log("x")\n', "no `on bar`"),
        ('on bar(1m)\n    log("x")\non bar(5m)\n    log("y")\n', "one file is one"),
        ('on bar(1m)\n    log("{}", nothing)\n', "Nothing here is called nothing"),
    ):
        with pytest.raises(Refusal, match=sentence):
            _raise(run(tmp_path, strategy=strategy))
    assert run(tmp_path, "--ticks", "x").exit_code == 1
    with pytest.raises(Refusal, match="n: expected 1 to 9, was 10"):
        _raise(run(tmp_path, "--set", "n=10"))


def _raise(result) -> None:
    if result.exception is not None:
        raise result.exception


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "expected a first line with a column open"),
        ("open,high,low\n1,1,1\n", "a column close"),
        ("open,high,low,close\n1,1,1\n", "line 2: expected 4 fields, were 3"),
        ("open,high,low,close\n1,1,1,1\n1,x,1,1\n", "line 3, column high: expected a number"),
        ("time,open,high,low,close\nnoon,1,1,1,1\n", "line 2: expected milliseconds or an ISO"),
        ("open,high,low,close\n1,1,1,\0" + "\n", "expected a number|cannot be read"),
    ],
)
def test_a_file_that_is_wrong_is_refused_by_line(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(Refusal, match=sentence):
        list(rows(path, "bar"))


def test_gzip_and_its_damage(tmp_path: Path) -> None:
    path = tmp_path / "x.csv.gz"
    data = gzip.compress(b"ts_ms,bid,ask\n1000,1.5,1.6\n")
    path.write_bytes(data)
    (host,) = rows(path, "tick")
    assert (host.time_ns, host.values) == (10**9, {"bid": 1.5, "ask": 1.6})
    path.write_bytes(data[:10] + b"\xff" * 20 + data[30:])
    with pytest.raises(Refusal, match="cannot be read"):
        list(rows(path, "tick"))
    path.write_bytes(data[:-10])
    with pytest.raises(Refusal, match="cannot be read"):
        list(rows(path, "tick"))
    with pytest.raises(Refusal, match="cannot be read"):
        list(rows(tmp_path / "none.csv", "tick"))
