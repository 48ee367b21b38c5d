"""Collects what a program is made of while it is lowered: state words, reads, registers, code."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import field
from typing import Any

from quantlab.kernel.records import dataclass
from quantlab.qls import ir, limits
from quantlab.qls.diagnostics import LimitReached
from quantlab.qls.ir import Ins
from quantlab.qls.semantics import NA, PURE, Trap
from quantlab.qls.values import FLOAT, Value, constant


@dataclass(slots=True, eq=False)
class History:
    """Past values of one type: how far back is asked, known when all is lowered."""

    type: str
    depth: int = 0
    imm: tuple[int, int, int] = (0, 0, 0)


@dataclass(slots=True)
class Image:
    """The program's tables: state, reads, strings, symbols, streams."""

    words: int = 0
    fills: list[ir.Fill] = field(default_factory=list)
    reads: dict[ir.Read, int] = field(default_factory=dict)
    strings: dict[str, int] = field(default_factory=dict)
    symbols: dict[str, int] = field(default_factory=lambda: {"": 0})
    streams: dict[ir.Stream, int] = field(default_factory=dict)
    histories: list[History] = field(default_factory=list)
    market: dict[tuple[str, int], dict[ir.Read, History]] = field(default_factory=dict)
    indicators: dict[str, None] = field(default_factory=dict)
    groups: dict[tuple[str, str], int] = field(default_factory=dict)
    instructions: int = 0
    inlined: int = 0
    at: int = 0

    def count_call(self, at: int) -> None:
        """Count an inlined call."""
        self.inlined += 1
        if self.inlined > limits.CALLS_MAX:
            raise LimitReached(
                at, "CALLS_MAX", f"More than {limits.CALLS_MAX} calls of functions are inlined."
            )

    def words_for(self, count: int) -> int:
        """Reserve words of state and return the first."""
        first = self.words
        self.words += count
        if self.words > limits.STATE_WORDS_MAX:
            raise LimitReached(
                self.at, "STATE_WORDS_MAX",
                f"The state is larger than {limits.STATE_WORDS_MAX} words of 8 bytes.",
            )  # fmt: skip
        return first

    def word(self, type_: str, value: Any) -> int:
        """Reserve a word that begins with a value."""
        place = self.words_for(1)
        if value != 0 or str(value).startswith("-"):
            self.fills.append(ir.Fill(place, 1, type_, value))
        return place

    def history(self, type_: str) -> History:
        """Begin to keep past values."""
        kept = History(type_)
        self.histories.append(kept)
        return kept

    def string(self, text: str) -> int:
        """Return the number of a text."""
        return self.strings.setdefault(text, len(self.strings))

    def symbol(self, name: str) -> int:
        """Return the number of a symbol."""
        number = self.symbols.setdefault(name, len(self.symbols))
        if number >= limits.SYMBOLS_MAX:
            raise LimitReached(
                self.at, "SYMBOLS_MAX", f"More than {limits.SYMBOLS_MAX} symbols are used."
            )
        return number

    def stream(self, symbol: int, period_ns: int) -> int:
        """Return the number of a stream of bars."""
        number = self.streams.setdefault(ir.Stream(symbol, period_ns), len(self.streams))
        if number >= limits.STREAMS_MAX:
            raise LimitReached(
                self.at, "STREAMS_MAX", f"More than {limits.STREAMS_MAX} bar series are used."
            )
        return number

    def lay_out_histories(self) -> None:
        """Give each history its words: a head, and a power of two of values."""
        for kept in self.histories:
            capacity = 1
            while capacity < kept.depth:
                capacity *= 2
            head = self.words_for(1 + capacity)
            kept.imm = (head, head + 1, capacity)
            if kept.type == FLOAT:
                self.fills.append(ir.Fill(head + 1, capacity, FLOAT, NA))


class Code:
    """The instructions and registers of one handler."""

    def __init__(self, image: Image) -> None:
        self.image = image
        self.types: list[str] = []
        self.consts: dict[tuple[str, int], tuple[int, Any]] = {}
        self.reads: dict[int, int] = {}
        self.slots: list[str] = []
        self.block: list[Ins] = []

    def register(self, type_: str) -> int:
        """Return a new register."""
        self.types.append(type_)
        return len(self.types) - 1

    def reg(self, value: Value) -> int:
        """Return the register of a value; a constant gets one."""
        if value.reg >= 0:
            return value.reg
        key = (value.type, _key(value))
        known = self.consts.get(key)
        if known is None:
            known = self.consts[key] = (self.register(value.type), value.const)
        return known[0]

    def read(self, read: ir.Read) -> int:
        """Return the register that holds what the host gives."""
        number = self.image.reads.setdefault(read, len(self.image.reads))
        known = self.reads.get(number)
        if known is None:
            known = self.reads[number] = self.register(read.type)
        return known

    def emit(self, op: str, type_: str, args: tuple[int, ...], imm: Any = None) -> int:
        """Append an instruction and return its register, -1 without a result."""
        out = -1
        if type_:
            self.types.append(type_)
            out = len(self.types) - 1
        self.block.append(Ins(op, out, args, imm))
        image = self.image
        image.instructions += 1
        if image.instructions > limits.INSTRUCTIONS_MAX:
            raise LimitReached(
                image.at, "INSTRUCTIONS_MAX",
                f"The program has more than {limits.INSTRUCTIONS_MAX} instructions after inlining.",
            )  # fmt: skip
        return out

    def pure(self, op: str, *values: Value) -> Value:
        """Append an operation without memory, or carry it out when all is constant."""
        type_, function = PURE[op]
        fixed = True
        known = True
        for value in values:
            fixed = fixed and value.fixed
            known = known and value.const is not None
        if known:
            try:
                return constant(function(*(value.const for value in values)))
            except Trap:
                pass
        return Value(type_, self.emit(op, type_, tuple([self.reg(v) for v in values])), fixed=fixed)

    def loop(self, out: int, low: Value, high: Value, imm: Any) -> None:
        """Append a loop, whose register its body has used already."""
        args = (self.reg(low), self.reg(high))
        self.emit("loop", "", args, imm)
        self.block[-1] = Ins("loop", out, args, imm)

    @contextmanager
    def inside(self) -> Iterator[list[Ins]]:
        """Collect instructions into a block of their own."""
        outer, self.block = self.block, []
        try:
            yield self.block
        finally:
            self.block = outer


def _key(value: Value) -> int:
    if value.type == FLOAT:
        return ir.bits_of(value.const)
    return int(value.const)


def finished(block: list[Ins]) -> tuple[Ins, ...]:
    """Return a block with its histories placed, its inner blocks and loops' costs settled."""
    done = []
    for ins in block:
        imm = ins.imm
        if ins.op == "if":
            imm = (finished(imm[0]), finished(imm[1]))
        elif ins.op == "loop":
            body = finished(imm[0])
            imm = ir.Loop(body, imm[1], 1 + straight_cost(body))
        elif imm.__class__ is History:
            imm = imm.imm
        else:
            done.append(ins)
            continue
        done.append(Ins(ins.op, ins.out, ins.args, imm))
    return tuple(done)


def straight_cost(block: tuple[Ins, ...]) -> int:
    """Count the instructions of a block, of an `if` its longer side; loops' turns not."""
    cost = 0
    for ins in block:
        cost += 1
        if ins.op == "if":
            cost += max(straight_cost(ins.imm[0]), straight_cost(ins.imm[1]))
    return cost


def worst_cost(block: tuple[Ins, ...]) -> int:
    """Count the most fuel a block can take, with all turns of its loops."""
    return straight_cost(block) + _turns_cost(block)


def _turns_cost(block: tuple[Ins, ...]) -> int:
    cost = 0
    for ins in block:
        if ins.op == "if":
            cost += max(_turns_cost(ins.imm[0]), _turns_cost(ins.imm[1]))
        elif ins.op == "loop":
            cost += ins.imm.turns_max * (ins.imm.cost + _turns_cost(ins.imm.body))
    return cost
