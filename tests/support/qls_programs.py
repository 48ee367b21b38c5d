"""Random well-typed strategies, and a random market for them: material to fuzz back ends with.

Both follow from a seed alone. `program_source(seed)` always compiles; `RandomHost` gives every read
a value that depends on the seed, the event and the read, among them na, infinities and extremes.
`run_trace` is what two back ends must agree on.
"""

import hashlib
import random
import struct
from collections.abc import Iterator

from quantlab.qls import ir
from quantlab.qls.interpreter import Effects, Interpreter, word_bytes
from quantlab.qls.library import LIBRARY, function_of, is_derived, is_public
from quantlab.qls.semantics import Trap
from quantlab.qls.tree import Tuple

SPECIALS = (
    float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 1e308, -1e308, 5e-324, 1e16, 1.0, -1.0,
)  # fmt: skip
_MATHS = ("abs", "sqrt", "floor", "round", "exp", "ln", "sin", "atan", "sign", "tanh")


def _results(name: str) -> int:
    returned = function_of(name).body[-1].value  # type: ignore[union-attr]
    return len(returned.items) if isinstance(returned, Tuple) else 1


def _indicators() -> list[str]:
    """Return the library's functions of one float, without those that cost too much to nest."""
    several = {"bb", "kc", "barssince", "rising", "falling", "cross", "crossover", "crossunder"}
    return [
        name
        for name, entry in LIBRARY.items()
        if is_public(name) and not is_derived(name) and name not in several
        and entry.group not in {"mathematics", "time"} and _results(name) == 1
        and {param.kind for param in function_of(name).params} <= {"float", "length"}
    ]  # fmt: skip


class _Writer:
    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.lines: list[str] = []
        self.floats: list[str] = []
        self.ints: list[str] = []
        self.bools: list[str] = []
        self.changing: dict[str, list[str]] = {"f": [], "i": [], "b": []}
        self.event = ""
        self.count = 0
        self.flat = True

    def name(self) -> str:
        self.count += 1
        return f"v{self.count}"

    def line(self, depth: int, text: str) -> None:
        self.lines.append("    " * depth + text)

    def number(self, depth: int) -> str:  # noqa: C901, PLR0911 - one branch for each form
        rng = self.rng
        if depth <= 0 or rng.random() < 0.25:
            leaf = rng.random()
            if leaf < 0.3:
                return repr(rng.choice((0.0, 1.0, 0.5, 1e-9, 100.0, 3.25, 1e15)))
            if leaf < 0.35:
                return "na"
            return rng.choice(self.floats)
        kind = rng.randrange(8)
        if kind < 3:
            op = rng.choice("+-*/%" if rng.random() < 0.3 else "+-*/")
            return f"({self.number(depth - 1)} {op} {self.number(depth - 1)})"
        if kind == 3:
            return f"({self.test(depth - 1)} ? {self.number(depth - 1)} : {self.number(depth - 1)})"
        if kind == 4:
            return f"{rng.choice(_MATHS)}({self.number(depth - 1)})"
        if kind == 5:
            name = rng.choice(("min", "max", "nz", "pow"))
            return f"{name}({self.number(depth - 1)}, {self.number(depth - 1)})"
        if kind == 6:
            return f"float({self.whole(depth - 1)})"
        return f"-{self.number(depth - 1)}"

    def whole(self, depth: int) -> str:  # noqa: PLR0911 - one branch for each form
        rng = self.rng
        if depth <= 0 or rng.random() < 0.4:
            if rng.random() < 0.01:
                return "9_223_372_036_854_775_807"
            return rng.choice((*self.ints, "0", "1", "7", "1_000"))
        kind = rng.randrange(5)
        if kind == 0:
            return f"({self.whole(depth - 1)} {rng.choice('+-*')} {self.whole(depth - 1)})"
        if kind == 1:
            return f"({self.whole(depth - 1)} % {rng.choice(('3', '-7', 'n', 'g3'))})"
        if kind == 2:
            return f"int({self.number(depth - 1)})"
        if kind == 3:
            return f"idiv({self.whole(depth - 1)}, {rng.choice(('2', '3', '-5'))})"
        return f"({self.test(depth - 1)} ? {self.whole(depth - 1)} : {self.whole(depth - 1)})"

    def test(self, depth: int) -> str:
        rng = self.rng
        if self.bools and rng.random() < 0.2:
            return rng.choice(self.bools)
        kind = rng.randrange(6)
        if depth <= 0 or kind < 2:
            sign = rng.choice(("<", "<=", ">", ">=", "==", "!="))
            return f"({self.number(depth - 1)} {sign} {self.number(depth - 1)})"
        if kind == 2:
            return f"({self.test(depth - 1)} {rng.choice(('and', 'or'))} {self.test(depth - 1)})"
        if kind == 3:
            return f"(not {self.test(depth - 1)})"
        if kind == 4:
            return f"na({self.number(depth - 1)})"
        return f"({self.whole(depth - 1)} {rng.choice(('<', '>=', '!='))} {self.whole(depth - 1)})"

    def indicator(self) -> str:
        rng = self.rng
        while True:
            name = rng.choice(_INDICATORS)
            needs_bars = any(word in LIBRARY[name].source for word in _BAR_WORDS)
            if self.event == "bar" or not needs_bars:
                break
        length = ("n", "3", "5", "14")
        given = [
            rng.choice(length) if param.kind == "length" else rng.choice(self.floats)
            for param in function_of(name).params
        ]
        return f"{name}({', '.join(given)})"

    def statement(self, depth: int, level: int) -> None:  # noqa: C901 - one branch for each form
        rng = self.rng
        kind = rng.randrange(14)
        if kind < 3 and level == 1:
            self.new_float(level, self.indicator())
        elif kind < 5:
            self.new_float(level, self.number(depth))
        elif kind == 5:
            name = self.name()
            self.line(level, f"{name} = {self.whole(depth)}")
            self.ints.append(name)
        elif kind == 6:
            name = self.name()
            self.line(level, f"{name} = {self.test(depth)}")
            self.bools.append(name)
        elif kind == 7 and level == 1:
            past = [name for name in self.floats if name not in _WITHOUT_PAST]
            self.new_float(level, f"{rng.choice(past)}[{rng.choice(('1', '2', '5', 'n'))}]")
        elif kind == 8 and depth > 0:
            self.branch(depth, level)
        elif kind == 9 and depth > 0:
            self.loop(depth, level)
        elif kind == 10:
            self.change(depth, level)
        elif kind == 12 and depth > 0:
            self.switch(depth, level)
        elif kind == 13:
            self.switched_float(depth, level)
        else:
            self.effect(depth, level)

    def new_float(self, level: int, value: str) -> None:
        name = self.name()
        self.line(level, f"{name} = {value}")
        self.floats.append(name)

    def nested(self, depth: int, level: int) -> None:
        kept = (list(self.floats), list(self.ints), list(self.bools))
        for _ in range(self.rng.randint(1, 3)):
            self.statement(depth - 1, level + 1)
        self.floats, self.ints, self.bools = kept

    def branch(self, depth: int, level: int) -> None:
        self.line(level, f"if {self.test(depth)}")
        self.nested(depth, level)
        if self.rng.random() < 0.5:
            self.line(level, "else")
            self.nested(depth, level)

    def switch(self, depth: int, level: int) -> None:
        labels = self.labels(depth)
        self.line(level, f"switch {labels[0]}".rstrip())
        for label in labels[1:]:
            if self.rng.random() < 0.4:
                self.line(level + 1, f"{label} =>")
                self.nested(depth, level + 1)
            else:
                self.arm(label, level + 1)
        if self.rng.random() < 0.5:
            self.arm("", level + 1)

    def labels(self, depth: int) -> list[str]:
        """Return what a switch looks at, "" for conditions, then what its arms begin with."""
        count = self.rng.randint(1, 3)
        if self.rng.random() < 0.5:
            return ["", *(self.test(depth - 1) for _ in range(count))]
        if self.rng.random() < 0.3:
            return ["mode", *self.rng.sample(('"a"', '"b"', '"c"'), k=count)]
        return [self.whole(depth - 1), *(self.whole(0) for _ in range(count))]

    def arm(self, label: str, level: int) -> None:
        name = self.rng.choice(self.changing["f"])
        what = self.rng.choice((f"{name} := {self.number(1)}", f'plot("s", {self.number(1)})'))
        self.line(level, f"{label} => {what}".lstrip())

    def switched_float(self, depth: int, level: int) -> None:
        labels = self.labels(depth)
        name = self.name()
        self.line(level, f"{name} = switch {labels[0]}".rstrip())
        for label in labels[1:]:
            self.line(level + 1, f"{label} => {self.number(depth - 1)}")
        if self.rng.random() < 0.7:
            self.line(level + 1, f"=> {self.rng.choice((self.number(1), self.whole(0)))}")
        self.floats.append(name)

    def loop(self, depth: int, level: int) -> None:
        name = self.name()
        low, high = self.rng.choice(("0", "1", "-2")), self.rng.choice(("3", "n", "0"))
        self.line(level, f"for {name} in {low}..{high}")
        kept = list(self.ints)
        self.ints.append(name)
        self.nested(depth, level)
        self.ints = kept

    def change(self, depth: int, level: int) -> None:
        type_ = self.rng.choice("fib")
        if not self.changing[type_]:
            return self.effect(depth, level)
        value = {"f": self.number, "i": self.whole, "b": self.test}[type_](depth)
        self.line(level, f"{self.rng.choice(self.changing[type_])} := {value}")
        return None

    def effect(self, depth: int, level: int) -> None:
        rng = self.rng
        # No order may have a constant that is not above 0: bid keeps it from being one.
        side, x = rng.choice(("buy", "sell")), f"({self.number(depth)} + bid)"
        y = f"({self.number(1)} + bid)"
        text = rng.choice(
            (
                f"{side}({x})", f"{side}({x}, limit={y})",
                f"{side}(risk=1.0, sl={y}, tp={x})",
                f"{side}(equity_percent={x}, tp={y})",
                f'{side}(1.0, stop={x}, oco="a")', f'{side}({x}, limit={y}, ouo="a")',
                f"{side}(2.0, trail={x})", "flatten()",
                f"modify({self.whole(1)}, lots={x}, limit={y}, sl={y})",
                f"modify({self.whole(1)}, {rng.choice(_CHANGED)}={x})",
                f"cancel({self.whole(1)})", "close_position()", f'plot("p", {x})',
                f'log("x {{}} {{}}", {self.whole(1)}, {self.test(1)})',
            )
        )  # fmt: skip
        self.line(level, text)


_INDICATORS = _indicators()
_CHANGED = ("lots", "limit", "stop", "touch", "trail", "trail_percent", "sl", "tp", "exit_trail")
_WITHOUT_PAST = ("equity", "free_margin", "position", "fill_price", 'floor_distance("daily_loss")')
_BAR_WORDS = (
    "open", "high", "low", "close", "volume", "hl2", "hlc3", "ohlc4", "tr()", "true_range", "atr(",
    "ad()", "dmi", "aroon", "donchian",
)  # fmt: skip


def program_source(seed: int) -> str:
    """Return the source of a strategy that compiles without errors."""
    w = _Writer(seed)
    w.line(0, f'strategy "random {seed}"')
    w.line(0, "input n = int(4, min=1, max=9)")
    w.line(0, 'input mode = choice("b", ["a", "b", "c"])')
    w.line(0, "input level = float(1.5, min=-100.0, max=100.0)")
    w.line(0, "var g1 = 0.0\nvar g2 = na\nvar g3 = 0\nvar g4 = false")
    w.changing = {"f": ["g1", "g2"], "i": ["g3"], "b": ["g4"]}
    events = ["on tick", "on bar(1m)", 'on bar("GBPUSD", 5m)', "on fill", "on start", "on stop"]
    for event in w.rng.sample(events[:3], k=w.rng.randint(1, 3)) + w.rng.sample(events[3:], k=1):
        _handler(w, event)
    return "\n".join(w.lines) + "\n"


def _handler(w: _Writer, event: str) -> None:
    w.line(0, event)
    w.event = event.split()[1].partition("(")[0]
    w.floats = [
        "bid",
        "ask",
        "equity",
        "free_margin",
        "position",
        "g1",
        "g2",
        "level",
        'floor_distance("daily_loss")',
    ]
    w.floats += {"bar": ["open", "high", "low", "close", "volume"], "fill": ["fill_price"]}.get(
        w.event, []
    )
    w.ints, w.bools = ["n", "g3", "time"], ["g4"]
    for _ in range(w.rng.randint(2, 8)):
        w.statement(3, 1)
    w.line(1, f'plot("end", {w.number(1)})')


class RandomHost:
    """A market without sense: a value for each read from seed, event and read."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.event = 0

    def read(self, read: ir.Read) -> float | int:
        picked = (read.scope, read.field, read.symbol, read.stream, read.rule)
        rng = random.Random(f"{self.seed} {self.event} {picked}")
        if read.type == "i":
            extreme = rng.random() < 0.002
            return rng.randint(-(2**63), 2**63 - 1) if extreme else rng.choice((0, 1, self.event))
        if rng.random() < 0.08:
            return rng.choice(SPECIALS)
        return 100 + rng.gauss(0, 1) + 0.01 * self.event


def events_of(program: ir.Program, seed: int, count: int) -> Iterator[tuple[str, int, int]]:
    """Return (kind, symbol, stream) of a start, `count` events of the program's own, and a stop."""
    rng = random.Random(seed)
    own = sorted({(h.kind, max(h.symbol, 0), h.stream) for h in program.handlers})
    own = [one for one in own if one[0] in {"tick", "bar", "fill"}]
    yield "start", 0, -1
    for _ in range(count if own else 0):
        yield rng.choice(own)
    yield "stop", 0, -1


def effects_bytes(effects: Effects) -> bytes:
    """Return what handlers did as bytes, NaN canonical."""
    parts = []
    for order in effects.orders:
        parts.append(struct.pack("<q8q", order.order_id, *order.spec))
        parts += [word_bytes(order.args[name]) for name in ir.ORDER_ARGS]
    for output in effects.outputs:
        parts.append(f"{output.kind} {output.text}".encode())
        parts += [word_bytes(value) for value in output.values]
    return b"".join(parts)


def run_trace(program: ir.Program, seed: int, count: int = 60) -> str:
    """Return the hash of everything a program does on a random market, in the interpreter."""
    interpreter, host, digest = Interpreter(program), RandomHost(seed), hashlib.sha256()
    for kind, symbol, stream in events_of(program, seed, count):
        host.event += 1
        try:
            effects = interpreter.run(kind, host, symbol=symbol, stream=stream)
        except Trap as trap:
            digest.update(trap.reason.encode())
            break
        digest.update(effects_bytes(effects))
        digest.update(interpreter.image())
    return digest.hexdigest()
