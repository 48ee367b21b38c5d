"""Statements to instructions: names, branches, bounded loops."""

from collections.abc import Callable
from typing import Any, Final

from quantlab.qls import limits, tree
from quantlab.qls.context import Binding, Context, Scope, at_of
from quantlab.qls.diagnostics import did_you_mean
from quantlab.qls.library import is_derived
from quantlab.qls.names import READABLES
from quantlab.qls.operators import combine
from quantlab.qls.switches import carry_out
from quantlab.qls.values import (
    BOOL,
    ERROR,
    INT,
    NOTHING,
    RING,
    SPOKEN,
    TUPLE,
    VOID,
    WORD_TYPES,
    WRONG,
    Value,
)

_RESERVED: Final = frozenset(("na", "true", "false"))


def body(ctx: Context, statements: tuple[tree.Statement, ...]) -> Value:
    """Lower the statements of a block in the scope it is in; return what `return` gives."""
    result = NOTHING
    last = len(statements) - 1
    for place, statement in enumerate(statements):
        if statement.__class__ is tree.Return:
            result = ctx.expression(ctx, statement.value)
            if place != last or not ctx.calls or ctx.scope.outer not in {None, ctx.top}:
                ctx.error(
                    statement.at, "return", "return is the last line of a function.",
                    "Choose the value with ? : or switch, or set a name in the branches.",
                )  # fmt: skip
            continue
        _LOWERED[statement.__class__](ctx, statement)
    close_scope(ctx, ctx.scope)
    return result


def close_scope(ctx: Context, scope: Scope) -> None:
    """Keep the last values of names whose past is read, and warn of names nobody reads."""
    for binding in scope.names.values():
        if binding.history is not None:
            used, binding.used = binding.used, True
            value = ctx.load(binding)
            binding.used = used
            ctx.code.emit("hpush", "", (ctx.code.reg(value),), binding.history)
        if not binding.used and binding.value.type != WRONG and not binding.name.startswith("_"):
            ctx.warn(
                binding.at, "unused", f"{binding.name} is never read.",
                "Delete it, or begin its name with _.",
            )  # fmt: skip


def _do(ctx: Context, node: tree.Do) -> None:
    value = ctx.expression(ctx, node.value)
    is_order = isinstance(node.value, tree.Call)
    if value.type not in {VOID, WRONG} and not is_order:
        ctx.warn(
            node.at, "no-effect", "The value of this line goes nowhere.",
            "Give it a name, or change a name with :=.",
        )  # fmt: skip


def declare(ctx: Context, name: tree.Name, value: Value) -> Binding | None:
    """Begin a name in the innermost scope; None where it may not be, which was reported."""
    if name.name in _RESERVED or (
        not ctx.trusted and (name.name in READABLES or is_derived(name.name))
    ):
        ctx.error(
            name.at,
            "reserved",
            f"{name.name} is a name of the language.",
            f"Call it my_{name.name}.",
        )
        return None
    known = ctx.scope.find(name.name)
    if known is not None and not ctx.trusted and name.name != "_":
        ctx.error(
            name.at, "redeclared", f"{name.name} exists already; = begins a new name.",
            f"Change it with {name.name} := ....",
        )  # fmt: skip
        return None
    binding = Binding(name.name, value, at=name.at)
    ctx.scope.names[name.name] = binding
    return binding


def _is_reassigned(scope: Scope | None, name: str) -> bool:
    while scope is not None:
        if name in scope.reassigned:
            return True
        scope = scope.outer
    return False


def _let(ctx: Context, node: tree.Let) -> None:
    value = ctx.expression(ctx, node.value)
    if not node.is_tuple:
        if value.type == TUPLE:
            value = ctx.error(
                node.at, "type", f"This gives {len(value.items)} values.", "Write [a, b] = ...."
            )
        if node.names:
            _bind(ctx, node.names[0], value)
        return
    items: tuple[Value, ...] = value.items
    if value.type != TUPLE or len(items) != len(node.names):
        if value.type != WRONG:
            count = f"{len(items)} values" if items else "one value"
            ctx.error(
                node.at,
                "type",
                f"The right side gives {count}, but {len(node.names)} names stand here.",
            )
        items = (ERROR,) * len(node.names)
    for name, item in zip(node.names, items, strict=True):
        _bind(ctx, name, item)


def _bind(ctx: Context, name: tree.Name, value: Value) -> None:
    if value.type == VOID:
        value = ctx.error(name.at, "type", "The right side has no value.")
    binding = declare(ctx, name, value)
    if binding is None or value.type not in WORD_TYPES:
        return
    if _is_reassigned(ctx.scope, name.name):
        ctx.code.slots.append(value.type)
        binding.slot = len(ctx.code.slots) - 1
        binding.value = Value(value.type)
        ctx.code.emit("lset", "", (ctx.code.reg(value),), binding.slot)


def _assign(ctx: Context, node: tree.Assign) -> None:
    binding = ctx.scope.find(node.name)
    value = ctx.expression(ctx, node.value)
    if binding is None and (node.name in READABLES or is_derived(node.name)):
        ctx.error(
            node.at, "assign", f"{node.name} is a name of the language and cannot be changed."
        )
        return
    if binding is None:
        names: set[str] = set()
        scope: Scope | None = ctx.scope
        while scope is not None:
            names |= set(scope.names)
            scope = scope.outer
        hint = (
            did_you_mean(node.name, names)
            or f"Begin it with {node.name} = ... or var {node.name} = ...."
        )
        ctx.error(node.at, "unknown-name", f"Nothing here is called {node.name}.", hint)
        return
    if binding.slot < 0 and (binding.word < 0 or binding.fixed):
        if binding.value.type != WRONG:
            ctx.error(
                node.at,
                "assign",
                f"{node.name} cannot be changed: it is an input, a constant or a loop's.",
            )
        return
    if node.op:
        used = binding.used
        value = combine(ctx, node.op, ctx.load(binding), value, node.at)
        binding.used = used
    value = ctx.convert(value, binding.value.type, at_of(node.value), node.name)
    if value.type == WRONG:
        return
    op, place = ("lset", binding.slot) if binding.slot >= 0 else ("store", binding.word)
    ctx.code.emit(op, "", (ctx.code.reg(value),), place)


def _var(ctx: Context, node: tree.Var) -> None:
    """Lower `var x = value` in a handler or function: computed once, when it first runs."""
    image, code = ctx.image, ctx.code
    with code.inside() as first:
        value = ctx.expression(ctx, node.value)
    if value.type not in WORD_TYPES:
        if value.type != WRONG:
            value = ctx.error(node.at, "type", f"A var cannot hold {SPOKEN[value.type]}.")
        declare(ctx, node.name, value)
        return
    if value.const is not None:
        word = image.word(value.type, value.const)
    else:
        word, flag = image.words_for(1), image.words_for(1)
        begun = code.emit("load", BOOL, (), flag)
        fresh = code.emit("bnot", BOOL, (begun,))
        with code.inside() as block:
            block.extend(first)
            code.emit("store", "", (value.reg,), word)
            code.emit("store", "", (code.reg(Value(BOOL, const=True)),), flag)
        code.emit("if", "", (fresh,), (block, []))
    binding = declare(ctx, node.name, Value(value.type))
    if binding is not None:
        binding.word, binding.fixed = word, False


def _ring(ctx: Context, node: tree.Ring) -> None:
    size = ctx.expression(ctx, node.size)
    if not ctx.trusted:
        ctx.error(node.at, "ring", "ring is for the library; keep the past of a name with x[1].")
        return
    capacity = size.high or 1
    extra = (ctx.image.words_for(capacity), capacity)
    ctx.scope.names[node.name] = Binding(node.name, Value(RING, extra=extra), used=True)


def _condition(ctx: Context, node: tree.Expr) -> Value:
    value = ctx.expression(ctx, node)
    if value.type not in {BOOL, WRONG}:
        return ctx.error(
            at_of(node), "type", f"A condition must be a bool, but this is {SPOKEN[value.type]}.",
            "Compare it: x != 0.",
        )  # fmt: skip
    if value.const is not None:
        word = "true" if value.const else "false"
        ctx.warn(at_of(node), f"always-{word}", f"This condition is always {word}.")
    return value


def _if(ctx: Context, node: tree.If) -> None:
    """Lower a branch; a chain of `else if` in a loop, so that its length is no nesting."""
    code = ctx.code
    test = _condition(ctx, node.test)
    ctx.conditional += 1
    then = ctx.block(node.then, node.then[0].at)
    other = ctx.block(node.other, node.at) if node.other else []
    ctx.conditional -= 1
    if test.type == BOOL:
        code.emit("if", "", (code.reg(test),), (then, other))


def _for(ctx: Context, node: tree.For) -> None:
    low, high = ctx.expression(ctx, node.low), ctx.expression(ctx, node.high)
    turns = _turns(ctx, node, low, high)
    code = ctx.code
    outer, ctx.scope = ctx.scope, Scope(ctx.scope)
    ctx.looping += 1
    ctx.deeper(node.at)
    try:
        out = code.register(INT)
        counter = Value(INT, out, low=low.low, high=high.high)
        binding = declare(ctx, node.name, counter)
        if binding is not None:
            binding.used = True
        with code.inside() as block:
            body(ctx, node.body)
    finally:
        ctx.depth -= 1
        ctx.looping -= 1
        ctx.scope = outer
    if turns:
        code.loop(out, low, high, (block, turns))


def _turns(ctx: Context, node: tree.For, low: Value, high: Value) -> int:
    """Return the most turns of a loop, 0 where it has errors."""
    for value, bound in ((low, node.low), (high, node.high)):
        if value.type == WRONG:
            return 0
        if value.type != INT:
            ctx.error(
                at_of(bound),
                "type",
                f"The bounds of a loop are ints, but this is {SPOKEN[value.type]}.",
            )
            return 0
        if value.low is None or value.high is None or not value.fixed:
            ctx.error(
                at_of(bound), "unbounded", "The bounds of a loop are known when it is compiled.",
                "Use numbers, or inputs with min and max.",
            )  # fmt: skip
            return 0
    turns = (high.high or 0) - (low.low or 0) + 1
    if turns > limits.LENGTH_MAX:
        ctx.error(
            node.at,
            "loop",
            f"This loop has up to {turns} turns; at most {limits.LENGTH_MAX} are allowed.",
        )
        return 0
    if turns < 1:
        ctx.warn(
            node.at, "always-false", "This loop never runs: its low bound is above its high bound."
        )
    return max(turns, 1)


_LOWERED: Final[dict[type, Callable[[Context, Any], None]]] = {
    tree.Let: _let,
    tree.Assign: _assign,
    tree.If: _if,
    tree.Do: _do,
    tree.For: _for,
    tree.Var: _var,
    tree.Switch: carry_out,
    tree.Ring: _ring,
}
