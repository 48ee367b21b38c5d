"""Orders and outputs: records of the block `out`."""

from quantlab.qls import ir, limits
from quantlab.qls.ir import Ins
from quantlab.qls.native import abi
from quantlab.qls.native.operations import NAN, ZERO
from quantlab.qls.native.text import Text


def _record(text: Text, counter: str, most: int, reason: str, at: int, words: int) -> str:
    """Take the next record of out; return the number that names it."""
    number = text.fresh()
    text.lines.append(
        f"%n{number} = load i64, ptr %out.{counter}\n"
        f"%full{number} = icmp uge i64 %n{number}, {most}"
    )
    text.trap_if(f"%full{number}", reason)
    text.lines.append(
        f"%m{number} = add i64 %n{number}, 1\n"
        f"store i64 %m{number}, ptr %out.{counter}\n"
        f"%x{number} = mul i64 %n{number}, {words}\n"
        f"%y{number} = add i64 %x{number}, {at}\n"
        f"%z{number} = getelementptr inbounds i64, ptr %out, i64 %y{number}"
    )
    return str(number)


def _field(text: Text, record: str, place: int, llvm: str, value: str) -> None:
    at = f"%z{record}.{place}"
    if llvm == "double" and value.startswith("%"):
        text.lines.append(
            f"{at}n = fcmp uno double {value}, {ZERO}\n"
            f"{at}c = select i1 {at}n, double {NAN}, double {value}"
        )
        value = f"{at}c"
    text.lines.append(f"{at} = getelementptr inbounds i64, ptr %z{record}, i64 {place}")
    text.lines.append(f"store {llvm} {value}, ptr {at}")


def order(text: Text, ins: Ins) -> None:
    """Write an order command and its number."""
    record = _record(
        text, "orders", limits.ORDERS_PER_EVENT_MAX, "order_limit", abi.ORDERS_AT, ir.ORDER_WORDS
    )
    out = text.names[ins.out]
    text.lines.append(
        f"{out}p = load i64, ptr %out.placed\n"
        f"{out} = add i64 {out}p, 1\n"
        f"store i64 {out}, ptr %out.placed"
    )
    spec = abi.spec_words(ins.imm)
    fixed = ", ".join(f"i64 {word}" for word in spec)
    text.lines.append(f"store <{len(spec)} x i64> <{fixed}>, ptr %z{record}, align 8")
    for place, register in enumerate(ins.args, len(spec)):
        llvm, value = text.wide(register)
        _field(text, record, place, llvm, value)


def output(text: Text, ins: Ins) -> None:
    """Write a plot, marker, alert or log line."""
    record = _record(
        text, "outputs", limits.OUTPUTS_PER_EVENT_MAX, "output_limit", abi.OUTPUTS_AT,
        abi.OUTPUT_WORDS,
    )  # fmt: skip
    site = text.sites[abi.output_site(ins, text.types)]
    _field(text, record, 0, "i64", str(site))
    _field(text, record, 1, "i64", str(len(ins.args)))
    for place, register in enumerate(ins.args, abi.OUTPUT_HEAD):
        llvm, value = text.wide(register)
        _field(text, record, place, llvm, value)
