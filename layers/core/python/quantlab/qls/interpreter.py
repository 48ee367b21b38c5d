"""The oracle: carries out a program's handlers as `ir.py` says, one instruction after the other."""

import hashlib
import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any, Final, NamedTuple, Protocol

from quantlab.kernel.records import dataclass
from quantlab.qls import ir, limits
from quantlab.qls.ir import Handler, Ins, Program
from quantlab.qls.semantics import NA, PURE, Trap

_ZERO: Final = {"f": 0.0, "i": 0, "b": False}
_NONE: Final = {"f": NA, "i": 0, "b": False}
_PURE: Final = {name: function for name, (_, function) in PURE.items()}


class Host(Protocol):
    """What a strategy runs in."""

    def read(self, read: ir.Read) -> float | int:
        """Return a value the program asks for, as of the event that runs; na or 0 if unknown."""
        ...


class Order(NamedTuple):
    """An order command: its id, what is known at compile time, and its arguments by name."""

    order_id: int
    spec: ir.OrderSpec
    args: Mapping[str, float | int]


class Output(NamedTuple):
    """A plot, marker, alert or log line with its values."""

    kind: str
    text: str
    values: tuple[float | int | bool, ...]


@dataclass(slots=True)
class Effects:
    """What the handlers of one event did, in order."""

    orders: list[Order] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)


class Interpreter:
    """One running strategy: its state, its order count, and the fuel it has burnt.

    inputs sets inputs by name (a choice by its option); what is missing takes its default. Raises
    ValueError for a value that does not fit its input.
    """

    def __init__(
        self,
        program: Program,
        inputs: Mapping[str, Any] | None = None,
        *,
        fuel_per_event: int = limits.COST_PER_EVENT_MAX,
    ) -> None:
        self.program = program
        self.fuel_per_event = fuel_per_event
        self.state: list[Any] = first_state(program, inputs or {})
        self.orders_placed = 0
        self.fuel_used = 0
        self.trapped = ""

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
        try:
            _Run(self, handler, host, effects).block(handler.body)
        except Trap as trap:
            self.trapped = trap.reason
            raise
        return effects

    def image(self) -> bytes:
        """Return the state as bytes: little-endian words, NaN canonical."""
        return b"".join(word_bytes(value) for value in self.state)

    def digest(self) -> str:
        """Return the SHA-256 of the state and the order count."""
        counted = struct.pack("<q", self.orders_placed)
        return hashlib.sha256(self.image() + counted).hexdigest()


def word_bytes(value: float | bool) -> bytes:
    """Return a state word as bytes."""
    if isinstance(value, float):
        return struct.pack("<Q", ir.bits_of(value))
    return struct.pack("<q", int(value))


def first_state(program: Program, inputs: Mapping[str, Any]) -> list[Any]:
    """Return the state before the first event: zeros, fills, then inputs."""
    state: list[Any] = [0] * program.state_words
    for fill in program.fills:
        state[fill.start : fill.start + fill.words] = [fill.value] * fill.words
    unknown = sorted(set(inputs) - {known.name for known in program.inputs})
    if unknown:
        raise ValueError(f"{unknown[0]}: expected one of the inputs, was an unknown name")
    for known in program.inputs:
        if known.word >= 0:
            state[known.word] = input_value(known, inputs.get(known.name))
    return state


def input_value(known: ir.Input, given: Any) -> Any:
    """Return the word of an input for a value, its default for None; raises ValueError."""
    if given is None:
        return known.default
    if known.kind == "choice":
        if given not in known.options:
            raise ValueError(
                f"{known.name}: expected one of {', '.join(known.options)}, was {given!r}"
            )
        return known.options.index(given)
    if isinstance(given, bool) != (known.kind == "bool"):
        raise ValueError(f"{known.name}: expected {known.kind}, was {given!r}")
    if known.kind == "bool":
        return given
    wanted = int if known.kind == "int" else (int, float)
    if not isinstance(given, wanted):
        raise ValueError(f"{known.name}: expected {known.kind}, was {given!r}")  # noqa: TRY004
    value = given if known.kind == "int" else _double(known, given)
    low = limits.INT_MIN if known.low is None and known.kind == "int" else known.low
    high = limits.INT_MAX if known.high is None and known.kind == "int" else known.high
    if not ((low is None or value >= low) and (high is None or value <= high)):
        raise ValueError(f"{known.name}: expected {_between(low, high)}, was {value}")
    return value


def _double(known: ir.Input, given: float) -> float:
    """Return a number as a finite double."""
    try:
        value = float(given)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise ValueError(f"{known.name}: expected a finite number, was {given}")
    return value


def _between(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return f"at most {high}" if low is None else f"at least {low}"
    return f"{low} to {high}"


def is_for(handler: Handler, symbol: int, stream: int) -> bool:
    """Say whether a handler of an event's kind runs for its symbol or stream."""
    if handler.kind in {"tick", "fill"}:
        return handler.symbol in {-1, symbol}
    return handler.kind != "bar" or handler.stream == stream


class _Run:
    """One handler on one event."""

    def __init__(self, owner: Interpreter, handler: Handler, host: Host, effects: Effects) -> None:
        self.owner = owner
        self.state = owner.state
        self.effects = effects
        self.types = handler.types
        self.fuel = owner.fuel_per_event
        self.regs: list[Any] = [None] * len(handler.types)
        self.slots: list[Any] = [_ZERO[type_] for type_ in handler.slots]
        for reg, value in handler.consts:
            self.regs[reg] = value
        for reg, number in handler.reads:
            self.regs[reg] = host.read(owner.program.reads[number])
        self.charge(handler.entry_cost)

    def charge(self, cost: int) -> None:
        self.owner.fuel_used += cost
        self.fuel -= cost
        if self.fuel < 0:
            raise Trap("fuel")

    def block(self, block: tuple[Ins, ...]) -> None:
        regs = self.regs
        for ins in block:
            op, out, args, imm = ins
            function = _PURE.get(op)
            if function is None:
                _MEMORY[op](self, out, args, imm)
            elif len(args) == 2:
                regs[out] = function(regs[args[0]], regs[args[1]])
            else:
                regs[out] = function(regs[args[0]])

    def select(self, out: int, args: tuple[int, ...], _imm: Any) -> None:
        regs = self.regs
        regs[out] = regs[args[1]] if regs[args[0]] else regs[args[2]]

    def load(self, out: int, _args: tuple[int, ...], imm: int) -> None:
        value = self.state[imm]
        type_ = self.types[out]
        if type_ == "f":
            self.regs[out] = float(value)
        else:
            self.regs[out] = int(value) if type_ == "i" else bool(value)

    def store(self, _out: int, args: tuple[int, ...], imm: int) -> None:
        self.state[imm] = self.regs[args[0]]

    def rget(self, out: int, args: tuple[int, ...], imm: tuple[int, int]) -> None:
        base, capacity = imm
        index = self.regs[args[0]]
        self.regs[out] = float(self.state[base + (index if 0 <= index < capacity else 0)])

    def rput(self, _out: int, args: tuple[int, ...], imm: tuple[int, int]) -> None:
        base, capacity = imm
        index = self.regs[args[0]]
        self.state[base + (index if 0 <= index < capacity else 0)] = self.regs[args[1]]

    def hpush(self, _out: int, args: tuple[int, ...], imm: tuple[int, int, int]) -> None:
        head, base, capacity = imm
        at = self.state[head] = (self.state[head] + 1) % capacity
        self.state[base + at] = self.regs[args[0]]

    def hget(self, out: int, args: tuple[int, ...], imm: tuple[int, int, int]) -> None:
        head, base, capacity = imm
        back = self.regs[args[0]]
        type_ = self.types[out]
        if not 0 <= back < capacity:
            self.regs[out] = _NONE[type_]
            return
        value = self.state[base + (self.state[head] - back) % capacity]
        self.regs[out] = bool(value) if type_ == "b" else value

    def lget(self, out: int, _args: tuple[int, ...], imm: int) -> None:
        self.regs[out] = self.slots[imm]

    def lset(self, _out: int, args: tuple[int, ...], imm: int) -> None:
        self.slots[imm] = self.regs[args[0]]

    def branch(self, _out: int, args: tuple[int, ...], imm: Any) -> None:
        self.block(imm[0] if self.regs[args[0]] else imm[1])

    def loop(self, out: int, args: tuple[int, ...], imm: ir.Loop) -> None:
        low, high = self.regs[args[0]], self.regs[args[1]]
        for turn, value in enumerate(range(low, high + 1)):
            if turn >= imm.turns_max:
                raise Trap("loop_limit")
            self.charge(imm.cost)
            self.regs[out] = value
            self.block(imm.body)

    def order(self, out: int, args: tuple[int, ...], imm: ir.OrderSpec) -> None:
        if len(self.effects.orders) >= limits.ORDERS_PER_EVENT_MAX:
            raise Trap("order_limit")
        self.owner.orders_placed += 1
        number = self.owner.orders_placed
        values = {name: self.regs[arg] for name, arg in zip(ir.ORDER_ARGS, args, strict=True)}
        self.effects.orders.append(Order(number, imm, values))
        self.regs[out] = number

    def output(self, _out: int, args: tuple[int, ...], imm: ir.OutputSpec) -> None:
        if len(self.effects.outputs) >= limits.OUTPUTS_PER_EVENT_MAX:
            raise Trap("output_limit")
        text = self.owner.program.strings[imm.text]
        self.effects.outputs.append(Output(imm.kind, text, tuple(self.regs[arg] for arg in args)))


_MEMORY: Final[dict[str, Callable[[_Run, int, tuple[int, ...], Any], None]]] = {
    "select": _Run.select,
    "load": _Run.load,
    "store": _Run.store,
    "rget": _Run.rget,
    "rput": _Run.rput,
    "hpush": _Run.hpush,
    "hget": _Run.hget,
    "lget": _Run.lget,
    "lset": _Run.lset,
    "if": _Run.branch,
    "loop": _Run.loop,
    "order": _Run.order,
    "output": _Run.output,
}
