"""The library by name: its texts, cut into functions that are parsed when a strategy calls them."""

import re
from functools import cache
from typing import Final, NamedTuple

from quantlab.qls import tree
from quantlab.qls.diagnostics import Findings
from quantlab.qls.lexer import tokens_of
from quantlab.qls.parse import parse
from quantlab.qls.prelude import PARTS

_HEAD: Final = re.compile(r"((?://[^\n]*\n)+)def (\w+)\(([^\n]*)\)\n")


class Entry(NamedTuple):
    """A function of the library: its group, parameters as text, definition, warm-up and source."""

    name: str
    group: str
    params: str
    doc: str
    warm_up: str
    source: str


def _entries() -> dict[str, Entry]:
    found = {}
    for group, text in PARTS:
        for part in text.strip().split("\n\n"):
            head = _HEAD.match(part)
            if head is None:
                raise AssertionError(
                    f"the library's {group} has a part without its comments: {part[:60]}"
                )
            lines = [line.removeprefix("//").strip() for line in head[1].strip().split("\n")]
            doc, warm_up = " ".join(lines[:-1]), lines[-1].removeprefix("warm-up:").strip()
            found[head[2]] = Entry(head[2], group, head[3], doc, warm_up, part + "\n")
    return found


LIBRARY: Final = _entries()


def is_public(name: str) -> bool:
    """Say whether strategies may call a function of the library."""
    return name in LIBRARY and not name.startswith("_")


def is_derived(name: str) -> bool:
    """Say whether a function of the library is read like a value, such as mid."""
    return name in LIBRARY and not LIBRARY[name].params and is_public(name)


@cache
def function_of(name: str) -> tree.Function:
    """Return a function of the library, parsed."""
    source = LIBRARY[name].source
    findings = Findings(source)
    items = parse(tokens_of(source, findings), findings)
    if findings.failed or not isinstance(items[0], tree.Function):
        raise AssertionError(f"the library's {name}: {findings.sorted()}")
    return items[0]
