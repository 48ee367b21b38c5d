"""What compiled handlers and their host agree on.

Each handler k of a program is one function

    i64 @h<k>(ptr noalias %state, ptr noalias %reads, ptr noalias %out)

All three point to 8-byte words, little-endian, aligned to 8; they never overlap.

state   Program.state_words words, laid out as `ir.py` says: `Program.fills`, then inputs, then what
        handlers store. A bool is 0 or 1. A double may be any NaN in memory; whoever shows state
        writes NaN as `ir.CANONICAL_NAN_BITS` (`float_words` says which words are doubles).
reads   one word for each entry of Program.reads, a double or an i64 by `Read.type`. The host fills
        those of `Handler.reads` before the call; a handler never writes here.
out     `OUT_WORDS` words: a header, the orders of this event, the outputs of this event.

    ORDERS       orders of this event. The host sets 0 before an event's first handler.
    OUTPUTS      outputs of this event. The host sets 0 before an event's first handler.
    PLACED       the strategy's running order number; the host sets 0 once, before the first event.
                 Order j (from 0) of an event has the id PLACED - ORDERS + j + 1.
    FUEL         the host sets the budget before each handler; after it, what is left. Used is
                 budget - FUEL; negative after the trap `fuel`.
    TRAP         0, or the code of the trap (an index of TRAPS). A strategy that has trapped has
                 stopped: the host calls none of its handlers again.
    FUEL_USED    not touched by handlers; trampolines add up what events have used.

    Order j begins at ORDERS_AT + j * ORDER_WORDS: the fields of `ir.OrderSpec` in their order, with
    tag -1 for none, then `ir.ORDER_ARGS`, the first four i64, the others doubles, NaN canonical.
    Output j begins at OUTPUTS_AT + j * OUTPUT_WORDS: the index in `output_sites(program)`, the
    count of values, then the values by `OutputSite.types`: double (NaN canonical), i64, 0 or 1.

A handler returns ORDERS (>= 0), or the negated code of its trap. After a trap the state is as the
trapping instruction found it, ORDERS and OUTPUTS are 0, and PLACED counts the dropped orders too,
as it does in the interpreter.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from quantlab.qls import ir, limits, outputs
from quantlab.qls.ir import ORDER_WORDS, Ins, Program

ABI_VERSION: Final = 1

ORDERS, OUTPUTS, PLACED, FUEL, TRAP, FUEL_USED = range(6)
HEADER_WORDS: Final = 8
OUTPUT_HEAD: Final = 2
"""The site and the count of values."""
OUTPUT_WORDS: Final = OUTPUT_HEAD + outputs.VALUES_MAX
ORDERS_AT: Final = HEADER_WORDS
OUTPUTS_AT: Final = ORDERS_AT + limits.ORDERS_PER_EVENT_MAX * ORDER_WORDS
OUT_WORDS: Final = OUTPUTS_AT + limits.OUTPUTS_PER_EVENT_MAX * OUTPUT_WORDS
ORDER_INTS: Final = 4
"""How many of `ir.ORDER_ARGS` are i64; they come first."""

TRAPS: Final = (
    "", "fuel", "int_overflow", "division_by_zero", "loop_limit", "order_limit", "output_limit",
    "rows_limit",
)  # fmt: skip
"""Reasons of `semantics.Trap` by code; the last is a host's, for a run with too many orders."""


class OutputSite(NamedTuple):
    """An `output` of the program: its kind, its text in Program.strings, its values' types."""

    kind: str
    text: int
    types: str


def instructions(block: tuple[Ins, ...]) -> Iterator[Ins]:
    """Yield the instructions of a block and of those within it, outer before inner."""
    for ins in block:
        yield ins
        if ins.op == "if":
            yield from instructions(ins.imm[0])
            yield from instructions(ins.imm[1])
        elif ins.op == "loop":
            yield from instructions(ins.imm.body)


def output_sites(program: Program) -> tuple[OutputSite, ...]:
    """Return every `output` of a program once, in the order of `instructions` over its handlers."""
    sites: dict[OutputSite, None] = {}
    for handler in program.handlers:
        for ins in instructions(handler.body):
            if ins.op == "output":
                sites[output_site(ins, handler.types)] = None
    return tuple(sites)


def output_site(ins: Ins, types: str) -> OutputSite:
    """Return the site of one `output` in a handler of these register types."""
    return OutputSite(ins.imm.kind, ins.imm.text, "".join(types[arg] for arg in ins.args))


def float_words(program: Program) -> tuple[int, ...]:
    """Return the indexes of the state words that hold doubles, ascending."""
    words = {known.word for known in program.inputs if known.kind == "float"}
    for fill in program.fills:
        if fill.type == "f":
            words.update(range(fill.start, fill.start + fill.words))
    for handler in program.handlers:
        for ins in instructions(handler.body):
            words.update(_written(ins, handler.types))
    return tuple(sorted(words))


def _written(ins: Ins, types: str) -> range:
    """Return the words an instruction may write a double to."""
    if ins.op == "rput":
        base, capacity = ins.imm
        return range(base, base + capacity)
    if ins.op == "store" and types[ins.args[0]] == "f":
        return range(ins.imm, ins.imm + 1)
    if ins.op == "hpush" and types[ins.args[0]] == "f":
        _, base, capacity = ins.imm
        return range(base, base + capacity)
    return range(0)


def spec_words(spec: ir.OrderSpec) -> tuple[int, ...]:
    """Return what an order's record begins with."""
    return tuple(int(word) for word in spec)
