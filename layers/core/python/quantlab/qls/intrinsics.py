"""Functions that are operations of the IR rather than texts of the library."""

from collections.abc import Callable
from math import isqrt
from typing import Final

from quantlab.qls import tree
from quantlab.qls.context import Context, at_of
from quantlab.qls.operators import combine, select
from quantlab.qls.values import ERROR, FLOAT, INT, NOTHING, RING, SPOKEN, WRONG, Value, constant

LIBRARY_ONLY: Final = frozenset(("get", "put", "pow2", "exponent", "isqrt"))


def _values(ctx: Context, node: tree.Call, least: int, most: int) -> list[Value] | None:
    if any(arg.name for arg in node.args) or not least <= len(node.args) <= most:
        count = f"{least}" if least == most else f"{least} to {most}"
        ctx.error(node.at, "arguments", f"{node.name} takes {count} arguments by position.")
        return None
    values = [ctx.expression(ctx, arg.value) for arg in node.args]
    return None if any(value.type == WRONG for value in values) else values


def _float(ctx: Context, node: tree.Call, place: int, value: Value) -> Value:
    return ctx.convert(value, FLOAT, at_of(node.args[place].value), f"The argument of {node.name}")


def _unary(op: str) -> Callable[[Context, tree.Call], Value]:
    def lowered(ctx: Context, node: tree.Call) -> Value:
        values = _values(ctx, node, 1, 1)
        if values is None:
            return ERROR
        value = _float(ctx, node, 0, values[0])
        return value if value.type == WRONG else ctx.code.pure(op, value)

    return lowered


def _abs(ctx: Context, node: tree.Call) -> Value:
    values = _values(ctx, node, 1, 1)
    if values is None:
        return ERROR
    value = values[0]
    if value.type != INT:
        value = _float(ctx, node, 0, value)
        return value if value.type == WRONG else ctx.code.pure("fabs", value)
    negative = ctx.code.pure("ilt", value, constant(0))
    return select(ctx, negative, combine(ctx, "-", constant(0), value, node.at), value, node.at)


def _extreme(op: str) -> Callable[[Context, tree.Call], Value]:
    def lowered(ctx: Context, node: tree.Call) -> Value:
        values = _values(ctx, node, 2, 16)
        if values is None:
            return ERROR
        if all(value.type == INT for value in values):
            best = values[0]
            for value in values[1:]:
                best = _int_extreme(ctx, op, best, value, node.at)
            return best
        values = [_float(ctx, node, place, value) for place, value in enumerate(values)]
        if any(value.type == WRONG for value in values):
            return ERROR
        best = values[0]
        for value in values[1:]:
            best = ctx.code.pure("f" + op, best, value)
        return best

    return lowered


def _int_extreme(ctx: Context, op: str, a: Value, b: Value, at: int) -> Value:
    test = ctx.code.pure("ilt" if op == "min" else "igt", a, b)
    picked = select(ctx, test, a, b, at)
    if picked.const is not None:
        return picked
    pick = min if op == "min" else max
    lows = [side.low for side in (a, b) if side.low is not None]
    highs = [side.high for side in (a, b) if side.high is not None]
    low = pick(lows) if len(lows) == 2 or (op == "max" and lows) else None
    high = pick(highs) if len(highs) == 2 or (op == "min" and highs) else None
    return picked._replace(low=low, high=high)


def _na(ctx: Context, node: tree.Call) -> Value:
    values = _values(ctx, node, 1, 1)
    if values is None:
        return ERROR
    if values[0].type != FLOAT:
        return ctx.error(
            node.at, "type", f"Only floats can be na, but this is {SPOKEN[values[0].type]}."
        )
    return ctx.code.pure("fisna", values[0])


def _nz(ctx: Context, node: tree.Call) -> Value:
    values = _values(ctx, node, 1, 2)
    if values is None:
        return ERROR
    value = _float(ctx, node, 0, values[0])
    other = _float(ctx, node, 1, values[1]) if len(values) > 1 else constant(0.0)
    if WRONG in {value.type, other.type}:
        return ERROR
    return select(ctx, ctx.code.pure("fisna", value), other, value, node.at)


def _finite(ctx: Context, node: tree.Call) -> Value:
    values = _values(ctx, node, 1, 1)
    if values is None:
        return ERROR
    value = _float(ctx, node, 0, values[0])
    if value.type == WRONG:
        return value
    return ctx.code.pure("feq", ctx.code.pure("fsub", value, value), constant(0.0))


def _to_int(ctx: Context, node: tree.Call) -> Value:
    values = _values(ctx, node, 1, 1)
    if values is None:
        return ERROR
    value = values[0]
    if value.type == INT:
        return value
    if value.type == "b":
        return ctx.code.pure("b2i", value)._replace(low=0, high=1)
    value = _float(ctx, node, 0, value)
    return value if value.type == WRONG else ctx.code.pure("f2i", value)


def _to_float(ctx: Context, node: tree.Call) -> Value:
    values = _values(ctx, node, 1, 1)
    return ERROR if values is None else _float(ctx, node, 0, values[0])


def _idiv(ctx: Context, node: tree.Call) -> Value:
    values = _values(ctx, node, 2, 2)
    if values is None:
        return ERROR
    for arg, value in zip(node.args, values, strict=True):
        if ctx.convert(value, INT, at_of(arg.value), f"An argument of {node.name}").type == WRONG:
            return ERROR
    if values[1].const == 0:
        return ctx.error(node.at, "division-by-zero", "A division of ints by 0 has no value.")
    value = ctx.code.pure("idiv", *values)
    low, high, by = values[0].low, values[0].high, values[1].const
    if value.const is None and by is not None and by > 0 and low is not None and high is not None:
        return value._replace(low=low // by, high=high // by)
    return value


def _pow2(ctx: Context, node: tree.Call) -> Value:
    values = _values(ctx, node, 1, 1)
    return ERROR if values is None else ctx.code.pure("pow2", values[0])


def _isqrt(ctx: Context, node: tree.Call) -> Value:
    """Return the floor of the square root of a length, with its bounds."""
    values = _values(ctx, node, 1, 1)
    if values is None:
        return ERROR
    root = ctx.code.pure("f2i", ctx.code.pure("fsqrt", ctx.code.pure("i2f", values[0])))
    if root.const is not None:
        return root
    return root._replace(low=isqrt(values[0].low or 0), high=isqrt(values[0].high or 0))


def _get(ctx: Context, node: tree.Call) -> Value:
    values = _values(ctx, node, 2, 2)
    if values is None or values[0].type != RING:
        return ERROR
    return Value(FLOAT, ctx.code.emit("rget", FLOAT, (ctx.code.reg(values[1]),), values[0].extra))


def _put(ctx: Context, node: tree.Call) -> Value:
    values = _values(ctx, node, 3, 3)
    if values is None or values[0].type != RING:
        return ERROR
    args = (ctx.code.reg(values[1]), ctx.code.reg(values[2]))
    ctx.code.emit("rput", "", args, values[0].extra)
    return NOTHING


INTRINSICS: Final[dict[str, Callable[[Context, tree.Call], Value]]] = {
    "abs": _abs,
    "sqrt": _unary("fsqrt"),
    "floor": _unary("ffloor"),
    "min": _extreme("min"),
    "max": _extreme("max"),
    "na": _na,
    "nz": _nz,
    "finite": _finite,
    "int": _to_int,
    "float": _to_float,
    "idiv": _idiv,
    "get": _get,
    "put": _put,
    "pow2": _pow2,
    "isqrt": _isqrt,
    "exponent": _unary("exponent"),
}
INTRINSIC_DOCS: Final = {
    "abs": ("abs(x)", "The magnitude of x."),
    "sqrt": ("sqrt(x)", "The square root, correctly rounded; na below 0."),
    "floor": ("floor(x)", "The largest whole number that is not above x."),
    "min": ("min(x, y, ...)", "The least; na if one is na."),
    "max": ("max(x, y, ...)", "The greatest; na if one is na."),
    "na": ("na(x)", "Whether x is na."),
    "nz": ("nz(x, y = 0)", "x, or y where x is na."),
    "finite": ("finite(x)", "Whether x is neither na nor infinite."),
    "int": ("int(x)", "x without its fraction; 0 for na."),
    "float": ("float(x)", "An int as a float."),
    "idiv": ("idiv(a, b)", "The floor of a / b of two ints."),
}
