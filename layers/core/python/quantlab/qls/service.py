"""The language service: what an editor asks of a source, each a pure function of the text.

Offsets count characters from 0.
"""

import re
from itertools import pairwise
from typing import Any, Final

from quantlab.kernel.records import dataclass
from quantlab.qls import tree
from quantlab.qls.bindings import Bound, bindings
from quantlab.qls.compiler import compile_source
from quantlab.qls.diagnostics import Diagnostic, Findings, LimitReached, TooMany, place
from quantlab.qls.formatter import format_source
from quantlab.qls.intrinsics import INTRINSIC_DOCS
from quantlab.qls.lexer import WORDS, Token, check_text, tokens_of
from quantlab.qls.library import LIBRARY, is_derived, is_public
from quantlab.qls.limits import NAME_LENGTH_MAX
from quantlab.qls.names import EVENTS, READABLES
from quantlab.qls.orders import VERB_DOCS, VERB_TERMS
from quantlab.qls.outputs import OUTPUT_DOCS
from quantlab.qls.parse import parse

_CONSTANTS: Final = ("true", "false")
_WORDS_OF_OPERATORS: Final = ("and", "or")
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
    """Return what may stand at an offset: names that begin with the word before it.

    In the brackets of an order its terms come first. In a comment or a text nothing is offered.
    """
    start = offset
    while start > 0 and (source[start - 1].isalnum() or source[start - 1] == "_"):
        start -= 1
    prefix = source[start:offset].lower()
    line = source[source.rfind("\n", 0, start) + 1 : start]
    if _is_prose(line):
        return []
    if line.strip() == "on":
        known = [Item(name, "event", f"on {name}", "", doc) for name, doc in EVENTS.items()]
    else:
        known = [*_terms(source, start), *_own_names(source), *vocabulary().values()]
        known += [Item(word, "keyword", word, "", "") for word in WORDS if word != "ring"]
    return [item for item in known if item.name.lower().startswith(prefix)]


def _is_prose(line: str) -> bool:
    """Say whether a line ends in a text or a comment."""
    outside = re.sub(r'"[^"]*"', "", line)
    return '"' in outside or "//" in outside


def _terms(source: str, offset: int) -> list[Item]:
    """Return what is given by name to the verb whose brackets are open at an offset."""
    tokens = [token for token in _tokens(source[:offset]) if token[2] < offset]
    opened: list[str] = []
    for before, (kind, _, _) in pairwise([("", "", 0), *tokens]):
        if kind in {"LPAR", "LSQB"}:
            opened.append(before[1] if kind == "LPAR" else "")
        elif kind in {"RPAR", "RSQB"} and opened:
            opened.pop()
    verb = opened[-1] if opened else ""
    return [
        Item(name, "term", f"{name}=", "", f"A term of {verb}.")
        for name in VERB_TERMS.get(verb, ())
    ]


def hover(source: str, offset: int) -> Item | None:
    """Return what the word at an offset is; None where there is nothing to say."""
    word = _word_at(source, offset)
    if word is None:
        return None
    own = {item.name: item for item in _own_names(source)}
    return own.get(word[1]) or vocabulary().get(word[1]) or _event(word[1])


def rename(source: str, offset: int, name: str) -> list[Edit]:
    """Return the edits that rename a name of the strategy where it means what it means at offset.

    Raises ValueError where the source has syntax errors, where no name of the strategy stands
    there, and where the new name is none, is one of the language's, or is another one's already.
    """
    found = _bound_at(source, offset)
    meant = [one for one in found if any(at <= offset <= at + len(one.name) for at in one.uses)]
    if not meant:
        raise ValueError("expected a name of the strategy at the cursor")
    problem = _problem(source, name, meant[0], found)
    if problem:
        raise ValueError(f"expected a new name, was {name!r}: {problem}")
    length = len(meant[0].name)
    return [Edit(at, at + length, name) for at in sorted(set(meant[0].uses))]


def _bound_at(source: str, offset: int) -> list[Bound]:
    if _word_at(source, offset) is None:
        return []
    findings = Findings(source)
    try:
        check_text(source)
        items = parse(tokens_of(source, findings), findings)
    except (LimitReached, TooMany):
        items = ()
    if findings.failed or not items:
        raise ValueError("expected a source without syntax errors: not all names could be found")
    return bindings(items)


def _problem(source: str, name: str, meant: Bound, found: list[Bound]) -> str:
    """Say why a name cannot be the new one, "" where it can."""
    if not name.isascii() or not name.isidentifier():
        return "a name has letters, digits and _, and begins with no digit"
    if len(name) > NAME_LENGTH_MAX:
        return f"a name has {NAME_LENGTH_MAX} characters at most"
    if name in WORDS or name in _WORDS_OF_OPERATORS:
        return "it is a word of the language"
    if name in vocabulary() or name in _CONSTANTS:
        return "it is a name of the language"
    for other in found:
        if other.name == name and (other.meets(meant) or other.is_function != meant.is_function):
            return f"line {place(source, other.at)[0]} has that name already"
    return ""


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


class _Unheard(Findings):
    """Takes no note: what an editor asks while its source has errors has an answer all the same."""

    def _add(self, *_: Any) -> None:
        return


def _tokens(source: str) -> list[Token]:
    try:
        check_text(source)
        return tokens_of(source, _Unheard(source))
    except LimitReached:
        return []


def _word_at(source: str, offset: int) -> tuple[int, str] | None:
    for kind, text, at in _tokens(source):
        if kind == "NAME" and at <= offset <= at + len(text):
            return at, text
    return None


def _own_names(source: str) -> list[Item]:
    """Return the names that a source declares, in their order."""
    tokens = _tokens(source)
    try:
        items = parse(tokens, _Unheard(source))
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
