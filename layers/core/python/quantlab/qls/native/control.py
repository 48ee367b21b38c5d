"""A handler's instructions one after the other: branches, loops, integers that may trap."""

from collections.abc import Callable
from typing import Final

from quantlab.qls import limits
from quantlab.qls.ir import Ins
from quantlab.qls.native import effects, memory
from quantlab.qls.native.flat import is_flat
from quantlab.qls.native.operations import (
    BINARY,
    OVERFLOWING,
    UNARY,
    ZERO,
    checked,
    floor_division,
    floor_remainder,
)
from quantlab.qls.native.text import Text

_MIN: Final = str(limits.INT_MIN)


def block(text: Text, instructions: tuple[Ins, ...]) -> None:
    """Write instructions one after the other."""
    names, lines, magnitudes = text.names, text.lines, text.magnitudes
    for ins in instructions:
        op, out, args, _ = ins
        if magnitudes.is_worthwhile:
            if magnitudes.is_zero(op, args):
                names[out] = ZERO
                continue
            magnitudes.follow(op, out, args)
        binary = BINARY.get(op)
        if binary is not None:
            lines.append(binary(names[out], names[args[0]], names[args[1]]))
            continue
        unary = UNARY.get(op)
        if unary is not None:
            lines.append(unary(names[out], names[args[0]]))
        else:
            _WRITERS[op](text, ins)


def branch(text: Text, ins: Ins) -> None:
    """Write an `if`, as selections where it is simple."""
    test = text.names[ins.args[0]]
    then, other = ins.imm
    if text.taken or is_flat(ins.imm):
        _flat(text, test, then, other)
        return
    number = text.fresh()
    after = f"a{number}"
    no = f"e{number}" if other else after
    text.lines.append(f"br i1 {test}, label %t{number}, label %{no}")
    text.begin(f"t{number}")
    block(text, then)
    text.lines.append(f"br label %{after}")
    if other:
        text.begin(no)
        block(text, other)
        text.lines.append(f"br label %{after}")
    text.begin(after)


def _flat(text: Text, test: str, then: tuple[Ins, ...], other: tuple[Ins, ...]) -> None:
    outer = text.taken
    for side, is_then in ((then, True), (other, False)):
        if not side:
            continue
        taken = test
        if not is_then:
            taken = f"%p{text.fresh()}"
            text.lines.append(f"{taken} = xor i1 {test}, true")
        if outer:
            both = f"%p{text.fresh()}"
            text.lines.append(f"{both} = and i1 {outer}, {taken}")
            taken = both
        text.taken = taken
        block(text, side)
    text.taken = outer


def loop(text: Text, ins: Ins) -> None:
    """Write a loop; its register counts from low to high, a counter beside it the turns."""
    low, high = (text.names[arg] for arg in ins.args)
    body, turns_max, cost = ins.imm
    number, index = text.fresh(), text.names[ins.out]
    before = text.label
    head, done = f"loop{number}", f"done{number}"
    text.lines.append(f"%any{number} = icmp sle i64 {low}, {high}")
    text.lines.append(f"br i1 %any{number}, label %{head}, label %{done}")
    text.begin(head)
    text.lines.append(
        f"{index} = phi i64 [{low}, %{before}], [%next{number}, %latch{number}]\n"
        f"%turn{number} = phi i64 [0, %{before}], [%turns{number}, %latch{number}]\n"
        f"%over{number} = icmp sge i64 %turn{number}, {turns_max}"
    )
    text.trap_if(f"%over{number}", "loop_limit")
    text.charge(cost)
    block(text, body)
    text.lines.append(f"%last{number} = icmp eq i64 {index}, {high}")
    text.lines.append(f"br i1 %last{number}, label %{done}, label %latch{number}")
    text.begin(f"latch{number}")
    text.lines.append(
        f"%next{number} = add i64 {index}, 1\n"
        f"%turns{number} = add i64 %turn{number}, 1\n"
        f"br label %{head}"
    )
    text.begin(done)


def overflowing(text: Text, ins: Ins) -> None:
    """Write a sum, difference or product that traps beyond 64 bits."""
    out = text.names[ins.out]
    a, b = (text.names[arg] for arg in ins.args)
    text.lines.append(checked(out, ins.op, a, b))
    text.trap_if(f"{out}v", "int_overflow")


def division(text: Text, ins: Ins) -> None:
    """Write a floor division or its remainder, whose divisor may be a constant."""
    out = text.names[ins.out]
    a, b = (text.names[arg] for arg in ins.args)
    if b == "0" or b.startswith("%"):
        text.lines.append(f"{out}z = icmp eq i64 {b}, 0")
        text.trap_if(f"{out}z", "division_by_zero")
    if ins.op == "imod":
        text.lines.append(floor_remainder(out, a, b))
        return
    if b == "-1" or b.startswith("%"):
        text.lines.append(
            f"{out}i = icmp eq i64 {a}, {_MIN}\n"
            f"{out}j = icmp eq i64 {b}, -1\n"
            f"{out}o = and i1 {out}i, {out}j"
        )
        text.trap_if(f"{out}o", "int_overflow")
    text.lines.append(floor_division(out, a, b))


_WRITERS: Final[dict[str, Callable[[Text, Ins], None]]] = {
    **dict.fromkeys(OVERFLOWING, overflowing),
    "idiv": division,
    "imod": division,
    "select": memory.select,
    "load": memory.load,
    "store": memory.store,
    "rget": memory.ring_get,
    "rput": memory.ring_put,
    "hpush": memory.push,
    "hget": memory.history_get,
    "lget": memory.local_get,
    "lset": memory.local_set,
    "if": branch,
    "loop": loop,
    "order": effects.order,
    "output": effects.output,
}
