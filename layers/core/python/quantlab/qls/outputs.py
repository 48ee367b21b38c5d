"""Plots, markers, alerts and log lines."""

from collections.abc import Callable
from typing import Final

from quantlab.qls import ir, tree
from quantlab.qls.context import Context, at_of
from quantlab.qls.values import BOOL, ERROR, FLOAT, INT, NOTHING, SPOKEN, WRONG, Value

VALUES_MAX: Final = 8


def _values(ctx: Context, args: tuple[tree.Arg, ...]) -> list[Value] | None:
    values = []
    for arg in args:
        value = ctx.expression(ctx, arg.value)
        if value.type == WRONG:
            return None
        if arg.name or value.type not in {FLOAT, INT, BOOL}:
            ctx.error(
                at_of(arg.value),
                "arguments",
                f"A value is shown here, but this is {SPOKEN[value.type]}.",
            )
            return None
        values.append(value)
    return values


def _text(ctx: Context, node: tree.Call) -> str | None:
    if node.args and isinstance(node.args[0].value, tree.Text) and not node.args[0].name:
        return node.args[0].value.value
    ctx.error(node.at, "arguments", f'{node.name} begins with a text: {node.name}("name", ...).')
    return None


def _emit(ctx: Context, node: tree.Call, text: str, values: list[Value]) -> Value:
    spec = ir.OutputSpec(node.name, ctx.image.string(text))
    ctx.code.emit("output", "", tuple(ctx.code.reg(value) for value in values), spec)
    return NOTHING


def _message(ctx: Context, node: tree.Call) -> Value:
    text = _text(ctx, node)
    if text is None:
        return ERROR
    values = _values(ctx, node.args[1:])
    if values is None:
        return ERROR
    if text.count("{}") != len(values) or len(values) > VALUES_MAX:
        return ctx.error(
            node.at, "arguments",
            f"The text has {text.count('{}')} places {{}} for {len(values)} values.",
            f"Give each place a value, {VALUES_MAX} at most.",
        )  # fmt: skip
    return _emit(ctx, node, text, values)


def _drawn(ctx: Context, node: tree.Call) -> Value:
    text = _text(ctx, node)
    if text is None:
        return ERROR
    if len(node.args) != 2:
        return ctx.error(node.at, "arguments", f'It is {node.name}("name", value).')
    values = _values(ctx, node.args[1:])
    if values is None:
        return ERROR
    value = ctx.convert(values[0], FLOAT, at_of(node.args[1].value), "What is drawn")
    return value if value.type == WRONG else _emit(ctx, node, text, [value])


OUTPUTS: Final[dict[str, Callable[[Context, tree.Call], Value]]] = {
    "plot": _drawn,
    "marker": _drawn,
    "alert": _message,
    "log": _message,
}
OUTPUT_DOCS: Final = {
    "plot": ('plot("name", value)', "A point of a line on the chart, at the time of the event."),
    "marker": ('marker("name", price)', "A mark on the chart at a price."),
    "alert": ('alert("text {}", value)', "A message to the trader; {} takes a value."),
    "log": ('log("text {}", value)', "A line in the strategy's log; {} takes a value."),
}
