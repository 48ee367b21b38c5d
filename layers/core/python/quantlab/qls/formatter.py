"""`fmt`: one way to write a strategy. It changes white space only, never a word or a comment."""

import re
from typing import Final

from quantlab.qls.lexer import MASTER, WORDS

INDENT: Final = "    "
_NO_SPACE_BEFORE: Final = frozenset((",", ")", "]", ".."))
_NO_SPACE_AFTER: Final = frozenset(("(", "[", ".."))
_VALUE_ENDS: Final = frozenset(("NAME", "INT", "FLOAT", "STRING", "DURATION", "RPAR", "RSQB"))
_BLANK_RUN: Final = re.compile(r"\n{3,}")


def format_source(source: str) -> str:
    """Return a source in canonical form: blocks of four spaces, one space around operators.

    Blank lines in a row become one; a line inside brackets keeps its break. Formatting twice gives
    the same as once.
    """
    widths: list[int] = [0]
    lines: list[str] = []
    depth = 0
    for line in source.replace("\r\n", "\n").split("\n"):
        text = line.strip(" ")
        if not text:
            lines.append("")
            continue
        if depth == 0 and not text.startswith("//"):
            _follow(widths, len(line) - len(line.lstrip(" ")))
        level = _level(widths, line, text, depth)
        lines.append(INDENT * level + _line(text, depth))
        depth = max(0, depth + _opened(text))
    joined = _BLANK_RUN.sub("\n\n", "\n".join(lines)).strip("\n")
    return joined + "\n" if joined else ""


def _follow(widths: list[int], width: int) -> None:
    """Open or close blocks for a line that begins after so many spaces."""
    while widths[-1] > width:
        widths.pop()
    if width > widths[-1]:
        widths.append(width)


def _level(widths: list[int], line: str, text: str, depth: int) -> int:
    """Return how many blocks deep a line stands; a comment stands where it was put."""
    level = len(widths) - 1
    if depth > 0:
        return level if text[0] in ")]" else level + 1
    if text.startswith("//"):
        width = len(line) - len(line.lstrip(" "))
        known = [place for place, one in enumerate(widths) if one <= width]
        return known[-1] + (width > widths[-1])
    return level


def _tokens(text: str) -> list[tuple[str, str]]:
    found = []
    for match in MASTER.finditer(text):
        kind = match.lastgroup or "BAD"
        if kind not in {"SPACE", "NL"}:
            word = match.group()
            found.append((WORDS.get(word, kind) if kind == "NAME" else kind, word))
    return found


def _opened(text: str) -> int:
    return sum((word in "([") - (word in ")]") for _, word in _tokens(text) if len(word) == 1)


def _line(text: str, depth: int) -> str:
    """Write the tokens of a line with one space where one belongs.

    A line that would read otherwise then, as only one with errors can, stays as it is.
    """
    tokens = _tokens(text)
    written = _written(tokens, depth)
    return written if _tokens(written) == tokens else text


def _written(tokens: list[tuple[str, str]], depth: int) -> str:
    parts: list[str] = []
    before = ("", "")
    brackets = depth
    prefix = False
    for token in tokens:
        kind, word = token
        if parts and _spaced(before, token, brackets, prefix=prefix):
            parts.append("  " if kind == "COMMENT" else " ")
        prefix = kind == "MINUS" and before[0] not in _VALUE_ENDS
        brackets += (kind in {"LPAR", "LSQB"}) - (kind in {"RPAR", "RSQB"})
        parts.append(word.rstrip(" "))
        before = token
    return "".join(parts)


def _spaced(
    before: tuple[str, str], token: tuple[str, str], brackets: int, *, prefix: bool
) -> bool:
    kind, word = token
    if kind == "COMMENT":
        return True
    if prefix or before[1] in _NO_SPACE_AFTER or word in _NO_SPACE_BEFORE:
        return False
    if kind in {"LPAR", "LSQB"} and before[0] in {"NAME", "RPAR", "RSQB"}:
        return False
    tight = brackets > 0 and "ASSIGN" in {kind, before[0]}
    return not tight
