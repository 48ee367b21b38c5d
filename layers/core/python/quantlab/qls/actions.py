"""What each rule of the grammar makes of its parts."""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from quantlab.qls import limits, tree
from quantlab.qls.diagnostics import Findings, LimitReached
from quantlab.qls.lexer import Token

Parts: TypeAlias = list[Any]
Action: TypeAlias = Callable[[Parts, Findings], Any]
ActionOfOne: TypeAlias = Callable[[Any, Findings], Any]
_UNITS: Final = {
    "ns": 1, "us": 1_000, "ms": 1_000_000, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9,
    "d": 86_400 * 10**9, "w": 7 * 86_400 * 10**9,
}  # fmt: skip


def _name(token: Token) -> tree.Name:
    _, text, at = token
    if len(text) > limits.NAME_LENGTH_MAX:
        raise LimitReached(
            at, "NAME_LENGTH_MAX", f"This name is longer than {limits.NAME_LENGTH_MAX} characters."
        )
    return tree.Name(at, text)


def _bounded(token: Token) -> str:
    _, text, at = token
    if len(text) > limits.NUMBER_LENGTH_MAX:
        raise LimitReached(
            at, "NUMBER_LENGTH_MAX",
            f"This number is longer than {limits.NUMBER_LENGTH_MAX} characters.",
        )  # fmt: skip
    return text


def _int(token: Token, findings: Findings) -> tree.Number:
    value = int(_bounded(token).replace("_", ""))
    return tree.Number(token[2], _in_range(value, token, findings), is_duration=False)


def _in_range(value: int, token: Token, findings: Findings) -> int:
    if value <= limits.INT_MAX:
        return value
    findings.error(
        token[2], "number", f"The number {token[1]} is beyond {limits.INT_MAX}.",
        "Write it as a float: 1e20.",
    )  # fmt: skip
    return 0


def _float(token: Token, findings: Findings) -> tree.Number:
    value = float(_bounded(token))
    if value == float("inf"):
        findings.error(token[2], "number", f"The number {token[1]} is beyond 1.797e308.")
        value = 0.0
    return tree.Number(token[2], value, is_duration=False)


def _duration(token: Token, findings: Findings) -> tree.Number:
    text = _bounded(token)
    count = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    value = int(count) * _UNITS[text[len(count) :]]
    return tree.Number(token[2], _in_range(value, token, findings), is_duration=True)


def _text(token: Token) -> str:
    text = token[1][1:-1]
    if len(text) > limits.TEXT_LENGTH_MAX:
        raise LimitReached(
            token[2], "TEXT_LENGTH_MAX",
            f"This text is longer than {limits.TEXT_LENGTH_MAX} characters.",
        )  # fmt: skip
    return text


def _infix(parts: Parts, _: Findings) -> list[Any]:
    """Keep operands and operators in one list; an operand that stands alone is no list yet."""
    flat, operator, right = parts
    if flat.__class__ is not list:
        flat = [flat]
    flat.append(operator)
    if right.__class__ is list:
        flat.extend(right)
    else:
        flat.append(right)
    joined: list[Any] = flat
    return joined


def _prefix(parts: Parts, _: Findings) -> list[Any]:
    operator, right = parts
    return [operator, *right] if right.__class__ is list else [operator, right]


def _climb(flat: list[Any]) -> tree.Expr:
    """Build a tree from operands and operators by precedence, with two stacks."""
    operands: list[tree.Expr] = []
    operators: list[tuple[int, bool, Token]] = []
    after_operand = False
    for part in flat:
        if part.__class__ is not tuple:
            operands.append(part)
            after_operand = True
        elif after_operand:
            binds = tree.PRECEDENCE[part[1]]
            _reduce(operands, operators, binds)
            operators.append((binds, True, part))
            after_operand = False
        else:
            operators.append((tree.PREFIX[part[1]], False, part))
    _reduce(operands, operators, 0)
    return operands[0]


def _reduce(
    operands: list[tree.Expr], operators: list[tuple[int, bool, Token]], binds: int
) -> None:
    while operators and operators[-1][0] >= binds:
        _, is_binary, token = operators.pop()
        right = operands.pop()
        if is_binary:
            operands.append(tree.Binary(token[2], token[1], operands.pop(), right))
        else:
            operands.append(tree.Unary(token[2], token[1], right))


def _expr(parts: Parts, _: Findings) -> tree.Choice:
    test = _climb(parts[0]) if parts[0].__class__ is list else parts[0]
    return tree.Choice(parts[1][2], test, parts[2], parts[4])


def _append(parts: Parts, _: Findings) -> list[Any]:
    items: list[Any] = parts[0] if parts[0].__class__ is list else list(parts[0])
    items.append(parts[-1])
    return items


def _let(parts: Parts, findings: Findings) -> tree.Let:
    target = parts[0]
    names: tuple[tree.Name, ...] = ()
    if isinstance(target, tree.Name):
        names = (target,)
    elif isinstance(target, tree.Tuple):
        names = tuple(item for item in target.items if isinstance(item, tree.Name))
    if not names or (isinstance(target, tree.Tuple) and len(names) != len(target.items)):
        findings.error(
            parts[1][2], "target", "Only a name, or names in brackets, stand before =.",
            "Compare with ==.",
        )  # fmt: skip
    at = names[0].at if names else parts[1][2]
    return tree.Let(at, names, isinstance(target, tree.Tuple), parts[2])


def _param(parts: Parts, _: Findings) -> tree.Param:
    name = _name(parts[0])
    return tree.Param(name.at, "", name.name, parts[2])


def _typed_param(parts: Parts, _: Findings) -> tree.Param:
    default = parts[3] if len(parts) > 2 else None
    name = _name(parts[1])
    return tree.Param(name.at, parts[0][1], name.name, default)


def _handler(parts: Parts, _: Findings) -> tree.On:
    args = tuple(parts[3]) if len(parts) > 3 else ()
    return tree.On(parts[0][2], _name(parts[1]), args, parts[-1])


def _call(parts: Parts, _: Findings) -> tree.Call:
    name = _name(parts[0])
    return tree.Call(name.at, name.name, tuple(parts[2]))


def _named(parts: Parts, _: Findings) -> tree.Arg:
    return tree.Arg(parts[0][2], parts[0][1], parts[2])


def _if(parts: Parts, _: Findings) -> tree.If:
    return tree.If(parts[0][2], parts[1], parts[2], parts[3])


def _switch(parts: Parts, findings: Findings) -> tree.Switch:
    return _switched(parts[0], parts[1], parts[4], findings)


def _switch_tests(parts: Parts, findings: Findings) -> tree.Switch:
    return _switched(parts[0], None, parts[3], findings)


def _switched(
    word: Token, subject: tree.Expr | None, arms: list[tree.Arm], findings: Findings
) -> tree.Switch:
    if len(arms) > limits.ARMS_MAX:
        raise LimitReached(
            arms[limits.ARMS_MAX].at, "ARMS_MAX",
            f"A switch has more than {limits.ARMS_MAX} arms.",
        )  # fmt: skip
    for arm in arms[:-1]:
        if arm.test is None:
            findings.error(
                arm.at, "arm", "What stands below this default arm is never looked at.",
                "The default arm is the last.", 2,
            )  # fmt: skip
    return tree.Switch(word[2], subject, tuple(arms))


def _arm(parts: Parts, _: Findings) -> tree.Arm:
    value, body = parts[2]
    return tree.Arm(parts[1][2], parts[0], value, body)


def _default_arm(parts: Parts, _: Findings) -> tree.Arm:
    value, body = parts[1]
    return tree.Arm(parts[0][2], None, value, body)


def _arm_assign(parts: Parts, findings: Findings) -> tuple[None, tuple[tree.Statement, ...]]:
    return None, (ACTIONS["assign"](parts, findings),)


ACTIONS: Final[dict[str, Action]] = {
    "empty": lambda _p, _f: (),
    "append": _append,
    "strategy": lambda p, _: tree.Strategy(p[0][2], _text(p[1]), tuple(p[3]) if p[4:] else ()),
    "input": lambda p, _: tree.InputItem(p[0][2], _name(p[1]), p[3]),
    "var": lambda p, _: tree.Var(p[0][2], _name(p[1]), p[3]),
    "function": lambda p, _: tree.Function(p[0][2], _name(p[1]), tuple(p[3]), p[5]),
    "handler": _handler,
    "let": _let,
    "param": _param,
    "typed_param": _typed_param,
    "block": lambda p, _: tuple(p[2]),
    "assign": lambda p, _: tree.Assign(p[0][2], _name(p[0]).name, p[1][1][:-1].strip(":"), p[2]),
    "ring": lambda p, _: tree.Ring(p[0][2], _name(p[1]).name, p[3]),
    "if": _if,
    "else": lambda p, _: p[1],
    "else_if": lambda p, _: (tree.If(p[1][2], p[2], p[3], p[4]),),
    "for": lambda p, _: tree.For(p[0][2], _name(p[1]), p[3], p[5], p[6]),
    "switch": _switch,
    "switch_tests": _switch_tests,
    "arm": _arm,
    "default_arm": _default_arm,
    "arm_value": lambda p, _: (p[0], (tree.Do(p[0].at, p[0]),)),
    "arm_assign": _arm_assign,
    "return": lambda p, _: tree.Return(p[0][2], p[1]),
    "expression": lambda p, _: tree.Do(p[0].at, p[0]),
    "choice": _expr,
    "prefix": _prefix,
    "infix": _infix,
    "group": lambda p, _: p[1],
    "tuple": lambda p, _: tree.Tuple(p[0][2], tuple(p[1])),
    "call": _call,
    "history": lambda p, _: tree.History(p[0].at, p[0], p[2]),
    "named": _named,
}
"""Of rules with several parts, or none."""

OF_ONE: Final[dict[str, ActionOfOne]] = {
    "first": lambda p, _: [p],
    "name": lambda p, _: _name(p),
    "int": _int,
    "float": _float,
    "string": lambda p, _: tree.Text(p[2], _text(p)),
    "duration": _duration,
    "arm_block": lambda p, _: (None, p),
    "operation": lambda p, _: p if p.__class__ is not list else _climb(p),
    "argument": lambda p, _: tree.Arg(p.at, "", p),
    "param": lambda p, _: tree.Param(p[2], "", _name(p).name, None),
}
"""Of rules with one part; a rule that is not here leaves it as it is."""
