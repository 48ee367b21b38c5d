"""Where lowering stands: the scopes of names, the handler, and how to lower what lies within."""

from collections.abc import Callable
from dataclasses import field
from typing import Any

from quantlab.kernel.records import dataclass
from quantlab.qls import limits, tree
from quantlab.qls.builder import Code, History, Image
from quantlab.qls.diagnostics import Findings, LimitReached
from quantlab.qls.ir import Ins
from quantlab.qls.values import BOOL, CHOICE, ERROR, FLOAT, INT, SPOKEN, WRONG, Value


@dataclass(slots=True, eq=False)
class Binding:
    """A name: a value that stays, a local slot, or a word of state."""

    name: str
    value: Value
    slot: int = -1
    word: int = -1
    at: int = 0
    used: bool = False
    fixed: bool = True
    history: History | None = None


@dataclass(slots=True, eq=False)
class Scope:
    """Names of a block; `edge` marks that of a handler or function, whose outer is the top."""

    outer: "Scope | None"
    reassigned: frozenset[str] = frozenset()
    names: dict[str, Binding] = field(default_factory=dict)

    def find(self, name: str) -> Binding | None:
        """Return the nearest binding of a name."""
        scope: Scope | None = self
        while scope is not None:
            found = scope.names.get(name)
            if found is not None:
                return found
            scope = scope.outer
        return None


@dataclass(slots=True)
class Event:
    """The event that a handler is for."""

    kind: str
    symbol: int = 0
    stream: int = -1


@dataclass(slots=True)
class Context:
    """The state of lowering one program."""

    findings: Findings
    image: Image
    functions: dict[str, tree.Function]
    top: Scope
    scope: Scope
    code: Code
    event: Event
    expression: Callable[["Context", tree.Expr], Value]
    body: Callable[["Context", tuple[tree.Statement, ...]], Value]
    depth: int = 0
    trusted: int = 0
    conditional: int = 0
    looping: int = 0
    calls: list[str] = field(default_factory=list)
    override: tuple[int, int] | None = None
    called_at: int = -1
    used_functions: set[str] = field(default_factory=set)

    def error(self, at: int, code: str, message: str, suggestion: str = "") -> Value:
        """Report an error; inside a library function at the call that led there."""
        at = self.called_at if self.trusted and self.called_at >= 0 else at
        self.findings.error(at, code, message, suggestion)
        return ERROR

    def warn(self, at: int, code: str, message: str, suggestion: str = "") -> None:
        """Report a warning, but not about the library's own code."""
        if not self.trusted:
            self.findings.warn(at, code, message, suggestion)

    def deeper(self, at: int) -> None:
        """Count a level of nesting; the caller takes it back."""
        self.depth += 1
        if self.depth > limits.NESTING_MAX:
            raise LimitReached(
                self.called_at if self.trusted else at, "NESTING_MAX",
                f"Expressions and blocks are nested deeper than {limits.NESTING_MAX} levels.",
            )  # fmt: skip

    def block(self, statements: tuple[tree.Statement, ...], at: int) -> list[Ins]:
        """Lower statements into a block with a scope of its own."""
        outer, self.scope = self.scope, Scope(self.scope)
        self.deeper(at)
        try:
            with self.code.inside() as block:
                self.body(self, statements)
        finally:
            self.depth -= 1
            self.scope = outer
        return block

    def convert(self, value: Value, type_: str, at: int, what: str) -> Value:
        """Return a value as a type; an int widens to a float, anything else is an error."""
        if value.type in {type_, WRONG}:
            return value
        if type_ == FLOAT and value.type == INT:
            return self.code.pure("i2f", value)
        hints = {
            (INT, FLOAT): "Write int(x) to cut the fraction off.",
            (BOOL, FLOAT): "Compare it: x != 0.",
            (BOOL, INT): "Compare it: x != 0.",
            (FLOAT, BOOL): "Write b ? 1.0 : 0.0.",
            (INT, BOOL): "Write b ? 1 : 0.",
        }
        return self.error(
            at, "type", f"{what} must be {SPOKEN[type_]}, but this is {SPOKEN[value.type]}.",
            hints.get((type_, value.type), ""),
        )  # fmt: skip

    def load(self, binding: Binding) -> Value:
        """Return what a name holds now."""
        binding.used = True
        known = binding.value
        if binding.slot >= 0:
            return Value(known.type, self.code.emit("lget", known.type, (), binding.slot))
        if binding.word >= 0:
            type_ = INT if known.type == CHOICE else known.type
            reg = self.code.emit("load", type_, (), binding.word)
            return known._replace(reg=reg)
        return known


def at_of(node: Any) -> int:
    """Return where a node begins to read, for its diagnostics."""
    if isinstance(node, (tree.Binary, tree.Choice)):
        return at_of(node.left if isinstance(node, tree.Binary) else node.test)
    at: int = node.at
    return at
