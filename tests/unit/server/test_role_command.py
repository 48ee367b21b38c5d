"""A role is begun without typer: what is read must be what typer reads, or be left to it."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from quantlab_server.cli import role
from quantlab_server.cli.main import app
from quantlab_server.cli.quick import role_of


@pytest.mark.parametrize(
    "line", ["server", "scheduler", "queue order_execute", "worker market_feed", "worker no_such"]
)
def test_a_plain_line_is_read_as_typer_reads_it(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, ...]] = []
    monkeypatch.setattr(role, "begin", lambda *given: seen.append(given))
    words = ["role", *line.split()]

    result = CliRunner().invoke(app, words)

    assert result.exit_code == 0, result.output
    assert seen == [role_of(words)]


@pytest.mark.parametrize(
    "line",
    [
        "", "role", "role --help", "role queue", "role queue --help", "role server --help",
        "role server twice", "role queue one two", "role nothing", "up", "backtest run s.qls",
    ],
)  # fmt: skip
def test_what_is_not_plain_is_left_to_typer(line: str) -> None:
    assert role_of(line.split()) is None


def test_a_role_imports_nothing_that_only_commands_need() -> None:
    code = (
        "import sys; from quantlab_server.cli import entry; entry._quick(['role', 'server']);"
        "print(*sorted({'typer', 'pygments', 'quantlab_server.cli.main'} & sys.modules.keys()))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "\n"
