"""What a program asks of its account that only some runs must be told."""

from typing import Final

from quantlab.qls.ir import Program

_EQUITY: Final = {"equity", "day_profit", "free_margin"}


def sees_equity(program: Program) -> bool:
    """Say whether a program reads what every position of its account moves."""
    return any(
        read.scope == "rule" or (read.scope == "account" and read.field in _EQUITY)
        for read in program.reads
    )


def sees_margin(program: Program) -> bool:
    """Say whether a program reads what positions use and working orders reserve as margin."""
    return any((read.scope, read.field) == ("account", "free_margin") for read in program.reads)
