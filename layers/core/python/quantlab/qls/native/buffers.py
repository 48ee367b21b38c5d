"""A strategy's memory: the three blocks its handlers work on, and what they hold in Python."""

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any, Final

from quantlab.qls import ir
from quantlab.qls.interpreter import Effects, Order, Output, first_state
from quantlab.qls.ir import Program
from quantlab.qls.native import abi
from quantlab.qls.semantics import NA

_SPEC_WORDS: Final = len(ir.OrderSpec._fields)


class Buffers:
    """state, reads and out of `abi.py`, each as its ints, its doubles, and its address."""

    def __init__(self, program: Program, inputs: Mapping[str, Any]) -> None:
        self.program = program
        self._kept = [
            _words(program.state_words),
            _words(len(program.reads)),
            _words(abi.OUT_WORDS),
        ]
        self.state, self.reads, self.out = (memoryview(block).cast("B") for block in self._kept)
        self.read_ints, self.read_floats = self.reads.cast("q"), self.reads.cast("d")
        self.out_ints = self.out.cast("q")
        self.addresses = tuple(ctypes.addressof(block) for block in self._kept)
        self._float_words = abi.float_words(program)
        self._records = Records(abi.output_sites(program), program.strings)
        ints, floats = self.state.cast("q"), self.state.cast("d")
        for word, value in enumerate(first_state(program, inputs)):
            if isinstance(value, float):
                floats[word] = value
            elif value:
                ints[word] = value

    def image(self) -> bytes:
        """Return the state as bytes: little-endian words, NaN canonical."""
        image = bytearray(self.state[: self.program.state_words * 8])
        floats = memoryview(image).cast("d")
        for word in self._float_words:
            if floats[word] != floats[word]:
                floats[word] = NA
        floats.release()
        return bytes(image)

    def take(self, effects: Effects) -> None:
        """Add the event's orders and outputs beyond those that effects has."""
        self._records.take(self.out, effects)


class Records:
    """Reads the orders and outputs of a block `out`; sites and strings are the program's."""

    def __init__(self, sites: Sequence[abi.OutputSite], strings: Sequence[str]) -> None:
        self._sites, self._strings = sites, strings

    def take(self, out: memoryview, effects: Effects) -> None:
        """Add the orders and outputs of out, bytes of words, beyond those that effects has."""
        ints, floats = out.cast("q"), out.cast("d")
        count = ints[abi.ORDERS]
        for place in range(len(effects.orders), count):
            at = abi.ORDERS_AT + place * ir.ORDER_WORDS
            effects.orders.append(_order(ints, floats, at, ints[abi.PLACED] - count + place + 1))
        for place in range(len(effects.outputs), ints[abi.OUTPUTS]):
            at = abi.OUTPUTS_AT + place * abi.OUTPUT_WORDS
            site = self._sites[ints[at]]
            words = enumerate(site.types, at + abi.OUTPUT_HEAD)
            values = tuple(_value(type_, ints, floats, word) for word, type_ in words)
            effects.outputs.append(Output(site.kind, self._strings[site.text], values))


def _order(ints: "memoryview[int]", floats: "memoryview[float]", at: int, number: int) -> Order:
    args = at + _SPEC_WORDS
    split, end = args + abi.ORDER_INTS, args + len(ir.ORDER_ARGS)
    values = (*ints[args:split], *floats[split:end])
    spec = ir.OrderSpec(*ints[at:args])
    return Order(number, spec, dict(zip(ir.ORDER_ARGS, values, strict=True)))


def _value(
    type_: str, ints: "memoryview[int]", floats: "memoryview[float]", word: int
) -> float | int | bool:
    if type_ == "f":
        value: float = floats[word]
        return value
    return bool(ints[word]) if type_ == "b" else int(ints[word])


def _words(count: int) -> Any:
    return (ctypes.c_int64 * max(count, 1))()
