"""Random checked programs, built as IR: every operation, also those no source reaches."""

import math
from dataclasses import dataclass, field
from random import Random
from typing import Any

from quantlab.qls import ir
from quantlab.qls.builder import straight_cost, worst_cost
from quantlab.qls.ir import Ins
from quantlab.qls.semantics import PURE

FLOATS = (
    0.0, -0.0, 1.0, -1.0, 0.1, 3.0, 64.0, 1e-310, 5e-324, 1e308, -1e308, 4503599627370497.5,
    9.223372036854775e18, 9.3e18, -9.3e18, math.inf, -math.inf, math.nan,
)  # fmt: skip
INTS = (0, 1, -1, 2, 3, 7, 10, -5, 1000, 2**31, 2**62, -(2**62), 2**63 - 1, -(2**63))
_UNARY = {
    "fneg": "f", "fabs": "f", "fsqrt": "f", "ffloor": "f", "fisna": "f", "bnot": "b", "i2f": "i",
    "f2i": "f", "b2i": "b", "pow2": "i", "exponent": "f",
}  # fmt: skip
_TRAPPING = frozenset(("iadd", "isub", "imul", "idiv", "imod"))
ZONES = ("f", "i", "b")


def operand_type(op: str) -> str:
    return _UNARY.get(op) or op[0].replace("w", "i")


@dataclass(slots=True)
class Layout:
    """Where the state's words are: fixed words by type, rings, histories by type."""

    words: dict[str, list[int]]
    rings: list[tuple[int, int]]
    histories: dict[str, list[tuple[int, int, int]]]
    total: int
    fills: tuple[ir.Fill, ...]


def layout(rng: Random) -> Layout:
    at = 0
    words: dict[str, list[int]] = {}
    fills = []
    for type_ in ZONES:
        words[type_] = list(range(at, at + 3))
        at += 3
    rings = []
    for capacity in (1, rng.randrange(2, 9)):
        rings.append((at, capacity))
        at += capacity
    histories: dict[str, list[tuple[int, int, int]]] = {}
    for type_ in ZONES:
        capacity = rng.choice((1, 2, 4, 8))
        histories[type_] = [(at, at + 1, capacity)]
        if type_ == "f":
            fills.append(ir.Fill(at + 1, capacity, "f", math.nan))
        at += 1 + capacity
    fills.append(ir.Fill(words["f"][0], 1, "f", rng.choice(FLOATS)))
    fills.append(ir.Fill(words["i"][0], 1, "i", rng.choice(INTS)))
    return Layout(words, rings, histories, at, tuple(fills))


@dataclass(slots=True)
class Maker:
    """Builds one handler."""

    rng: Random
    layout: Layout
    types: list[str] = field(default_factory=list)
    seen: dict[str, list[int]] = field(default_factory=lambda: {"f": [], "i": [], "b": []})
    slots: str = "ffiib"
    small: tuple[int, int] = (-1, -1)
    """Registers of two small numbers: a loop between them seldom traps."""
    depth: int = 0

    def register(self, type_: str) -> int:
        self.types.append(type_)
        return len(self.types) - 1

    def arg(self, type_: str) -> int:
        known = self.seen[type_]
        # New values first, so that long chains come about.
        return known[-1] if self.rng.random() < 0.4 else self.rng.choice(known)

    def pure(self) -> list[Ins]:
        op = self.rng.choice(tuple(PURE))
        if op in _TRAPPING and self.rng.random() < 0.5:
            op = "w" + op[1:] if op in {"iadd", "isub", "imul"} else "ilt"
        type_ = operand_type(op)
        args = tuple(self.arg(type_) for _ in range(1 if op in _UNARY else 2))
        return [self.result(op, PURE[op][0], args)]

    def result(self, op: str, type_: str, args: tuple[int, ...], imm: Any = None) -> Ins:
        out = self.register(type_)
        self.seen[type_].append(out)
        return Ins(op, out, args, imm)

    def memory(self) -> list[Ins]:
        make = self.rng.choice((self.words, self.ring, self.history, self.local, self.select))
        return [make(self.rng.choice(ZONES), writes=self.rng.random() < 0.5)]

    def words(self, type_: str, *, writes: bool) -> Ins:
        word = self.rng.choice(self.layout.words[type_])
        if writes:
            return Ins("store", -1, (self.arg(type_),), word)
        return self.result("load", type_, (), word)

    def ring(self, _type: str, *, writes: bool) -> Ins:
        ring = self.rng.choice(self.layout.rings)
        if writes:
            return Ins("rput", -1, (self.arg("i"), self.arg("f")), ring)
        return self.result("rget", "f", (self.arg("i"),), ring)

    def history(self, type_: str, *, writes: bool) -> Ins:
        history = self.layout.histories[type_][0]
        if writes:
            return Ins("hpush", -1, (self.arg(type_),), history)
        return self.result("hget", type_, (self.arg("i"),), history)

    def local(self, _type: str, *, writes: bool) -> Ins:
        slot = self.rng.randrange(len(self.slots))
        if writes:
            return Ins("lset", -1, (self.arg(self.slots[slot]),), slot)
        return self.result("lget", self.slots[slot], (), slot)

    def select(self, type_: str, *, writes: bool) -> Ins:
        return self.result("select", type_, (self.arg("b"), self.arg(type_), self.arg(type_)))

    def effect(self) -> list[Ins]:
        rng = self.rng
        if rng.random() < 0.6:
            spec = ir.OrderSpec(
                rng.randrange(6), 0, rng.randrange(7), rng.randrange(6), rng.randrange(3),
                rng.randrange(16), rng.randrange(3), rng.randrange(-1, 2),
            )  # fmt: skip
            args = tuple(self.arg("i" if place < 4 else "f") for place in range(10))
            return [self.result("order", "i", args, spec)]
        args = tuple(self.arg(rng.choice(ZONES)) for _ in range(rng.randrange(9)))
        kind = rng.choice(("plot", "marker", "alert", "log"))
        return [Ins("output", -1, args, ir.OutputSpec(kind, rng.randrange(2)))]

    def inner(self, length: int) -> tuple[Ins, ...]:
        kept = {type_: list(known) for type_, known in self.seen.items()}
        self.depth += 1
        block = self.block(length)
        self.depth -= 1
        self.seen = kept
        return block

    def branch(self) -> list[Ins]:
        test = self.arg("b")
        if self.rng.random() < 0.4:
            return [Ins("if", -1, (test,), (self.simple(2), self.simple(1)))]
        then = self.inner(self.rng.randrange(1, 7))
        other = self.inner(self.rng.randrange(0, 5))
        return [Ins("if", -1, (test,), (then, other))]

    def simple(self, depth: int) -> tuple[Ins, ...]:
        """Return a side so simple that both are computed, perhaps with a branch in it."""
        kept = {type_: list(known) for type_, known in self.seen.items()}
        made = [self.words(self.rng.choice(ZONES), writes=False)]
        if depth and self.rng.random() < 0.6:
            made += [Ins("if", -1, (self.arg("b"),), (self.simple(depth - 1), ()))]
        for _ in range(self.rng.randrange(1, 3)):
            make = self.rng.choice((self.words, self.local))
            made.append(make(self.rng.choice(ZONES), writes=True))
        self.seen = kept
        return tuple(made)

    def loop(self) -> list[Ins]:
        known = self.rng.random() < 0.7
        low, high = self.small if known else (self.arg("i"), self.arg("i"))
        out = self.register("i")
        kept = {type_: list(known) for type_, known in self.seen.items()}
        self.seen["i"].append(out)
        body = self.inner(self.rng.randrange(1, 6))
        self.seen = kept
        turns = self.rng.choice((4, 8, 40) if known else (1, 3, 8, 40))
        return [Ins("loop", out, (low, high), ir.Loop(body, turns, 1 + straight_cost(body)))]

    def block(self, length: int) -> tuple[Ins, ...]:
        made: list[Ins] = []
        for _ in range(length):
            dice = self.rng.random()
            if dice < 0.5:
                made += self.pure()
            elif dice < 0.75 or (dice < 0.9 and self.depth > 2):
                made += self.memory()
            elif dice < 0.87:
                made += self.branch()
            elif dice < 0.9:
                made += self.loop()
            else:
                made += self.effect()
        return tuple(made)


READS = tuple(ir.Read("account", f"x{k}", "f") for k in range(3)) + tuple(
    ir.Read("account", f"n{k}", "i") for k in range(3)
)


def random_program(rng: Random) -> ir.Program:
    """Return a program of one to three `tick` handlers."""
    plan = layout(rng)
    handlers = tuple(random_handler(rng, plan) for _ in range(rng.randrange(1, 4)))
    return ir.Program(
        name="", zone="UTC", source_hash="", inputs=(), symbols=("",), streams=(), reads=READS,
        strings=("a", "b"), handlers=handlers, state_words=plan.total, fills=plan.fills,
        indicators=(), instructions=0,
    )  # fmt: skip


def random_handler(rng: Random, plan: Layout) -> ir.Handler:
    maker = Maker(rng, plan)
    consts: list[tuple[int, Any]] = []
    for type_, pool in (("f", FLOATS), ("i", INTS), ("b", (True, False))):
        for value in rng.sample(pool, min(len(pool), 5)):
            register = maker.register(type_)
            maker.seen[type_].append(register)
            consts.append((register, value))
    maker.small = (maker.register("i"), maker.register("i"))
    consts += zip(maker.small, (-1, rng.randrange(4)), strict=True)
    reads = []
    for number, read in enumerate(READS):
        if rng.random() < 0.7:
            register = maker.register(read.type)
            maker.seen[read.type].append(register)
            reads.append((register, number))
    body = maker.block(rng.randrange(3, 40))
    return ir.Handler(
        kind="tick", symbol=0, stream=-1, period_ns=0, daily_ns=-1, types="".join(maker.types),
        consts=tuple(consts), reads=tuple(reads), slots=maker.slots, body=body,
        entry_cost=straight_cost(body), cost=worst_cost(body), line=0,
    )  # fmt: skip


def random_value(rng: Random, read: ir.Read) -> float | int:
    if read.type == "i":
        return rng.choice(INTS) if rng.random() < 0.3 else rng.randrange(-3, 12)
    return rng.choice(FLOATS) if rng.random() < 0.3 else rng.uniform(-5.0, 100.0)
