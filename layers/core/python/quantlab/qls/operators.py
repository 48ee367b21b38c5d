"""Operators: what they make of values of each type."""

from typing import Final

from quantlab.qls import limits
from quantlab.qls.context import Context
from quantlab.qls.diagnostics import did_you_mean
from quantlab.qls.values import (
    BOOL,
    CHOICE,
    ERROR,
    FLOAT,
    INT,
    SPOKEN,
    TEXT,
    WORD_TYPES,
    WRONG,
    Value,
    constant,
)

_ARITHMETIC: Final = {"+": "add", "-": "sub", "*": "mul"}
_COMPARE: Final = {"<": "lt", "<=": "le", ">": "gt", ">=": "ge", "==": "eq", "!=": "ne"}


def combine(ctx: Context, op: str, left: Value, right: Value, at: int) -> Value:
    """Return what an operator makes of two values."""
    if WRONG in {left.type, right.type}:
        return ERROR
    if op in {"and", "or"}:
        return _logic(ctx, op, left, right, at)
    lowered = _compare if op in _COMPARE else _calculate
    return lowered(ctx, op, left, right, at)


def _calculate(ctx: Context, op: str, left: Value, right: Value, at: int) -> Value:
    if left.type not in {FLOAT, INT} or right.type not in {FLOAT, INT}:
        wrong = left if left.type not in {FLOAT, INT} else right
        return ctx.error(
            at, "type", f"{op} needs numbers on both sides, but one is {SPOKEN[wrong.type]}."
        )
    if left.type == INT and right.type == INT and op != "/":
        return _integers(ctx, op, left, right, at)
    left = ctx.convert(left, FLOAT, at, "The left side")
    right = ctx.convert(right, FLOAT, at, "The right side")
    if op == "%":
        whole = ctx.code.pure("ffloor", ctx.code.pure("fdiv", left, right))
        return ctx.code.pure("fsub", left, ctx.code.pure("fmul", whole, right))
    return ctx.code.pure("fdiv" if op == "/" else "f" + _ARITHMETIC[op], left, right)


def _integers(ctx: Context, op: str, left: Value, right: Value, at: int) -> Value:
    if op == "%":
        if right.const == 0:
            return ctx.error(
                at, "division-by-zero", "The remainder of a division by 0 has no value."
            )
        value = ctx.code.pure("imod", left, right)
        if (
            value.const is None
            and right.low is not None
            and right.low > 0
            and right.high is not None
        ):
            return value._replace(low=0, high=right.high - 1)
        return value
    low, high = _bounds(op, left, right)
    safe = low is not None and high is not None
    if safe and (low < limits.INT_MIN or high > limits.INT_MAX):  # type: ignore[operator]
        low = high = None
        safe = False
    prefix = "w" if ctx.trusted or safe else "i"
    value = ctx.code.pure(prefix + _ARITHMETIC[op], left, right)
    return value if value.const is not None else value._replace(low=low, high=high)


def _bounds(op: str, left: Value, right: Value) -> tuple[int | None, int | None]:
    if left.low is None or left.high is None or right.low is None or right.high is None:
        return None, None
    if op == "+":
        return left.low + right.low, left.high + right.high
    if op == "-":
        return left.low - right.high, left.high - right.low
    ends = [a * b for a in (left.low, left.high) for b in (right.low, right.high)]
    return min(ends), max(ends)


def _logic(ctx: Context, op: str, left: Value, right: Value, at: int) -> Value:
    for side in (left, right):
        if side.type != BOOL:
            return ctx.error(
                at, "type", f"`{op}` needs a bool on both sides, but one is {SPOKEN[side.type]}.",
                "Compare it: x != 0.",
            )  # fmt: skip
    return ctx.code.pure("band" if op == "and" else "bor", left, right)


def _compare(ctx: Context, op: str, left: Value, right: Value, at: int) -> Value:
    if CHOICE in {left.type, right.type}:
        return _compare_choice(ctx, op, left, right, at)
    if left.type == right.type == BOOL and op in {"==", "!="}:
        differs = ctx.code.pure("bxor", left, right)
        return differs if op == "!=" else ctx.code.pure("bnot", differs)
    if left.type == right.type == TEXT and op in {"==", "!="}:
        return constant((left.const == right.const) == (op == "=="))
    if left.type not in {FLOAT, INT} or right.type not in {FLOAT, INT}:
        return ctx.error(
            at, "type",
            f"{op} cannot compare {SPOKEN[left.type]} with {SPOKEN[right.type]}.",
        )  # fmt: skip
    if left.type == right.type == INT:
        _always(ctx, op, left, right, at)
        return ctx.code.pure("i" + _COMPARE[op], left, right)
    left = ctx.convert(left, FLOAT, at, "The left side")
    right = ctx.convert(right, FLOAT, at, "The right side")
    for side in (left, right):
        if side.const is not None and side.const != side.const:
            ctx.warn(at, "always-false", "A comparison with na is always false.", "Write na(x).")
    return ctx.code.pure("f" + _COMPARE[op], left, right)


def _always(ctx: Context, op: str, left: Value, right: Value, at: int) -> None:
    """Warn where the bounds of two ints decide a comparison."""
    if left.const is not None and right.const is not None:
        return
    if left.low is None or left.high is None or right.low is None or right.high is None:
        return
    below, above = left.high < right.low, left.low > right.high
    upto, least = left.high <= right.low, left.low >= right.high
    sure = {
        "<": (below, least), "<=": (upto, above), ">": (above, upto), ">=": (least, below),
        "==": (False, below or above), "!=": (below or above, False),
    }[op]  # fmt: skip
    if sure[0] or sure[1]:
        word = "true" if sure[0] else "false"
        ctx.warn(
            at, f"always-{word}",
            f"This is always {word}: the left side lies in {left.low}..{left.high}, the right in "
            f"{right.low}..{right.high}.",
        )  # fmt: skip


def _compare_choice(ctx: Context, op: str, left: Value, right: Value, at: int) -> Value:
    picked, text = (left, right) if left.type == CHOICE else (right, left)
    if text.type != TEXT or op not in {"==", "!="}:
        return ctx.error(at, "type", "A choice is compared with one of its options by == or !=.")
    if text.const not in picked.extra:
        return ctx.error(
            at, "choice", f"{text.const!r} is none of its options: {', '.join(picked.extra)}.",
            did_you_mean(text.const, picked.extra),
        )  # fmt: skip
    index = constant(picked.extra.index(text.const))
    return ctx.code.pure("ieq" if op == "==" else "ine", picked._replace(type=INT), index)


def select(ctx: Context, test: Value, then: Value, other: Value, at: int) -> Value:
    """Return one of two computed values of the same type."""
    if {then.type, other.type} == {INT, FLOAT}:
        then = ctx.convert(then, FLOAT, at, "It")
        other = ctx.convert(other, FLOAT, at, "It")
    if then.type != other.type or then.type not in WORD_TYPES:
        return ctx.error(
            at, "type",
            f"The sides of : differ: {SPOKEN[then.type]} and {SPOKEN[other.type]}.",
        )  # fmt: skip
    if test.const is not None:
        return then if test.const else other
    code = ctx.code
    reg = code.emit("select", then.type, (code.reg(test), code.reg(then), code.reg(other)))
    low = high = None
    if then.low is not None and other.low is not None:
        low = min(then.low, other.low)
    if then.high is not None and other.high is not None:
        high = max(then.high, other.high)
    return Value(
        then.type, reg, low=low, high=high, fixed=test.fixed and then.fixed and other.fixed
    )
