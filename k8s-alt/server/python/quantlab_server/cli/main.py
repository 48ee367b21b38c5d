"""The `quantlab` command: finds the commands, turns refusals into one sentence."""

import sys
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from quantlab_server.refusal import Refusal

# Each command lives in a module of its name, as a group `app` or as a function of that name.
# A module is imported when its command is asked for: every process of the platform starts here.
GROUPS: Final = (
    "aws-local", "calendars", "db", "role", "tenant", "keys", "signal", "audit", "inbox", "rules",
    "replay", "bad-ticks", "halts", "qls", "backtest", "challenge", "sweep",
    "walkforward", "montecarlo", "strategy",
)  # fmt: skip
COMMANDS: Final = {
    "up": "up",
    "down": "down",
    "watch": "watch",
    "demo": "demo",
    "openapi": "openapi",
}


class _Commands(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        del ctx
        return [*COMMANDS, *GROUPS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        del ctx
        if cmd_name in COMMANDS:
            single = typer.Typer(add_completion=False)
            single.command(cmd_name)(getattr(_module(COMMANDS[cmd_name]), cmd_name))
            return get_command(single)
        if cmd_name in GROUPS:
            group = get_group(_module(cmd_name.replace("-", "_")).app)
            group.name = cmd_name
            return group
        return None


def _module(name: str) -> Any:
    return import_module(f"quantlab_server.cli.{name}")


class _Cli(typer.Typer):
    def __call__(self, *arguments: Any, **options: Any) -> Any:
        try:
            return super().__call__(*arguments, **options)
        except Refusal as refusal:
            sys.stderr.write(f"{refusal}\n")
            sys.exit(1)


app = _Cli(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _quantlab() -> None:
    """Run and look after QuantLabEngine."""
