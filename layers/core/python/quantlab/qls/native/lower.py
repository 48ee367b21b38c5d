"""The checked IR to LLVM assembly: `lower`. `abi.py` says what the functions take and give."""

from collections.abc import Sequence

from quantlab.qls.ir import Handler, Program
from quantlab.qls.native import abi
from quantlab.qls.native.control import block
from quantlab.qls.native.operations import DECLARATIONS, LLVM_TYPES
from quantlab.qls.native.regions import ranges_of, tags_of
from quantlab.qls.native.text import ZEROS, Text, constant

_STANDALONE = 'nounwind "no-builtins"'
_INLINED = "alwaysinline nounwind"
_RARE = '!0 = !{!"branch_weights", i32 1, i32 1000000}\n'


def lower(
    program: Program, *, inlined: bool = False, numbers: Sequence[frozenset[int]] = ()
) -> str:
    """Return the LLVM assembly of a module with every handler of a program, `@h0`, `@h1`, ....

    The module has no target, no data and calls nothing but LLVM's own intrinsics. inlined marks the
    functions `alwaysinline`, for a module that is linked into an engine: their linkage is external
    all the same, so that the linker finds them; whoever links makes them internal afterwards, and
    the inliner and dead-code elimination leave nothing of them. It also tells LLVM which state
    words never overlap, so that it can keep them in registers from event to event. numbers says, by
    handler, which of its reads are never na nor infinite and below 2^HOST_BOUND. Raises ValueError
    for a program whose rings overlap.
    """
    tags, metadata = tags_of(program) if inlined else ({}, "")
    ranges, bounds = ranges_of(program) if inlined else ({}, "")
    known_reads = numbers or (frozenset(),) * len(program.handlers)
    sites = {site: index for index, site in enumerate(abi.output_sites(program))}
    attributes = _INLINED if inlined else _STANDALONE
    parameters = ", ".join(
        (
            _pointer("state", program.state_words),
            _pointer("reads", len(program.reads)),
            _pointer("out", abi.OUT_WORDS),
        )
    )
    functions = [
        f"define i64 @{handler_name(index)}({parameters}) {attributes} {{\n{body}\n}}"
        for index, body in enumerate(
            _body(handler, Text(handler, sites, tags, ranges, known))
            for handler, known in zip(program.handlers, known_reads, strict=True)
        )
    ]
    return "\n".join((DECLARATIONS, _RARE, metadata, bounds, *functions, ""))


def handler_name(index: int) -> str:
    """Return the symbol of a handler."""
    return f"h{index}"


def _pointer(name: str, words: int) -> str:
    known = f" dereferenceable({words * 8})" if words else ""
    return f"ptr noalias align 8{known} %{name}"


def _body(handler: Handler, text: Text) -> str:
    for register, value in handler.consts:
        text.names[register] = constant(handler.types[register], value)
    for number, type_ in enumerate(handler.slots):
        llvm = LLVM_TYPES[type_]
        text.first.append(f"%l{number} = alloca {llvm}")
        text.first.append(f"store {llvm} {ZEROS[type_]}, ptr %l{number}")
    for register, number in handler.reads:
        llvm = LLVM_TYPES[handler.types[register]]
        text.first.append(f"%reads{number} = getelementptr inbounds i64, ptr %reads, i64 {number}")
        text.first.append(f"%r{register} = load {llvm}, ptr %reads{number}")
    _header(text)
    text.charge(handler.entry_cost)
    block(text, handler.body)
    text.lines.append("%left = load i64, ptr %fuel")
    text.lines.append("store i64 %left, ptr %out.fuel")
    text.lines.append("%placed = load i64, ptr %out.orders")
    text.lines.append("ret i64 %placed")
    return text.finished()


def _header(text: Text) -> None:
    names = {
        "orders": abi.ORDERS, "outputs": abi.OUTPUTS, "placed": abi.PLACED, "fuel": abi.FUEL,
        "trap": abi.TRAP,
    }  # fmt: skip
    for name, word in names.items():
        text.first.append(f"%out.{name} = getelementptr inbounds i64, ptr %out, i64 {word}")
    text.first.append("%fuel = alloca i64")
    text.first.append("%budget = load i64, ptr %out.fuel")
    text.first.append("store i64 %budget, ptr %fuel")
