"""The syntax tree: what the parser makes, with the offset in the source where each part begins."""

from typing import Final, NamedTuple, TypeAlias

PRECEDENCE: Final = {
    "or": 1, "and": 2, "==": 4, "!=": 4, "<": 5, "<=": 5, ">": 5, ">=": 5, "+": 6, "-": 6,
    "*": 7, "/": 7, "%": 7,
}  # fmt: skip
PREFIX: Final = {"not": 3, "-": 8}


class Name(NamedTuple):
    at: int
    name: str


class Number(NamedTuple):
    """A literal: an int (a duration counts nanoseconds) or a float."""

    at: int
    value: int | float
    is_duration: bool


class Text(NamedTuple):
    at: int
    value: str


class Unary(NamedTuple):
    at: int
    op: str
    operand: "Expr"


class Binary(NamedTuple):
    at: int
    op: str
    left: "Expr"
    right: "Expr"


class Choice(NamedTuple):
    at: int
    test: "Expr"
    then: "Expr"
    other: "Expr"


class Arg(NamedTuple):
    """An argument of a call; name is "" where it stands by position."""

    at: int
    name: str
    value: "Expr"


class Call(NamedTuple):
    at: int
    name: str
    args: tuple[Arg, ...]


class History(NamedTuple):
    at: int
    base: "Expr"
    back: "Expr"


class Tuple(NamedTuple):
    at: int
    items: tuple["Expr", ...]


class Arm(NamedTuple):
    """`test => value` or a block: test is None for the default, value where there are statements.

    A value is a statement too where nobody takes it.
    """

    at: int
    test: "Expr | None"
    value: "Expr | None"
    body: tuple["Statement", ...]


class Switch(NamedTuple):
    """`switch subject` with an arm for each value, or without one, with conditions."""

    at: int
    subject: "Expr | None"
    arms: tuple[Arm, ...]


Expr: TypeAlias = Name | Number | Text | Unary | Binary | Choice | Call | History | Tuple | Switch


class Let(NamedTuple):
    """`x = value` or `[x, y] = value`: names that begin here."""

    at: int
    names: tuple[Name, ...]
    is_tuple: bool
    value: Expr


class Assign(NamedTuple):
    """`x := value`, `x += value` and the like: op is "", "+", "-", "*" or "/"."""

    at: int
    name: str
    op: str
    value: Expr


class Var(NamedTuple):
    at: int
    name: Name
    value: Expr


class Ring(NamedTuple):
    at: int
    name: str
    size: Expr


class If(NamedTuple):
    at: int
    test: Expr
    then: tuple["Statement", ...]
    other: tuple["Statement", ...]


class For(NamedTuple):
    at: int
    name: Name
    low: Expr
    high: Expr
    body: tuple["Statement", ...]


class Return(NamedTuple):
    at: int
    value: Expr


class Do(NamedTuple):
    """An expression whose value nobody takes: a call of a verb."""

    at: int
    value: Expr


Statement: TypeAlias = Let | Assign | Var | Ring | If | For | Return | Do | Switch


class Strategy(NamedTuple):
    at: int
    name: str
    args: tuple[Arg, ...]


class InputItem(NamedTuple):
    at: int
    name: Name
    value: Expr


class Param(NamedTuple):
    at: int
    kind: str
    name: str
    default: Expr | None


class Function(NamedTuple):
    at: int
    name: Name
    params: tuple[Param, ...]
    body: tuple[Statement, ...]


class On(NamedTuple):
    at: int
    event: Name
    args: tuple[Arg, ...]
    body: tuple[Statement, ...]


Item: TypeAlias = Strategy | InputItem | Var | Function | On | Let
