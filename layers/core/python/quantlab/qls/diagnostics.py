"""What the compiler has to say: where, in a plain sentence, with a suggestion."""

import re
from collections.abc import Iterable
from dataclasses import field
from heapq import nsmallest
from typing import Any, Final

from quantlab.kernel.records import dataclass
from quantlab.qls.limits import DIAGNOSTICS_MAX

CONTROLS: Final = (
    "\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""Characters that are not seen, or that turn what is seen around, as a set of a pattern."""

ERROR: Final = "error"
WARNING: Final = "warning"
_SHOWN_MAX: Final = 120
_EDITS_MAX: Final = 3
_COMPARED_MAX: Final = 500
_HIDDEN: Final = re.compile(f"[{CONTROLS}]")


@dataclass(frozen=True, slots=True, order=True)
class Diagnostic:
    """One finding. line and column count from 1; length is in characters; code is stable."""

    line: int
    column: int
    severity: str
    code: str
    message: str
    suggestion: str = ""
    length: int = 1

    def as_json(self) -> dict[str, Any]:
        """Return it with the names that the API uses."""
        return {
            "line": self.line,
            "column": self.column,
            "length": self.length,
            "severity": self.severity,
            "code": self.code,
            "message": self.message,
            "suggestion": self.suggestion,
        }


class TooMany(Exception):
    """Enough was found: the rest would be noise."""


class LimitReached(Exception):
    """A named limit stopped the compiler."""

    def __init__(self, at: int, limit: str, message: str) -> None:
        super().__init__(message)
        self.at = at
        self.limit = limit
        self.message = message


@dataclass(slots=True)
class Findings:
    """Collects diagnostics of one source; the same place and code is said once."""

    source: str
    _found: dict[tuple[int, str], Diagnostic] = field(default_factory=dict)
    broken: bool = False
    """The syntax has errors: what is missing may stand in what could not be read."""

    def error(
        self, at: int, code: str, message: str, suggestion: str = "", length: int = 0
    ) -> None:
        """Add an error at an offset."""
        self._add(at, ERROR, code, message, suggestion, length)

    def warn(self, at: int, code: str, message: str, suggestion: str = "", length: int = 0) -> None:
        """Add a warning at an offset."""
        self._add(at, WARNING, code, message, suggestion, length)

    @property
    def failed(self) -> bool:
        """Say whether there is an error."""
        return any(found.severity == ERROR for found in self._found.values())

    def sorted(self) -> tuple[Diagnostic, ...]:
        """Return all, from the top of the source."""
        return tuple(sorted(self._found.values()))

    def _add(
        self, at: int, severity: str, code: str, message: str, suggestion: str, length: int
    ) -> None:
        full = len(self._found) >= DIAGNOSTICS_MAX
        if (at, code) in self._found or (full and severity == WARNING):
            return
        line, column = place(self.source, at)
        message = _HIDDEN.sub("?", message)
        self._found[(at, code)] = Diagnostic(
            line, column, severity, code, message, suggestion, length or _word(self.source, at)
        )
        if severity == ERROR and len(self._found) >= DIAGNOSTICS_MAX:
            raise TooMany


def place(source: str, at: int) -> tuple[int, int]:
    """Return line and column, from 1, of an offset."""
    return source.count("\n", 0, at) + 1, at - source.rfind("\n", 0, at)


def show(source: str, found: Diagnostic, file: str = "") -> str:
    """Write a diagnostic as a person reads it: place, sentence, line, caret, suggestion."""
    lines = source.split("\n")
    text = lines[found.line - 1] if found.line <= len(lines) else ""
    text = text.rstrip("\r")
    column, start = found.column, 0
    if len(text) > _SHOWN_MAX:
        start = max(0, column - _SHOWN_MAX // 2)
    shown = _HIDDEN.sub("?", text[start : start + _SHOWN_MAX].replace("\t", " "))
    caret = " " * (column - 1 - start) + "^" * max(
        1, min(found.length, len(shown) - column + 1 + start)
    )
    head = f"{file}:" if file else ""
    parts = [
        f"{head}{found.line}:{column}: {found.severity}: {found.message} [{found.code}]",
        f"  {shown}",
        f"  {caret}",
    ]
    if found.suggestion:
        parts.append(f"  {found.suggestion}")
    return "\n".join(parts)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a sentence with the known name nearest to one, or nothing."""
    limit = min(max(1, len(name) // 3), _EDITS_MAX)
    best, nearest = limit + 1, ""
    close = [other for other in known if abs(len(other) - len(name)) <= limit]
    for other in nsmallest(_COMPARED_MAX, close):
        far = _distance(name.lower(), other.lower(), best)
        if far < best:
            best, nearest = far, other
    return f"Did you mean {nearest}?" if nearest else ""


def _distance(a: str, b: str, enough: int) -> int:
    """Count insertions, deletions, replacements and swaps of neighbours from a to b."""
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        older, before = before, row
        # What is further from the diagonal than enough costs as much.
        first, last = max(1, i - enough), min(len(b), i + enough)
        row = [i if first == 1 else enough] + [enough] * len(b)
        for j in range(first, last + 1):
            y = b[j - 1]
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, older[j - 2] + 1)
            row[j] = cost
        if min(row) >= enough:
            return enough
    return row[-1]


def _word(source: str, at: int) -> int:
    end = at
    while end < len(source) and (source[end].isalnum() or source[end] == "_"):
        end += 1
    return max(1, end - at)
