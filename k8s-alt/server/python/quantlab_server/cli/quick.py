"""`quantlab backtest run` and `quantlab role`, read without typer where nothing is wrong with them.

Typer and what it imports take longer than a run over a million quotes, and a tenth of a role's
start. Whatever is not plainly written here, a request for help or a mistake among it, is left to
typer.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

COMMAND: Final = ("backtest", "run")
ONCE: Final[dict[str, Callable[[str], Any]]] = {
    "--profile": str, "--seed": int, "--json": Path, "--report": Path, "--configs": Path,
    "--news": Path,
}  # fmt: skip
REPEATED: Final = ("--ticks", "--bars", "--set")
FLAGS: Final = {"--details": True, "--no-details": False}
_FIELDS: Final = {"--set": "set_", "--no-details": "details"}

ROLES: Final = ("server", "scheduler")
NAMED_ROLES: Final = ("queue", "worker")


def role_of(arguments: Sequence[str]) -> tuple[str, ...] | None:
    """Return the kind of a role, and its name where it has one; None for what typer has to read."""
    match arguments:
        case ["role", kind] if kind in ROLES:
            return (kind,)
        case ["role", kind, name] if kind in NAMED_ROLES and not name.startswith("-"):
            return kind, name
    return None


def asked_of(arguments: Sequence[str]) -> dict[str, Any] | None:
    """Return the fields of `backtests.single.Asked`; None for what typer has to read."""
    if tuple(arguments[: len(COMMAND)]) != COMMAND:
        return None
    found: dict[str, Any] = {}
    waiting = iter(arguments[len(COMMAND) :])
    for argument in waiting:
        if argument in FLAGS:
            found["details"] = FLAGS[argument]
        elif not argument.startswith("-") and "strategy" not in found:
            found["strategy"] = Path(argument)
        elif not _take(argument, waiting, found):
            return None
    return found if "strategy" in found else None


def _take(argument: str, waiting: Iterator[str], found: dict[str, Any]) -> bool:
    """Read an option and its value; False where either is none."""
    name, equals, value = argument.partition("=")
    if name not in ONCE and name not in REPEATED:
        return False
    if not equals:
        value = next(waiting, "-")
    if not value or value.startswith("-"):
        return False
    field = _FIELDS.get(name, name.removeprefix("--"))
    if name in REPEATED:
        found.setdefault(field, []).append(value)
    elif ONCE[name] is int and not (value.isascii() and value.isdecimal()):
        return False
    else:
        found[field] = ONCE[name](value)
    return True
