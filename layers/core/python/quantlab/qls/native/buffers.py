"""A strategy's memory: the three blocks its handlers work on, and what they hold in Python."""

import ctypes
from collections.abc import Mapping
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
        self.out_ints, self.out_floats = self.out.cast("q"), self.out.cast("d")
        self.addresses = tuple(ctypes.addressof(block) for block in self._kept)
        self._float_words = abi.float_words(program)
        self._sites = abi.output_sites(program)
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
        ints = self.out_ints
        count = ints[abi.ORDERS]
        for place in range(len(effects.orders), count):
            effects.orders.append(self._order(place, ints[abi.PLACED] - count + place + 1))
        for place in range(len(effects.outputs), ints[abi.OUTPUTS]):
            effects.outputs.append(self._output(place))

    def _order(self, place: int, number: int) -> Order:
        at = abi.ORDERS_AT + place * abi.ORDER_WORDS
        args = at + _SPEC_WORDS
        floats, end = args + abi.ORDER_INTS, args + len(ir.ORDER_ARGS)
        values = (*self.out_ints[args:floats], *self.out_floats[floats:end])
        return Order(
            number,
            ir.OrderSpec(*self.out_ints[at:args]),
            dict(zip(ir.ORDER_ARGS, values, strict=True)),
        )

    def _output(self, place: int) -> Output:
        at = abi.OUTPUTS_AT + place * abi.OUTPUT_WORDS
        site = self._sites[self.out_ints[at]]
        values = tuple(
            self._value(type_, word) for word, type_ in enumerate(site.types, at + abi.OUTPUT_HEAD)
        )
        return Output(site.kind, self.program.strings[site.text], values)

    def _value(self, type_: str, word: int) -> float | int | bool:
        if type_ == "f":
            return self.out_floats[word]
        return bool(self.out_ints[word]) if type_ == "b" else self.out_ints[word]


def _words(count: int) -> Any:
    return (ctypes.c_int64 * max(count, 1))()
