"""A strategy in the interpreter and in machine code, driven side by side."""

import struct
from collections.abc import Callable, Mapping
from typing import Any

from quantlab.qls import ir, limits
from quantlab.qls.interpreter import Effects, Interpreter
from quantlab.qls.native.machine import QUICK
from quantlab.qls.native.strategy import NativeProgram, NativeStrategy
from quantlab.qls.semantics import Trap

Value = float | int


class AskedHost:
    """Gives values by read, and remembers what was asked."""

    def __init__(self, values: Callable[[ir.Read], Value]) -> None:
        self.values = values
        self.asked: list[ir.Read] = []

    def read(self, read: ir.Read) -> Value:
        self.asked.append(read)
        return self.values(read)


def exact(value: Any) -> tuple[str, int]:
    """Return a value's type and bits, every NaN the same."""
    if isinstance(value, float):
        return "f", ir.bits_of(value)
    return type(value).__name__, int(value)


def exact_effects(effects: Effects) -> tuple[Any, ...]:
    orders = tuple(
        (order.order_id, order.spec, {name: exact(value) for name, value in order.args.items()})
        for order in effects.orders
    )
    outputs = tuple(
        (output.kind, output.text, tuple(map(exact, output.values))) for output in effects.outputs
    )
    return orders, outputs


class Twins:
    """Both back ends of one program; each step must leave them equal, bit for bit."""

    def __init__(
        self,
        program: ir.Program,
        inputs: Mapping[str, Any] | None = None,
        *,
        fuel: int = limits.COST_PER_EVENT_MAX,
        tier: str = QUICK,
    ) -> None:
        self.oracle = Interpreter(program, inputs, fuel_per_event=fuel)
        self.native = NativeStrategy(NativeProgram(program, tier=tier), inputs, fuel_per_event=fuel)

    def run(
        self, kind: str, values: Callable[[ir.Read], Value], *, image: bool = True, **where: int
    ) -> str:
        """Run an event in both; return the trap's reason, "" without one."""
        results = []
        for side in (self.oracle, self.native):
            host = AskedHost(values)
            try:
                effects: Any = exact_effects(side.run(kind, host, **where))
                trap = ""
            except Trap as raised:
                effects, trap = None, raised.reason
            results.append(
                (trap, effects, host.asked, side.trapped, side.fuel_used, side.orders_placed)
            )
        assert results[0] == results[1]
        if results[0][0]:
            assert self.native.effects() == Effects()
        if image:
            self.check_state()
        return str(results[0][0])

    def check_state(self) -> None:
        mine, other = self.oracle.image(), self.native.image()
        if mine != other:
            words = struct.unpack(f"<{len(mine) // 8}Q", mine)
            others = struct.unpack(f"<{len(other) // 8}Q", other)
            wrong = [
                (word, hex(a), hex(b))
                for word, (a, b) in enumerate(zip(words, others, strict=True))
                if a != b
            ]
            raise AssertionError(f"state words differ: {wrong[:5]}")
        assert self.oracle.digest() == self.native.digest()
