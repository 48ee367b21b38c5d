"""Which name of a source means what: every name it begins, and where each is used."""

from collections.abc import Callable, Iterable
from dataclasses import field
from typing import Any, Final, NamedTuple, TypeAlias

from quantlab.kernel.records import dataclass
from quantlab.qls import tree


@dataclass(slots=True, eq=False)
class Names:
    """The names of a block; the outer of a handler's or a function's is the top."""

    outer: "Names | None"
    found: dict[str, "Bound"] = field(default_factory=dict)

    def find(self, name: str) -> "Bound | None":
        """Return what a name means here."""
        names: Names | None = self
        while names is not None:
            if name in names.found:
                return names.found[name]
            names = names.outer
        return None

    def is_within(self, other: "Names") -> bool:
        """Say whether this is another's block, or a block in it."""
        names: Names | None = self
        while names is not None and names is not other:
            names = names.outer
        return names is other


@dataclass(slots=True, eq=False)
class Bound:
    """One name: where it begins, the block it lasts for, and the offsets at which it is written."""

    name: str
    at: int
    names: Names
    is_function: bool = False
    uses: list[int] = field(default_factory=list)

    def meets(self, other: "Bound") -> bool:
        """Say whether two names could not be the same word: somewhere both are known."""
        return self.names.is_within(other.names) or other.names.is_within(self.names)


def bindings(items: tuple[tree.Item, ...]) -> list[Bound]:
    """Return the names of a source without syntax errors; the compiler may object to its types."""
    return _Reader(items).bound


class _Begun(NamedTuple):
    """A name that begins once what it holds has been read."""

    name: tree.Name


_Node: TypeAlias = tree.Statement | tree.Expr | _Begun
_Found: TypeAlias = list[tuple[_Node, Names]]


class _Reader:
    """Walks a source in the order in which the compiler does; without recursion."""

    def __init__(self, items: tuple[tree.Item, ...]) -> None:
        self.bound: list[Bound] = []
        self.functions: dict[str, Bound] = {}
        self.params: dict[str, dict[str, Bound]] = {}
        self.top = Names(None)
        functions = [item for item in items if isinstance(item, tree.Function)]
        blocks = [self._function(item) for item in functions]
        for item in items:
            if isinstance(item, (tree.Var, tree.Let)):
                self._walk((item,), self.top)
            elif isinstance(item, tree.InputItem):
                self._walk((item.value,), self.top)
                self._begin(item.name.name, item.name.at, self.top)
        for function, names in zip(functions, blocks, strict=True):
            defaults = (one.default for one in function.params if one.default is not None)
            self._walk(tuple(defaults), self.top)
            self._walk(function.body, names)
        for item in items:
            if isinstance(item, tree.On):
                self._walk(tuple(arg.value for arg in item.args), self.top)
                self._walk(item.body, Names(self.top))

    def _function(self, function: tree.Function) -> Names:
        """Begin a function's name and its parameters; return the block of its body."""
        name, names = function.name, Names(self.top)
        if name.name not in self.functions:
            made = Bound(name.name, name.at, self.top, True, [name.at])
            self.functions[name.name] = made
            self.bound.append(made)
        for param in function.params:
            self._begin(param.name, param.at, names)
        self.params.setdefault(name.name, names.found)
        return names

    def _begin(self, name: str, at: int, names: Names) -> None:
        known = names.find(name)
        if known is not None and name != "_":
            known.uses.append(at)  # the compiler refuses it: it stays the same name
            return
        names.found[name] = Bound(name, at, names, False, [at])
        self.bound.append(names.found[name])

    def _use(self, name: str, at: int, names: Names) -> None:
        known = names.find(name)
        if known is not None:
            known.uses.append(at)

    def _walk(self, nodes: Iterable[_Node], names: Names) -> None:
        waiting: _Found = [(node, names) for node in nodes][::-1]
        while waiting:
            node, inner = waiting.pop()
            waiting += reversed(self._read(node, inner))

    def _read(self, node: Any, names: Names) -> _Found:
        """Take a node; return what lies within it, in order, each with the block it is in."""
        special = _SPECIAL.get(node.__class__)
        if special is not None:
            return special(self, node, names)
        return [(part, names) for part in _PARTS[node.__class__](node)]

    def name(self, node: tree.Name, names: Names) -> _Found:
        self._use(node.name, node.at, names)
        return []

    def begun(self, node: _Begun, names: Names) -> _Found:
        self._begin(node.name.name, node.name.at, names)
        return []

    def assign(self, node: tree.Assign, names: Names) -> _Found:
        self._use(node.name, node.at, names)
        return [(node.value, names)]

    def let(self, node: tree.Let, names: Names) -> _Found:
        return [(node.value, names), *((_Begun(one), names) for one in node.names)]

    def var(self, node: tree.Var, names: Names) -> _Found:
        return [(node.value, names), (_Begun(node.name), names)]

    def call(self, node: tree.Call, names: Names) -> _Found:
        """Take a call: its name, and those of its arguments, are a function's and its parameters'.

        An argument's name belongs to no name of the block: those of the library are not ours.
        """
        function, params = self.functions.get(node.name), self.params.get(node.name, {})
        if function is not None:
            function.uses.append(node.at)
        for arg in node.args:
            if arg.name in params:
                params[arg.name].uses.append(arg.at)
        return [(arg.value, names) for arg in node.args]

    def branch(self, node: tree.If, names: Names) -> _Found:
        then, other = Names(names), Names(names)
        blocks = [(one, then) for one in node.then] + [(one, other) for one in node.other]
        return [(node.test, names), *blocks]

    def loop(self, node: tree.For, names: Names) -> _Found:
        inner = Names(names)
        body = [(one, inner) for one in node.body]
        return [(node.low, names), (node.high, names), (_Begun(node.name), inner), *body]

    def switch(self, node: tree.Switch, names: Names) -> _Found:
        found: _Found = [] if node.subject is None else [(node.subject, names)]
        for arm in node.arms:
            inner = Names(names)
            found += [] if arm.test is None else [(arm.test, names)]
            found += [(one, inner) for one in arm.body]
        return found


_SPECIAL: Final[dict[type, Callable[[_Reader, Any, Names], _Found]]] = {
    tree.Name: _Reader.name,
    _Begun: _Reader.begun,
    tree.Assign: _Reader.assign,
    tree.Let: _Reader.let,
    tree.Var: _Reader.var,
    tree.Call: _Reader.call,
    tree.If: _Reader.branch,
    tree.For: _Reader.loop,
    tree.Switch: _Reader.switch,
}
_PARTS: Final[dict[type, Callable[[Any], tuple[_Node, ...]]]] = {
    tree.Number: lambda _: (),
    tree.Text: lambda _: (),
    tree.Unary: lambda node: (node.operand,),
    tree.Binary: lambda node: (node.left, node.right),
    tree.Choice: lambda node: (node.test, node.then, node.other),
    tree.History: lambda node: (node.base, node.back),
    tree.Tuple: lambda node: node.items,
    tree.Ring: lambda node: (node.size,),
    tree.Return: lambda node: (node.value,),
    tree.Do: lambda node: (node.value,),
}
