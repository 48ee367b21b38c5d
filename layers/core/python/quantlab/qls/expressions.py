"""Expressions to instructions, with their types checked."""

from typing import Final

from quantlab.qls import limits, tree
from quantlab.qls.builder import History
from quantlab.qls.calls import call, derived
from quantlab.qls.context import Binding, Context, at_of
from quantlab.qls.diagnostics import did_you_mean
from quantlab.qls.library import LIBRARY, is_derived
from quantlab.qls.names import READABLES
from quantlab.qls.operators import combine, select
from quantlab.qls.reads import read_value
from quantlab.qls.semantics import NA
from quantlab.qls.switches import value_of
from quantlab.qls.values import (
    BOOL,
    ERROR,
    FLOAT,
    INT,
    SPOKEN,
    TUPLE,
    WORD_TYPES,
    WRONG,
    Value,
    constant,
)

_CONSTANTS: Final = {"na": NA, "true": True, "false": False}


def lower(ctx: Context, node: tree.Expr) -> Value:
    """Return the value of an expression; ERROR where it has none, which was reported."""
    kind = node.__class__
    if kind is tree.Number:
        return constant(node.value)  # type: ignore[union-attr]
    if kind is tree.Name:
        return _name(ctx, node)  # type: ignore[arg-type]
    ctx.deeper(at_of(node) if kind is not tree.Binary else node.at)
    try:
        return _compound(ctx, node)
    finally:
        ctx.depth -= 1


def _compound(ctx: Context, node: tree.Expr) -> Value:  # noqa: PLR0911 - one for each kind of node
    if isinstance(node, tree.Binary):
        return _binary(ctx, node)
    if isinstance(node, tree.Call):
        return call(ctx, node)
    if isinstance(node, tree.History):
        return _history(ctx, node)
    if isinstance(node, tree.Unary):
        return _unary(ctx, node)
    if isinstance(node, tree.Choice):
        return _choice(ctx, node)
    if isinstance(node, tree.Tuple):
        return Value(TUPLE, items=tuple([lower(ctx, item) for item in node.items]))
    if isinstance(node, tree.Switch):
        return value_of(ctx, node)
    return constant(node.value if isinstance(node, tree.Text) else NA)


def _name(ctx: Context, node: tree.Name) -> Value:
    name = node.name
    binding = ctx.scope.find(name)
    if binding is not None:
        return ctx.load(binding)
    if name in _CONSTANTS:
        return constant(_CONSTANTS[name])
    if name in READABLES:
        return read_value(ctx, name, (), node.at)
    if is_derived(name):
        return derived(ctx, name, (), node.at)
    if name in LIBRARY or name in ctx.functions:
        return ctx.error(
            node.at, "call", f"{name} is a function: its arguments follow in brackets.",
            f"Write {name}(...).",
        )  # fmt: skip
    return unknown(ctx, name, node.at)


def unknown(ctx: Context, name: str, at: int) -> Value:
    """Report a name that nothing bears."""
    if ctx.findings.broken:
        return ERROR
    known = {*READABLES, *_CONSTANTS, *(one for one in LIBRARY if is_derived(one))}
    scope = ctx.scope
    while True:
        known |= set(scope.names)
        if scope.outer is None:
            break
        scope = scope.outer
    return ctx.error(
        at, "unknown-name", f"Nothing here is called {name}.", did_you_mean(name, known)
    )


def _binary(ctx: Context, node: tree.Binary) -> Value:
    """Lower a chain of operators from its innermost left operand on, without recursion."""
    chain: list[tree.Binary] = []
    left: tree.Expr = node
    while isinstance(left, tree.Binary):
        chain.append(left)
        left = left.left
    value = lower(ctx, left)
    for link in reversed(chain):
        value = combine(ctx, link.op, value, lower(ctx, link.right), link.at)
    return value


def _unary(ctx: Context, node: tree.Unary) -> Value:
    value = lower(ctx, node.operand)
    if value.type == WRONG:
        return value
    if node.op == "not":
        if value.type != BOOL:
            return ctx.error(
                node.at, "type", f"`not` needs a condition, but this is {SPOKEN[value.type]}."
            )
        return ctx.code.pure("bnot", value)
    if value.type == INT:
        return combine(ctx, "-", constant(0), value, node.at)
    if value.type != FLOAT:
        return ctx.error(node.at, "type", f"- needs a number, but this is {SPOKEN[value.type]}.")
    return ctx.code.pure("fneg", value)


def _choice(ctx: Context, node: tree.Choice) -> Value:
    """Lower `test ? then : other`: both sides are computed, so that indicators never miss a bar."""
    test = lower(ctx, node.test)
    then, other = lower(ctx, node.then), lower(ctx, node.other)
    if WRONG in {test.type, then.type, other.type}:
        return ERROR
    if test.type != BOOL:
        return ctx.error(
            at_of(node.test),
            "type",
            f"What stands before ? must be a bool, but is {SPOKEN[test.type]}.",
        )
    return select(ctx, test, then, other, node.at)


def _history(ctx: Context, node: tree.History) -> Value:
    index = lower(ctx, node.back)
    if index.type == WRONG:
        return index
    problem = _index_problem(index)
    if problem:
        code, message, hint = problem
        return ctx.error(at_of(node.back), code, message, hint)
    base = node.base
    if isinstance(base, tree.Name):
        binding = ctx.scope.find(base.name)
        if binding is not None:
            return _binding_history(ctx, binding, index, node.at)
        if base.name in READABLES:
            return read_value(ctx, base.name, (), node.at, back=index)
    if isinstance(base, tree.Call) and base.name in READABLES and base.name not in ctx.functions:
        return read_value(ctx, base.name, base.args, node.at, back=index)
    return _value_history(ctx, lower(ctx, base), index, node.at)


def _index_problem(index: Value) -> tuple[str, str, str] | None:
    if index.type != INT:
        return (
            "type",
            f"The number of events back must be an int, but this is {SPOKEN[index.type]}.",
            "",
        )
    if index.low is not None and index.low < 0:
        return (
            "look-ahead",
            "This looks ahead: x[1] is the value before, a negative number would be the future.",
            "No strategy can read the future; use a number of at least 0.",
        )
    if index.high is None or index.low is None:
        return (
            "unbounded",
            "How far back this looks is not bounded when the strategy is compiled.",
            "Use a number, a loop's variable or an input with min and max.",
        )
    if index.high > limits.LENGTH_MAX:
        return (
            "length",
            f"This looks {index.high} events back; at most {limits.LENGTH_MAX} are kept.",
            "",
        )
    return None


def _binding_history(ctx: Context, binding: Binding, index: Value, at: int) -> Value:
    """Read a name's value of earlier: what it held when its block ended, so many events ago."""
    known = binding.value
    if known.type == WRONG or index.const == 0 or known.fixed:
        return ctx.load(binding)
    if known.type not in WORD_TYPES:
        return ctx.error(at, "type", f"{SPOKEN[known.type]} has no history.".capitalize())
    binding.used = True
    if binding.history is None:
        binding.history = ctx.image.history(known.type)
    past = _past(ctx, binding.history, index)
    if index.low is not None and index.low > 0:
        return past
    return _or_current(ctx, index, ctx.load(binding), past, at)


def _value_history(ctx: Context, value: Value, index: Value, at: int) -> Value:
    if value.type == WRONG or index.const == 0 or value.fixed:
        return value
    if value.type not in WORD_TYPES:
        return ctx.error(at, "type", f"{SPOKEN[value.type]} has no history.".capitalize())
    if ctx.looping and not ctx.trusted:
        return ctx.error(
            at, "series-in-loop", "The past of an expression cannot be kept in a loop.",
            "Give it a name before the loop.",
        )  # fmt: skip
    kept = ctx.image.history(value.type)
    past = _past(ctx, kept, index)
    ctx.code.emit("hpush", "", (ctx.code.reg(value),), kept)
    return _or_current(ctx, index, value, past, at)


def _past(ctx: Context, kept: History, index: Value) -> Value:
    """Read back from before the current value was pushed: one push less."""
    kept.depth = max(kept.depth, index.high or 1)
    back = combine(ctx, "-", index, constant(1), 0)
    return Value(kept.type, ctx.code.emit("hget", kept.type, (ctx.code.reg(back),), kept))


def _or_current(ctx: Context, index: Value, current: Value, past: Value, at: int) -> Value:
    if index.low is not None and index.low > 0:
        return past
    now = ctx.code.pure("ieq", index, constant(0))
    return select(ctx, now, current, past, at)
