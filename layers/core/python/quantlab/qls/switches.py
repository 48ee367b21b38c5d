"""`switch`: the first arm that fits, as statements or as a value."""

from typing import Any

from quantlab.qls import tree
from quantlab.qls.context import Context, at_of
from quantlab.qls.ir import Ins
from quantlab.qls.operators import combine, select
from quantlab.qls.semantics import NA
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

_ADD_DEFAULT = "Add a last arm: => ..."


def carry_out(ctx: Context, node: tree.Switch) -> None:
    """Lower a switch whose arms are statements: branches of which one is taken, or none."""
    tests, complete = _tests(ctx, node)
    if not complete:
        ctx.warn(
            node.at, "no-default", "No arm may fit, and then nothing is done: there is no default.",
            _ADD_DEFAULT,
        )  # fmt: skip
    ctx.conditional += 1
    blocks = [ctx.block(arm.body, arm.at) for arm in node.arms]
    ctx.conditional -= 1
    if any(test.type != BOOL for test in tests):
        return
    code = ctx.code
    other: list[Ins] = blocks[-1] if node.arms[-1].test is None else []
    for test, block in zip(reversed(tests), reversed(blocks[: len(tests)]), strict=True):
        with code.inside() as chain:
            code.emit("if", "", (code.reg(test),), (block, other))
        other = chain
    code.block += other


def value_of(ctx: Context, node: tree.Switch) -> Value:
    """Lower a switch that gives a value; all arms are computed, as both sides of ? : are."""
    tests, complete = _tests(ctx, node)
    values = [_value(ctx, arm) for arm in node.arms]
    if any(test.type != BOOL for test in tests) or any(one.type == WRONG for one in values):
        return ERROR
    values = _alike(ctx, node, values)
    if not values:
        return ERROR
    if node.arms[-1].test is None:
        found = values.pop()
    elif complete:
        found = values.pop()
        tests.pop()
    else:
        found = _nothing(ctx, node, values[0].type)
    for test, value in zip(reversed(tests), reversed(values), strict=True):
        if found.type != WRONG:
            found = select(ctx, test, value, found, node.at)
    return found


def _tests(ctx: Context, node: tree.Switch) -> tuple[list[Value], bool]:
    """Return when each arm but the default fits, and whether one always does."""
    subject = None if node.subject is None else _subject(ctx, node.subject)
    known: dict[tuple[str, Any], None] = {}
    tests = []
    for arm in node.arms:
        if arm.test is None:
            continue
        label = ctx.expression(ctx, arm.test)
        at = at_of(arm.test)
        if subject is None:
            tests.append(_condition(ctx, label, at))
            continue
        tests.append(combine(ctx, "==", subject, label, at))
        if label.const is not None:
            key = (label.type, label.const)
            if key in known:
                ctx.warn(at, "always-false", "An arm above has this value, so this one never fits.")
            known[key] = None
    return tests, node.arms[-1].test is None or _covers(subject, known)


def _subject(ctx: Context, node: tree.Expr) -> Value:
    value = ctx.expression(ctx, node)
    if value.type in {FLOAT, INT, BOOL, TEXT, CHOICE, WRONG}:
        return value
    return ctx.error(
        at_of(node), "type",
        f"A switch looks at a number, bool, text or choice, but this is {SPOKEN[value.type]}.",
    )  # fmt: skip


def _condition(ctx: Context, value: Value, at: int) -> Value:
    if value.type not in {BOOL, WRONG}:
        return ctx.error(
            at, "type",
            f"Without a value behind `switch` each arm begins with a condition, but this is "
            f"{SPOKEN[value.type]}.",
            "Write `switch x` to look for values of x.",
        )  # fmt: skip
    if value.const is not None:
        word = "true" if value.const else "false"
        ctx.warn(at, f"always-{word}", f"This condition is always {word}.")
    return value


def _covers(subject: Value | None, known: dict[tuple[str, Any], None]) -> bool:
    """Say whether the labels are all values that a subject can have."""
    if subject is None:
        return False
    if subject.type == WRONG:
        return True
    if subject.type == CHOICE:
        return all((TEXT, option) in known for option in subject.extra)
    return subject.type == BOOL and {(BOOL, True), (BOOL, False)} <= known.keys()


def _value(ctx: Context, arm: tree.Arm) -> Value:
    if arm.value is not None:
        return ctx.expression(ctx, arm.value)
    return ctx.error(
        arm.at, "arm", "An arm of a switch that gives a value is one expression.",
        "Begin a name before it, and set it in the arms of a switch that stands alone.",
    )  # fmt: skip


def _alike(ctx: Context, node: tree.Switch, values: list[Value]) -> list[Value]:
    """Return the values of arms as one type, ints as floats where some are; [] with an error."""
    floats = any(value.type == FLOAT for value in values)
    wanted = FLOAT if floats else values[0].type
    alike = []
    for arm, value in zip(node.arms, values, strict=True):
        widened = floats and value.type == INT
        if value.type not in WORD_TYPES:
            ctx.error(arm.at, "type", f"An arm of a switch cannot give {SPOKEN[value.type]}.")
        elif value.type != wanted and not widened:
            differ = f"{SPOKEN[wanted]} and {SPOKEN[value.type]}"
            ctx.error(arm.at, "type", f"The arms of this switch differ: {differ}.")
        else:
            alike.append(ctx.convert(value, wanted, arm.at, "It"))
    return alike if len(alike) == len(values) else []


def _nothing(ctx: Context, node: tree.Switch, type_: str) -> Value:
    """Return what a switch gives where no arm fits: na, which only a float can be."""
    if type_ != FLOAT:
        return ctx.error(
            node.at, "no-default",
            f"No arm may fit, and this switch gives {SPOKEN[type_]}: it needs a default.",
            _ADD_DEFAULT,
        )  # fmt: skip
    ctx.warn(
        node.at, "no-default", "No arm may fit, and then this is na: there is no default.",
        _ADD_DEFAULT,
    )  # fmt: skip
    return constant(NA)
