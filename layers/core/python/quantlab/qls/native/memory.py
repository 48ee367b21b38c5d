"""State words, locals, rings and histories."""

from quantlab.qls.ir import Ins
from quantlab.qls.native.operations import LLVM_TYPES
from quantlab.qls.native.text import NONE, Text


def select(text: Text, ins: Ins) -> None:
    """Write a choice between two computed values."""
    test, then, other = (text.names[arg] for arg in ins.args)
    llvm = LLVM_TYPES[text.types[ins.out]]
    text.lines.append(f"{text.names[ins.out]} = select i1 {test}, {llvm} {then}, {llvm} {other}")


def load(text: Text, ins: Ins) -> None:
    """Write a load of a fixed word."""
    text.load_from(ins.out, text.word(ins.imm), word=ins.imm)


def store(text: Text, ins: Ins) -> None:
    """Write a store to a fixed word, in a flat branch only where it is taken."""
    text.put(ins.args[0], text.word(ins.imm))


def local_get(text: Text, ins: Ins) -> None:
    """Write a load of a local."""
    llvm = LLVM_TYPES[text.types[ins.out]]
    text.lines.append(f"{text.names[ins.out]} = load {llvm}, ptr %l{ins.imm}")


def local_set(text: Text, ins: Ins) -> None:
    """Write a store to a local."""
    register = ins.args[0]
    text.keep(LLVM_TYPES[text.types[register]], text.names[register], f"%l{ins.imm}")


def _at(text: Text, index: str, base: int) -> str:
    number = text.fresh()
    text.lines.append(
        f"%q{number} = getelementptr inbounds double, ptr {text.word(base)}, i64 {index}"
    )
    return f"%q{number}"


def _ring_at(text: Text, register: int, imm: tuple[int, int]) -> str:
    base, capacity = imm
    index, number = text.names[register], text.fresh()
    text.lines.append(
        f"%i{number} = icmp ult i64 {index}, {capacity}\n"
        f"%j{number} = select i1 %i{number}, i64 {index}, i64 0"
    )
    return _at(text, f"%j{number}", base)


def ring_get(text: Text, ins: Ins) -> None:
    """Write a load from a ring."""
    text.load_from(ins.out, _ring_at(text, ins.args[0], ins.imm), ins.imm[0])


def ring_put(text: Text, ins: Ins) -> None:
    """Write a store to a ring."""
    text.put(ins.args[1], _ring_at(text, ins.args[0], ins.imm), ins.imm[0])


def push(text: Text, ins: Ins) -> None:
    """Write a push onto a history."""
    head, base, capacity = ins.imm
    number = text.fresh()
    text.lines.append(
        f"%c{number} = load i64, ptr {text.word(head)}{text.tags.get(-1, '')}\n"
        f"%d{number} = add i64 %c{number}, 1\n"
        f"%b{number} = and i64 %d{number}, {capacity - 1}\n"
        f"store i64 %b{number}, ptr {text.word(head)}{text.tags.get(-1, '')}"
    )
    text.put(ins.args[0], _at(text, f"%b{number}", base), base)


def history_get(text: Text, ins: Ins) -> None:
    """Write a load from a history; what is further back than it goes is nothing."""
    head, base, capacity = ins.imm
    back, number, out = text.names[ins.args[0]], text.fresh(), text.names[ins.out]
    text.lines.append(
        f"%c{number} = load i64, ptr {text.word(head)}{text.tags.get(-1, '')}\n"
        f"%d{number} = sub i64 %c{number}, {back}\n"
        f"%b{number} = and i64 %d{number}, {capacity - 1}"
    )
    at = _at(text, f"%b{number}", base)
    type_ = text.types[ins.out]
    llvm = "i64" if type_ == "b" else LLVM_TYPES[type_]
    text.lines.append(f"%v{number} = load {llvm}, ptr {at}{text.tags.get(base, '')}")
    value = f"%v{number}"
    if type_ == "b":
        text.lines.append(f"%t.{number} = icmp ne i64 {value}, 0")
        llvm, value = "i1", f"%t.{number}"
    text.lines.append(
        f"%i{number} = icmp ult i64 {back}, {capacity}\n"
        f"{out} = select i1 %i{number}, {llvm} {value}, {llvm} {NONE[type_]}"
    )
