"""What a program asks of its account that nobody answers live: it is refused before it runs."""

from collections.abc import Iterator
from typing import Final

from quantlab.live.terms import NotLive
from quantlab.qls import ir
from quantlab.qls.ir import Ins, Program

_MODIFY: Final = ir.ORDER_VERBS.index("modify")
_EQUITY: Final = {"equity", "day_profit"}


def refuse_unknown(program: Program) -> None:
    """Raise NotLive for what a program asks and nobody answers: it would trade on a guess."""
    for read in program.reads:
        if (read.scope, read.field) == ("account", "free_margin"):
            raise NotLive("expected a strategy without free_margin, which is not told live yet")


def refuse_unsent(program: Program) -> None:
    """Raise NotLive for orders that are not sent: a strategy that gives some would stand half."""
    for handler in program.handlers:
        for ins in _instructions(handler.body):
            if ins.op == "order":
                _refuse_unsent(ins.imm)


def _refuse_unsent(spec: ir.OrderSpec) -> None:
    if ir.SIZE_UNITS[spec.size_unit] == "equity_percent":
        raise NotLive("expected sizes in lots or risk: equity_percent is not sent live yet")
    if spec.verb == _MODIFY:
        raise NotLive("expected a strategy without modify: changes of orders are not sent live yet")


def sees_equity(program: Program) -> bool:
    """Say whether a program reads what every position of its account moves."""
    return any(
        read.scope == "rule" or (read.scope == "account" and read.field in _EQUITY)
        for read in program.reads
    )


def _instructions(block: tuple[Ins, ...]) -> Iterator[Ins]:
    for ins in block:
        yield ins
        if ins.op == "if":
            yield from _instructions(ins.imm[0])
            yield from _instructions(ins.imm[1])
        elif ins.op == "loop":
            yield from _instructions(ins.imm.body)
