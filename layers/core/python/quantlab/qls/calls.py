"""Calls of the strategy's functions and the library's, which are inlined, and of built-in ones."""

from collections.abc import Callable
from typing import Final

from quantlab.qls import limits, tree
from quantlab.qls.assigned import assigned_in
from quantlab.qls.context import Binding, Context, Scope, at_of
from quantlab.qls.diagnostics import did_you_mean
from quantlab.qls.intrinsics import INTRINSICS, LIBRARY_ONLY
from quantlab.qls.library import LIBRARY, function_of, is_derived, is_public
from quantlab.qls.names import READABLES
from quantlab.qls.orders import VERBS
from quantlab.qls.outputs import OUTPUTS
from quantlab.qls.reads import read_value
from quantlab.qls.templates import copied, template
from quantlab.qls.values import BOOL, ERROR, FLOAT, INT, SPOKEN, TEXT, WORD_TYPES, WRONG, Value

_KINDS: Final = {"float": FLOAT, "int": INT, "bool": BOOL, "text": TEXT}


def call(ctx: Context, node: tree.Call) -> Value:
    """Return the value of a call; the library cannot see the strategy's functions and verbs."""
    name = node.name
    ctx.image.at = ctx.called_at if ctx.trusted else node.at
    if not ctx.trusted and name in ctx.functions:
        ctx.used_functions.add(name)
        return _own(ctx, name, node)
    built_in = _built_in(ctx, name)
    if built_in is not None:
        return built_in(ctx, node)
    if name in LIBRARY and (ctx.trusted or is_public(name)):
        lowered = derived if is_derived(name) else _library
        return lowered(ctx, name, node.args, node.at)
    if name in READABLES:
        return read_value(ctx, name, node.args, node.at)
    return _unknown(ctx, node)


def _built_in(ctx: Context, name: str) -> Callable[[Context, tree.Call], Value] | None:
    if ctx.trusted:
        return INTRINSICS.get(name)
    if name in LIBRARY_ONLY:
        return None
    return INTRINSICS.get(name) or VERBS.get(name) or OUTPUTS.get(name)


def _unknown(ctx: Context, node: tree.Call) -> Value:
    for arg in node.args:
        ctx.expression(ctx, arg.value)
    if ctx.findings.broken:
        return ERROR
    library = {name for name in LIBRARY if is_public(name)}
    built_in = {*INTRINSICS, *VERBS, *OUTPUTS} - LIBRARY_ONLY
    hint = did_you_mean(node.name, {*ctx.functions, *library, *built_in, *READABLES})
    message = f"There is no function {node.name}."
    return ctx.error(node.at, "unknown-function", message, hint)


def _own(ctx: Context, name: str, node: tree.Call) -> Value:
    before = (ctx.image.words, len(ctx.image.histories))
    value = inline(ctx, ctx.functions[name], node.args, node.at)
    if before != (ctx.image.words, len(ctx.image.histories)):
        _check_steady(ctx, name, node.at)
    return value


def derived(ctx: Context, name: str, args: tuple[tree.Arg, ...], at: int) -> Value:
    """Return a value that the library computes from the market, such as mid or hl2(1h)."""
    if not args:
        return inline(ctx, function_of(name), (), at, trusted=True)
    symbol, period_ns = ctx.event.symbol, 0
    for arg in args:
        value = ctx.expression(ctx, arg.value)
        if value.type == WRONG:
            return value
        if value.type == TEXT:
            symbol = ctx.image.symbol(value.const)
        elif value.type == INT and value.const is not None and value.const > 0:
            period_ns = value.const
        else:
            return ctx.error(
                at_of(arg.value), "arguments", f"{name} takes a symbol and a timeframe."
            )
    outer_event, outer = ctx.event, ctx.override
    ctx.event = type(outer_event)(outer_event.kind, symbol, outer_event.stream)
    if period_ns:
        ctx.override = (symbol, period_ns)
    try:
        return inline(ctx, function_of(name), (), at, trusted=True)
    finally:
        ctx.override, ctx.event = outer, outer_event


def _library(ctx: Context, name: str, args: tuple[tree.Arg, ...], at: int) -> Value:
    if not ctx.trusted:
        ctx.image.indicators[name] = None
    before = (ctx.image.words, len(ctx.image.histories))
    value = inline(ctx, function_of(name), args, at, trusted=True)
    if not ctx.trusted and before != (ctx.image.words, len(ctx.image.histories)):
        _check_steady(ctx, name, at)
    return value


def _check_steady(ctx: Context, name: str, at: int) -> None:
    """Object to an indicator that would not see every event."""
    if ctx.looping:
        ctx.error(
            at, "series-in-loop",
            f"{name} keeps values of earlier events; in a loop all turns would share them.",
            "Compute it before the loop.",
        )  # fmt: skip
    elif ctx.conditional:
        ctx.warn(
            at, "conditional-series",
            f"{name} is computed only when this branch runs, so it misses the events between.",
            "Compute it before the `if`.",
        )  # fmt: skip


def inline(
    ctx: Context,
    function: tree.Function,
    args: tuple[tree.Arg, ...],
    at: int,
    *,
    trusted: bool = False,
) -> Value:
    """Lower a function's body in place of its call, with state of its own."""
    name = function.name.name
    if name in ctx.calls:
        return ctx.error(
            at, "recursion", f"{name} calls itself; functions are inlined and cannot.",
            "Use a loop with fixed bounds.",
        )  # fmt: skip
    given = _bind(ctx, function, args, at)
    if given is None or any(value.type == WRONG for value in given):
        return ERROR
    if trusted and not ctx.trusted:
        made = template(ctx, function, given, _lower_library)
        if made is not None:
            return copied(ctx, made, given, at)
    return _lower_body(ctx, function, given, at, trusted=trusted)


def _lower_library(ctx: Context, function: tree.Function, given: list[Value], at: int) -> Value:
    return _lower_body(ctx, function, given, at, trusted=True)


def _lower_body(
    ctx: Context, function: tree.Function, given: list[Value], at: int, *, trusted: bool
) -> Value:
    ctx.image.count_call(ctx.called_at if ctx.trusted else at)
    scope = Scope(None if trusted else ctx.top, assigned_in(function.body))
    outer = (ctx.scope, ctx.called_at)
    if trusted and not ctx.trusted:
        ctx.called_at = at
    ctx.trusted += trusted
    ctx.calls.append(function.name.name)
    ctx.scope = scope
    ctx.deeper(at)
    try:
        for param, value in zip(function.params, given, strict=True):
            scope.names[param.name] = _param(ctx, scope, param, value)
        return ctx.body(ctx, function.body)
    finally:
        ctx.depth -= 1
        ctx.scope, ctx.called_at = outer
        ctx.calls.pop()
        ctx.trusted -= trusted


def _param(ctx: Context, scope: Scope, param: tree.Param, value: Value) -> Binding:
    binding = Binding(param.name, value, at=param.at, used=True)
    if param.name in scope.reassigned and value.type in WORD_TYPES:
        ctx.code.slots.append(value.type)
        binding.slot = len(ctx.code.slots) - 1
        binding.fixed = False
        binding.value = value._replace(reg=-1, const=None, low=None, high=None, fixed=False)
        ctx.code.emit("lset", "", (ctx.code.reg(value),), binding.slot)
    return binding


def _bind(
    ctx: Context, function: tree.Function, args: tuple[tree.Arg, ...], at: int
) -> list[Value] | None:
    """Match arguments to parameters; None where they do not fit, which was reported."""
    params = {param.name: param for param in function.params}
    names = list(params)
    nodes: dict[str, tree.Expr] = {}
    name = function.name.name
    for place, arg in enumerate(args):
        slot = arg.name or (names[place] if place < len(names) else "")
        if slot not in params:
            what = f"no parameter {arg.name}" if arg.name else f"at most {len(names)} arguments"
            ctx.error(arg.at, "arguments", f"{name} has {what}.", _usage(function))
            return None
        if slot in nodes:
            ctx.error(arg.at, "arguments", f"{slot} is given twice.", _usage(function))
            return None
        nodes[slot] = arg.value
    values = []
    for param in function.params:
        node = nodes.get(param.name, param.default)
        if node is None:
            ctx.error(at, "arguments", f"{name} needs {param.name}.", _usage(function))
            return None
        values.append(_fit(ctx, name, param, ctx.expression(ctx, node), at_of(node)))
    return values


def _fit(ctx: Context, name: str, param: tree.Param, value: Value, at: int) -> Value:
    if value.type == WRONG or not param.kind:
        return value
    if param.kind == "length":
        return _length(ctx, name, param, value, at)
    if param.kind not in _KINDS:
        return ctx.error(
            param.at, "type", f"There is no type {param.kind}.",
            did_you_mean(param.kind, (*_KINDS, "length")),
        )  # fmt: skip
    return ctx.convert(value, _KINDS[param.kind], at, f"{param.name} of {name}")


def _length(ctx: Context, name: str, param: tree.Param, value: Value, at: int) -> Value:
    label = f"{param.name} of {name}"
    if value.type != INT:
        return ctx.error(at, "type", f"{label} must be an int, but this is {SPOKEN[value.type]}.")
    if not value.fixed:
        return ctx.error(
            at, "length", f"{label} must be known before the first event.",
            "Use a number or an input.",
        )  # fmt: skip
    if value.low is None or value.high is None or value.high > limits.LENGTH_MAX or value.low < 1:
        held = "" if value.low is None else f", but it lies in {value.low}..{value.high}"
        return ctx.error(
            at, "length", f"{label} must lie in 1..{limits.LENGTH_MAX}{held}.",
            "Give the input bounds: input n = int(14, min=1, max=200).",
        )  # fmt: skip
    return value


def _usage(function: tree.Function) -> str:
    return f"It is {function.name.name}({', '.join(param.name for param in function.params)})."
