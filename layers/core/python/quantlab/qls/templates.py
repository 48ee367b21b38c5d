"""Calls of the library, lowered once for each shape of arguments and copied from then on.

A copy is the same instructions with registers, words and histories of its own: about a microsecond
an instruction, a twentieth of lowering it again. The cache holds what follows from the library
alone, so a program does not depend on what was compiled before it.
"""

from typing import Any, Final

from quantlab.kernel.records import dataclass, replace
from quantlab.qls import ir, limits, tree
from quantlab.qls.builder import Code, History, Image
from quantlab.qls.context import Context, Scope
from quantlab.qls.diagnostics import Findings, LimitReached
from quantlab.qls.ir import Ins
from quantlab.qls.values import FLOAT, Value

TEMPLATES_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class Template:
    """A lowered body: its image and code, and the value it gives in its own registers."""

    image: Image
    code: Code
    value: Value


_cache: dict[Any, Template | None] = {}


def shape(ctx: Context, name: str, given: list[Value]) -> Any:
    """Return what a lowered body depends on."""
    event = ctx.event
    symbol = -1
    if event.stream >= 0:
        symbol = list(ctx.image.streams)[event.stream].symbol
    values = [
        (v.type, _const_key(v), v.low, v.high, v.fixed) if not v.items else None for v in given
    ]
    return name, event.kind, event.symbol, event.stream, symbol, tuple(values)


def template(
    ctx: Context, function: tree.Function, given: list[Value], inline: Any
) -> Template | None:
    """Return the body for arguments; None where lowering it found something to report."""
    if ctx.override is not None:
        return None
    key = shape(ctx, function.name.name, given)
    if key not in _cache:
        if len(_cache) >= TEMPLATES_MAX:
            _cache.clear()
        _cache[key] = _lowered(ctx, function, given, inline)
    return _cache[key]


def _const_key(value: Value) -> Any:
    if value.const is None:
        return None
    return ir.bits_of(value.const) if value.type == FLOAT else (value.const,)


def _lowered(
    ctx: Context, function: tree.Function, given: list[Value], inline: Any
) -> Template | None:
    image = Image()
    image.symbols, image.streams = dict(ctx.image.symbols), dict(ctx.image.streams)
    code, findings, scope = Code(image), Findings(""), Scope(None)
    inner = replace(
        ctx, findings=findings, image=image, code=code, scope=scope, top=scope, depth=0, calls=[],
        trusted=0, called_at=0, conditional=0, looping=0,
    )  # fmt: skip
    placed = [v if v.const is not None else v._replace(reg=code.register(v.type)) for v in given]
    try:
        value: Value = inline(inner, function, placed, 0)
    except LimitReached:
        return None
    return None if findings.sorted() else Template(image, code, value)


class _Copy:
    """One copy of a template into a program's code."""

    def __init__(self, ctx: Context, made: Template, given: list[Value]) -> None:
        self.ctx, self.made = ctx, made
        image, code = ctx.image, ctx.code
        self.word = image.words_for(made.image.words)
        self.slot = len(code.slots)
        code.slots += made.code.slots
        self.fills = [
            ir.Fill(fill.start + self.word, fill.words, fill.type, fill.value)
            for fill in made.image.fills
        ]
        image.fills += self.fills
        self.histories = self._histories()
        self.regs = self._registers(given)

    def _histories(self) -> dict[History, History]:
        image = self.ctx.image
        found: dict[History, History] = {}
        for source, kept in self.made.image.market.items():
            for read, history in kept.items():
                mine = image.market.setdefault(source, {})
                if read not in mine:
                    mine[read] = image.history(read.type)
                mine[read].depth = max(mine[read].depth, history.depth)
                found[history] = mine[read]
        for history in self.made.image.histories:
            if history not in found:
                copy = image.history(history.type)
                copy.depth = history.depth
                found[history] = copy
        return found

    def _registers(self, given: list[Value]) -> list[int]:
        code, made = self.ctx.code, self.made.code
        regs = [-1] * len(made.types)
        place = 0
        for value in given:
            if value.const is None:
                regs[place] = code.reg(value)
                place += 1
        for (type_, _), (reg, const) in made.consts.items():
            regs[reg] = code.reg(Value(type_, const=const))
        reads = list(self.made.image.reads)
        for number, reg in made.reads.items():
            regs[reg] = code.read(reads[number])
        for reg, type_ in enumerate(made.types):
            if regs[reg] < 0:
                regs[reg] = len(code.types)
                code.types.append(type_)
        return regs

    def block(self, block: list[Ins]) -> list[Ins]:
        regs, made, kind = self.regs, tuple.__new__, Ins
        out = []
        for op, to, args, imm in block:
            moved = imm if imm is None else self._imm(op, imm)
            if len(args) == 2:
                mine = (regs[args[0]], regs[args[1]])
            else:
                mine = tuple([regs[arg] for arg in args])  # type: ignore[assignment]
            out.append(made(kind, (op, regs[to] if to >= 0 else -1, mine, moved)))
        return out

    def _imm(self, op: str, imm: Any) -> Any:
        if op in {"load", "store"}:
            return imm + self.word
        if op in {"lget", "lset"}:
            return imm + self.slot
        if op in {"rget", "rput"}:
            return imm[0] + self.word, imm[1]
        if op in {"hpush", "hget"}:
            return self.histories[imm]
        if op == "if":
            return self.block(imm[0]), self.block(imm[1])
        return self.block(imm[0]), imm[1]

    def value(self, value: Value) -> Value:
        """Return a value of the template in the program's registers."""
        if value.items:
            return value._replace(items=tuple(self.value(item) for item in value.items))
        return value._replace(reg=self.regs[value.reg]) if value.reg >= 0 else value


def copied(ctx: Context, made: Template, given: list[Value], at: int) -> Value:
    """Append a template to the program and return the value it gives."""
    image = ctx.image
    image.instructions += made.image.instructions
    image.inlined += made.image.inlined - 1
    image.count_call(at)
    if image.instructions > limits.INSTRUCTIONS_MAX:
        raise LimitReached(
            at, "INSTRUCTIONS_MAX",
            f"The program has more than {limits.INSTRUCTIONS_MAX} instructions after inlining.",
        )  # fmt: skip
    copy = _Copy(ctx, made, given)
    ctx.code.block += copy.block(made.code.block)
    return copy.value(made.value)
