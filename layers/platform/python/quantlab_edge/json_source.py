"""JSON text with the line of every value, for messages to people who edit files by hand.

It must not know what the document means.
"""

import codecs
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from quantlab.tenancy.validation import DEPTH_MAX, pointer

DIGITS_MAX = 300
_WHITESPACE = re.compile(r"[ \t\r\n]*")
_value_at = json.JSONDecoder().raw_decode


@dataclass(frozen=True, slots=True)
class Repeated:
    """A member that stands twice in one object; the document holds the later one."""

    pointer: str
    line: int
    first_line: int


@dataclass(frozen=True, slots=True)
class JsonSource:
    """A parsed document; lines gives the line of each value, or of its name inside an object."""

    document: Any
    lines: Mapping[str, int]
    repeated: tuple[Repeated, ...]

    def line_of(self, place: str) -> int:
        """Return the line of a pointer, or of the nearest enclosing value that exists."""
        while place not in self.lines:
            place = place.rpartition("/")[0]
        return self.lines[place]


class JsonSyntaxError(ValueError):
    """The text is no JSON, at this line and column, counted from one."""

    def __init__(self, line: int, column: int, expected: str, got: str) -> None:
        super().__init__(f"line {line}, column {column}: expected {expected}, got {got}")
        self.line = line
        self.column = column
        self.expected = expected
        self.got = got


def read_json(content: bytes) -> JsonSource:
    """Parse UTF-8 JSON and find its lines; JsonSyntaxError says where the text is none."""
    text = _text(content)
    try:
        document = json.loads(
            text, parse_constant=_refuse_constant, parse_int=partial(_integer, text)
        )
    except json.JSONDecodeError as error:
        raise _syntax_error(text, error.pos, error.msg) from error
    except _ConstantError as error:
        raise _syntax_error(text, max(text.find(str(error)), 0), "Expecting a number") from error
    except RecursionError as error:
        raise JsonSyntaxError(1, 1, f"at most {DEPTH_MAX} levels", "more") from error
    scan = _Scan(text)
    scan.value(scan.skip(0))
    return JsonSource(document, scan.lines, tuple(scan.repeated))


def _integer(text: str, digits: str) -> int:
    if len(digits) > DIGITS_MAX:
        message = f"Expecting a number of at most {DIGITS_MAX} digits"
        raise json.JSONDecodeError(message, text, text.find(digits))
    return int(digits)


class _ConstantError(ValueError):
    pass


def _refuse_constant(name: str) -> None:
    raise _ConstantError(name)


def _text(content: bytes) -> str:
    if content.startswith(codecs.BOM_UTF8):
        raise JsonSyntaxError(1, 1, "UTF-8 text without a byte order mark", "one")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise JsonSyntaxError(line, column, "UTF-8 text", "another encoding") from error


def _syntax_error(text: str, at: int, message: str) -> JsonSyntaxError:
    line = text.count("\n", 0, at) + 1
    column = at - text.rfind("\n", 0, at)
    expected = message[:1].lower() + message[1:]
    got = "the end of the file" if at >= len(text) else json.dumps(text[at], ensure_ascii=False)
    return JsonSyntaxError(line, column, expected.removeprefix("expecting "), got)


class _Scan:
    """Walks text that is known to be JSON and notes where each value stands."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._line_at = 0
        self._line = 1
        self.lines: dict[str, int] = {}
        self.repeated: list[Repeated] = []

    def skip(self, at: int) -> int:
        found = _WHITESPACE.match(self._text, at)
        return at if found is None else found.end()

    def value(self, at: int, place: str = "", depth: int = 0) -> int:
        self.lines.setdefault(place, self._line_of(at))
        if depth > DEPTH_MAX:
            raise JsonSyntaxError(self._line_of(at), 1, f"at most {DEPTH_MAX} levels", "more")
        match self._text[at]:
            case "{":
                return self._object(at, place, depth + 1)
            case "[":
                return self._array(at, place, depth + 1)
            case _:
                return _value_at(self._text, at)[1]

    def _object(self, at: int, within: str, depth: int) -> int:
        at = self.skip(at + 1)
        names: dict[str, int] = {}
        while self._text[at] != "}":
            line = self._line_of(at)
            name, at = _value_at(self._text, at)
            place = within + pointer((name,))
            if name in names:
                self.repeated.append(Repeated(place, line, names[name]))
            names[name] = self.lines[place] = line
            at = self.value(self.skip(self.skip(at) + 1), place, depth)
            at = self._next_item(at)
        return at + 1

    def _array(self, at: int, within: str, depth: int) -> int:
        at = self.skip(at + 1)
        index = 0
        while self._text[at] != "]":
            at = self._next_item(self.value(at, f"{within}/{index}", depth))
            index += 1
        return at + 1

    def _next_item(self, at: int) -> int:
        at = self.skip(at)
        return self.skip(at + 1) if self._text[at] == "," else at

    def _line_of(self, at: int) -> int:
        self._line += self._text.count("\n", self._line_at, at)
        self._line_at = at
        return self._line
