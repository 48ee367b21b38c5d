"""What a live run hands out, as bytes: entries of orders and outputs, and how they are read.

An entry is the instant, the number of its first order, the counts of its orders and outputs, then
both as `qls.native.abi` lays them out, all in little-endian words.
"""

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from quantlab.live.events import Malformed
from quantlab.qls import ir, limits, outputs
from quantlab.qls.interpreter import Effects, Order, Output
from quantlab.qls.ir import OrderSpec

ENTRY_HEAD: Final = 4
ORDER_INTS: Final = 4
OUTPUT_HEAD: Final = 2
OUTPUT_WORDS: Final = OUTPUT_HEAD + outputs.VALUES_MAX
_WORD: Final = 8
_FORMATS: Final = {"f": "d", "i": "q", "b": "?7x"}
_SPEC_WORDS: Final = len(OrderSpec._fields)
_HEAD: Final = struct.Struct(f"<{ENTRY_HEAD}q")
_ORDER: Final = struct.Struct(f"<{_SPEC_WORDS + ORDER_INTS}q{len(ir.ORDER_ARGS) - ORDER_INTS}d")
_SITE: Final = struct.Struct("<q")


class Given(NamedTuple):
    """What the handlers of one event of the strategy gave, at which instant."""

    ns: int
    effects: Effects


class Tray:
    """Reads the entries of a program by its output sites and strings.

    The bytes may come from a process that is not trusted: what could not be is Malformed.
    """

    def __init__(self, sites: Sequence[tuple[str, int, str]], strings: Sequence[str]) -> None:
        self._sites = [
            (
                kind,
                strings[text],
                struct.Struct("<" + "".join(_FORMATS[type_] for type_ in types)),
            )
            for kind, text, types in sites
        ]

    def read(self, data: bytes | memoryview) -> list[Given]:
        """Return what entries say, in order."""
        found, at = [], 0
        try:
            while at < len(data):
                ns, first, orders, outputs = _HEAD.unpack_from(data, at)
                at += _HEAD.size
                _check_counts(orders, outputs)
                effects = Effects()
                for number in range(first, first + orders):
                    effects.orders.append(_order(data, number, at))
                    at += ir.ORDER_WORDS * _WORD
                for _ in range(outputs):
                    effects.outputs.append(self._output(data, at))
                    at += OUTPUT_WORDS * _WORD
                found.append(Given(ns, effects))
        except struct.error as error:
            raise Malformed(f"expected whole entries: {error}") from error
        return found

    def _output(self, data: bytes | memoryview, at: int) -> Output:
        (number,) = _SITE.unpack_from(data, at)
        if not 0 <= number < len(self._sites):
            raise Malformed(f"expected an output of the program, was {number}")
        kind, text, values = self._sites[number]
        return Output(kind, text, values.unpack_from(data, at + OUTPUT_HEAD * _WORD))


def _check_counts(orders: int, outputs: int) -> None:
    if not 0 <= orders <= limits.ORDERS_PER_EVENT_MAX:
        raise Malformed(f"expected at most {limits.ORDERS_PER_EVENT_MAX} orders, was {orders}")
    if not 0 <= outputs <= limits.OUTPUTS_PER_EVENT_MAX:
        raise Malformed(f"expected at most {limits.OUTPUTS_PER_EVENT_MAX} outputs, was {outputs}")


def _order(data: bytes | memoryview, number: int, at: int) -> Order:
    words = _ORDER.unpack_from(data, at)
    args = dict(zip(ir.ORDER_ARGS, words[_SPEC_WORDS:], strict=True))
    return Order(number, OrderSpec._make(words[:_SPEC_WORDS]), args)
