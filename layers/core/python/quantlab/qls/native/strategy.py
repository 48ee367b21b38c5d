"""A running strategy in machine code, with the interface of the interpreter."""

import ctypes
import hashlib
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from quantlab.qls import limits
from quantlab.qls.interpreter import Effects, Host, is_for
from quantlab.qls.ir import Handler, Program
from quantlab.qls.native import abi
from quantlab.qls.native.buffers import Buffers
from quantlab.qls.native.lower import handler_name, lower
from quantlab.qls.native.machine import QUICK, TUNED, Code, ObjectCache, build
from quantlab.qls.native.trampoline import event_text
from quantlab.qls.semantics import Trap

_HANDLER: Final = ctypes.PYFUNCTYPE(
    ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p
)
_EVENT: Final = ctypes.PYFUNCTYPE(ctypes.c_int64)


class NativeProgram:
    """A program's machine code, shared by any number of strategies that run it."""

    def __init__(
        self, program: Program, *, tier: str = QUICK, objects: ObjectCache | None = None
    ) -> None:
        names = tuple(handler_name(index) for index in range(len(program.handlers)))
        self.program = program
        self.code: Code = build(
            lower(program, inlined=tier == TUNED), names, tier=tier, objects=objects
        )
        self.addresses = tuple(self.code.addresses[name] for name in names)


class NativeStrategy:
    """One running strategy: its state, its order count, and the fuel it has burnt.

    It does what `Interpreter` does, bit for bit, and takes the same inputs; raises ValueError for a
    value that does not fit its input.
    """

    def __init__(
        self,
        native: NativeProgram,
        inputs: Mapping[str, Any] | None = None,
        *,
        fuel_per_event: int = limits.COST_PER_EVENT_MAX,
    ) -> None:
        self.program = native.program
        self.fuel_per_event = fuel_per_event
        self.buffers = Buffers(native.program, inputs or {})
        self._native = native
        self._functions = [_HANDLER(address) for address in native.addresses]
        self._index = {id(handler): k for k, handler in enumerate(self.program.handlers)}

    @property
    def orders_placed(self) -> int:
        """Return the number of the last order."""
        return self.buffers.out_ints[abi.PLACED]

    @property
    def fuel_used(self) -> int:
        """Return the fuel burnt since the strategy began."""
        return self.buffers.out_ints[abi.FUEL_USED]

    @property
    def trapped(self) -> str:
        """Return the reason of the trap that stopped the strategy, "" while it runs."""
        return abi.TRAPS[self.buffers.out_ints[abi.TRAP]]

    def run(self, kind: str, host: Host, *, symbol: int = 0, stream: int = -1) -> Effects:
        """Run the handlers of a start, stop, tick, bar or fill; timers run by `run_handler`.

        Raises Trap when a handler traps, and at each call after that.
        """
        effects = Effects()
        for handler in self.program.handlers:
            if handler.kind == kind and is_for(handler, symbol, stream):
                self.run_handler(handler, host, effects)
        return effects

    def run_handler(self, handler: Handler, host: Host, effects: Effects | None = None) -> Effects:
        """Run one handler; effects of an event's earlier handlers count toward its limits."""
        if self.trapped:
            raise Trap(self.trapped)
        effects = Effects() if effects is None else effects
        for _, number in handler.reads:
            self.put(number, host.read(self.program.reads[number]))
        out = self.buffers.out_ints
        out[abi.ORDERS], out[abi.OUTPUTS] = len(effects.orders), len(effects.outputs)
        self._call(self._index[id(handler)])
        self.buffers.take(effects)
        return effects

    def step(self, handlers: Sequence[int]) -> None:
        """Run handlers, by their index, as one event on the reads that stand in `buffers` already.

        `effects` has what they did. Raises Trap as `run` does.
        """
        if self.trapped:
            raise Trap(self.trapped)
        out = self.buffers.out_ints
        out[abi.ORDERS] = out[abi.OUTPUTS] = 0
        for index in handlers:
            self._call(index)

    def _call(self, index: int) -> None:
        out = self.buffers.out_ints
        out[abi.FUEL] = self.fuel_per_event
        code = self._functions[index](*self.buffers.addresses)
        out[abi.FUEL_USED] += self.fuel_per_event - out[abi.FUEL]
        if code < 0:
            raise Trap(self.trapped)

    def put(self, number: int, value: float) -> None:
        """Give the strategy what it reads by `Program.reads[number]`."""
        if self.program.reads[number].type == "f":
            self.buffers.read_floats[number] = value
        else:
            self.buffers.read_ints[number] = int(value)

    def event(self, handlers: tuple[Handler, ...]) -> Callable[[], int]:
        """Return a function that runs handlers as one event, for hosts that count microseconds.

        The host fills `buffers.reads` (or calls `put`) for each of their `reads`, calls it, and
        where it is above 0 takes the orders from `effects()`. It returns the number of orders, or
        the negated code of the trap (`abi.TRAPS`), again at each call after that. It lives on its
        own: it keeps the strategy's memory and code alive.
        """
        text = event_text(
            "event",
            tuple(self._native.addresses[self._index[id(handler)]] for handler in handlers),
            self.buffers.addresses,
            self.fuel_per_event,
        )
        code = build(text, ("event",))
        function: Any = _EVENT(code.addresses["event"])
        function.keeps = (code, self._native, self.buffers)
        called: Callable[[], int] = function
        return called

    def effects(self) -> Effects:
        """Return the orders and outputs of the last event."""
        effects = Effects()
        self.buffers.take(effects)
        return effects

    def image(self) -> bytes:
        """Return the state as bytes: little-endian words, NaN canonical."""
        return self.buffers.image()

    def digest(self) -> str:
        """Return the SHA-256 of the state and the order count."""
        counted = struct.pack("<q", self.orders_placed)
        return hashlib.sha256(self.image() + counted).hexdigest()
