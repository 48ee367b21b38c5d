"""The language service: what an editor asks of a source, each a pure function of the text.

Offsets count characters from 0.
"""

from dataclasses import dataclass
from typing import Any, Final

from quantlab.qls import tree
from quantlab.qls.compiler import compile_source
from quantlab.qls.diagnostics import Diagnostic, Findings, LimitReached
from quantlab.qls.formatter import format_source
from quantlab.qls.intrinsics import INTRINSIC_DOCS
from quantlab.qls.lexer import WORDS, Token, check_text, tokens_of
from quantlab.qls.library import LIBRARY, is_derived, is_public
from quantlab.qls.names import EVENTS, READABLES
from quantlab.qls.orders import VERB_DOCS
from quantlab.qls.outputs import OUTPUT_DOCS
from quantlab.qls.parse import parse

_INPUT_KINDS: Final = ("int", "float", "bool", "choice", "string")


@dataclass(frozen=True, slots=True)
class Item:
    """A word of the language or of the strategy: how it is written, its unit, what it is."""

    name: str
    kind: str
    signature: str
    unit: str
    doc: str

    def as_json(self) -> dict[str, Any]:
        """Return it with the names that the API uses."""
        return {
            "name": self.name, "kind": self.kind, "signature": self.signature, "unit": self.unit,
            "doc": self.doc,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Edit:
    """A replacement of source[start:end] by text."""

    start: int
    end: int
    text: str


def diagnostics(source: str) -> tuple[Diagnostic, ...]:
    """Return all that is wrong or doubtful."""
    return compile_source(source).diagnostics


def formatting(source: str) -> str:
    """Return the source in canonical form."""
    return format_source(source)


def completion(source: str, offset: int) -> list[Item]:
    """Return what may stand at an offset: names that begin with the word before it."""
    start = offset
    while start > 0 and (source[start - 1].isalnum() or source[start - 1] == "_"):
        start -= 1
    prefix = source[start:offset].lower()
    line = source[source.rfind("\n", 0, start) + 1 : start]
    if line.strip() == "on":
        known = [Item(name, "event", f"on {name}", "", doc) for name, doc in EVENTS.items()]
    else:
        known = [*_own_names(source), *vocabulary().values()]
        known += [Item(word, "keyword", word, "", "") for word in WORDS if word != "ring"]
    return [item for item in known if item.name.lower().startswith(prefix)]


def hover(source: str, offset: int) -> Item | None:
    """Return what the word at an offset is; None where there is nothing to say."""
    word = _word_at(source, offset)
    if word is None:
        return None
    own = {item.name: item for item in _own_names(source)}
    return own.get(word[1]) or vocabulary().get(word[1]) or _event(word[1])


def rename(source: str, offset: int, name: str) -> list[Edit]:
    """Return the edits that rename a name of the strategy; raises ValueError if they cannot be."""
    word = _word_at(source, offset)
    if word is None or word[1] not in {item.name for item in _own_names(source)}:
        raise ValueError("expected a name of the strategy at the cursor")
    taken = {item.name for item in _own_names(source)} | set(vocabulary()) | set(WORDS)
    if not name.isascii() or not name.isidentifier() or name in taken:
        raise ValueError(f"expected a new name of letters, digits and _, was {name!r}")
    tokens = _tokens(source)
    edits = []
    for place, (kind, text, at) in enumerate(tokens):
        if kind == "NAME" and text == word[1] and not _is_setting(tokens, place):
            edits.append(Edit(at, at + len(text), name))
    return edits


def vocabulary() -> dict[str, Item]:
    """Return the words of the language with their documentation, by name."""
    items = {name: Item(name, "value", name, one.unit, one.doc) for name, one in READABLES.items()}
    for name, entry in LIBRARY.items():
        if is_public(name):
            kind = "value" if is_derived(name) else "function"
            signature = name if is_derived(name) else f"{name}({entry.params})"
            items[name] = Item(name, kind, signature, "", f"{entry.doc} Warm-up: {entry.warm_up}.")
    for docs, kind in ((INTRINSIC_DOCS, "function"), (VERB_DOCS, "verb"), (OUTPUT_DOCS, "output")):
        for name, (signature, doc) in docs.items():
            items[name] = Item(name, kind, signature, "", doc)
    items["na"] = Item("na", "value", "na, na(x)", "", "No value; or whether x has none.")
    return items


def _event(name: str) -> Item | None:
    return Item(name, "event", f"on {name}", "", EVENTS[name]) if name in EVENTS else None


def _tokens(source: str) -> list[Token]:
    try:
        check_text(source)
        return tokens_of(source, Findings(source))
    except LimitReached:
        return []


def _word_at(source: str, offset: int) -> tuple[int, str] | None:
    for kind, text, at in _tokens(source):
        if kind == "NAME" and at <= offset <= at + len(text):
            return at, text
    return None


def _is_setting(tokens: list[Token], place: int) -> bool:
    """Say whether a name is that of an argument: name=value inside brackets."""
    depth = 0
    for kind, _, _ in reversed(tokens[:place]):
        if kind == "NL":
            break
        depth += (kind in {"LPAR", "LSQB"}) - (kind in {"RPAR", "RSQB"})
    return depth > 0 and tokens[place + 1][0] == "ASSIGN"


def _own_names(source: str) -> list[Item]:
    """Return the names that a source declares, in their order."""
    tokens = _tokens(source)
    try:
        items = parse(tokens, Findings(source))
    except LimitReached:
        return []
    found: dict[str, Item] = {}
    for item in items:
        if isinstance(item, tree.Function):
            signature = f"{item.name.name}({', '.join(param.name for param in item.params)})"
            found[item.name.name] = Item(item.name.name, "function", signature, "", "")
            for param in item.params:
                found.setdefault(param.name, Item(param.name, "parameter", param.name, "", ""))
            _declared(item.body, found)
        elif isinstance(item, tree.InputItem):
            found[item.name.name] = _input(source, item)
        elif isinstance(item, tree.On):
            _declared(item.body, found)
        elif isinstance(item, (tree.Var, tree.Let)):
            _declared((item,), found)
    return list(found.values())


def _declared(body: tuple[tree.Statement, ...], found: dict[str, Item]) -> None:
    waiting = list(reversed(body))
    while waiting:
        statement = waiting.pop()
        names: tuple[tree.Name, ...] = ()
        if isinstance(statement, tree.Let):
            names = statement.names
        elif isinstance(statement, (tree.Var, tree.For)):
            names = (statement.name,)
        kind = "state" if isinstance(statement, tree.Var) else "name"
        for name in names:
            found.setdefault(name.name, Item(name.name, kind, name.name, "", ""))
        if isinstance(statement, tree.If):
            waiting += [*reversed(statement.other), *reversed(statement.then)]
        elif isinstance(statement, tree.For):
            waiting += reversed(statement.body)
        elif isinstance(statement, tree.Switch):
            waiting += [one for arm in reversed(statement.arms) for one in reversed(arm.body)]


def _input(source: str, item: tree.InputItem) -> Item:
    name = item.name.name
    end = source.find("\n", item.at)
    text = source[item.at : end if end >= 0 else len(source)].strip()
    unit = ""
    if isinstance(item.value, tree.Call):
        for arg in item.value.args:
            if arg.name == "unit" and isinstance(arg.value, tree.Text):
                unit = arg.value.value
    return Item(name, "input", text, unit, f"An input: {', '.join(_INPUT_KINDS)}.")
