"""A run is asked for without typer: what is read must be what typer reads, or be left to it."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from quantlab_server.backtests.single import Asked
from quantlab_server.cli import backtest
from quantlab_server.cli.main import app
from quantlab_server.cli.quick import COMMAND, FLAGS, ONCE, REPEATED, asked_of

READ = (
    "s.qls --ticks EURUSD=a.csv.gz",
    "--ticks EURUSD=a --ticks GBPUSD=b s.qls --bars X=c --seed 7",
    "s.qls --ticks=EURUSD=a --json out.json --report=out.html --profile demo/type",
    "s.qls --news n.json --ticks E=f",
    "s.qls --set fast=3 --set slow=20 --ticks E=f --configs there --details",
    "s.qls --ticks E=f --details --no-details --seed 1 --seed 2",
)
LEFT = (
    "", "--help", "s.qls --help", "s.qls --ticks", "s.qls --ticks --json o", "--ticks E=f",
    "s.qls t.qls", "s.qls --seed -1", "s.qls --seed x", "s.qls --seed ٣", "s.qls --tick E=f",
    "s.qls --json= --ticks E=f", "s.qls -- --ticks E=f", "-s s.qls",
)  # fmt: skip


@pytest.mark.parametrize("line", READ)
def test_a_plain_line_is_read_as_typer_reads_it(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Asked] = []
    monkeypatch.setattr(backtest, "carry_out", seen.append)
    words = [*COMMAND, *line.split()]

    result = CliRunner().invoke(app, words)
    found = asked_of(words)

    assert result.exit_code == 0, result.output
    assert found is not None
    assert _plain(Asked(**found)) == _plain(seen[0])


@pytest.mark.parametrize("line", LEFT)
def test_what_is_not_plain_is_left_to_typer(line: str) -> None:
    assert asked_of([*COMMAND, *line.split()]) is None


@pytest.mark.parametrize("line", ["", "backtest", "backtest lookahead s.qls", "qls check s.qls"])
def test_other_commands_are_left_to_typer(line: str) -> None:
    assert asked_of(line.split()) is None


def test_every_option_of_the_command_is_known() -> None:
    command = get_command(backtest.app).commands["run"]  # type: ignore[attr-defined]
    options = [one for one in command.params if one.param_type_name == "option"]
    spelled = {name for one in options for name in (*one.opts, *one.secondary_opts)}
    repeated = {name for one in options for name in one.opts if one.multiple}

    assert spelled - {"--help"} == {*ONCE, *REPEATED, *FLAGS}
    assert repeated == set(REPEATED)


def _plain(asked: Asked) -> dict[str, Any]:
    fields = asdict(asked)
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()
    } | {"strategy": Path(fields["strategy"])}
