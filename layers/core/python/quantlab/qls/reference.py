"""The reference tables of docs/qls.md, made from the code: names, library, limits."""

from typing import Final

from quantlab.qls import limits
from quantlab.qls.intrinsics import INTRINSIC_DOCS, LIBRARY_ONLY
from quantlab.qls.library import LIBRARY, is_derived, is_public
from quantlab.qls.names import EVENTS, READABLES
from quantlab.qls.orders import VERB_DOCS
from quantlab.qls.outputs import OUTPUT_DOCS

BEGIN: Final = "<!-- reference: made by `quantlab qls doc`, not edited -->"
END: Final = "<!-- end of the reference -->"
_TYPES: Final = {"f": "float", "i": "int"}


def with_reference(document: str) -> str:
    """Return a document with its reference made anew; raises ValueError without its two marks."""
    if document.count(BEGIN) != 1 or document.count(END) != 1:
        raise ValueError(f"expected {BEGIN} and {END} once each")
    head, _, rest = document.partition(BEGIN)
    return f"{head}{BEGIN}\n\n{_reference()}\n{END}{rest.partition(END)[2]}"


def _reference() -> str:
    parts = [
        "### Events\n",
        *_table("event | when", [f"`on {name}` | {doc}" for name, doc in EVENTS.items()]),
        "### Values of the market, the position, the account, the fill\n",
        *_table("name | type | unit | what", _readables()),
        "### Verbs and outputs\n",
        *_table("call | what", _calls({**VERB_DOCS, **OUTPUT_DOCS})),
        "### Operations\n",
        *_table("call | what", _calls(INTRINSIC_DOCS)),
        *_library(),
        "### Limits\n",
        *_table("limit | value", _limits()),
    ]
    return "\n".join(parts)


def _table(head: str, rows: list[str]) -> list[str]:
    columns = head.count("|") + 1
    lines = [f"| {head} |", "|" + "---|" * columns]
    return [*lines, *(f"| {row} |" for row in rows), ""]


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _readables() -> list[str]:
    takes = {"symbol": "(symbol)", "bars": "(symbol, timeframe)", "rule": "(rule)", "": ""}
    return [
        f"`{name}{takes[one.of]}` | {_TYPES[one.type]} | {one.unit} | {_escaped(one.doc)}"
        for name, one in READABLES.items()
    ]


def _calls(docs: dict[str, tuple[str, str]]) -> list[str]:
    return [
        f"`{signature}` | {_escaped(doc)}"
        for name, (signature, doc) in docs.items()
        if name not in LIBRARY_ONLY
    ]


def _library() -> list[str]:
    parts: list[str] = []
    groups = dict.fromkeys(entry.group for entry in LIBRARY.values())
    for group in groups:
        rows = [
            f"`{name if is_derived(name) else f'{name}({entry.params})'}` | {_escaped(entry.doc)} "
            f"| {entry.warm_up}"
            for name, entry in LIBRARY.items()
            if entry.group == group and is_public(name)
        ]
        parts += [f"### Library: {group}\n", *_table("call | definition | warm-up", rows)]
    return parts


def _limits() -> list[str]:
    return [
        f"`{name}` | {value:,}"
        for name, value in sorted(vars(limits).items())
        if name.endswith("_MAX") and name != "INT_MAX"
    ]
