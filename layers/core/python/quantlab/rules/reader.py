"""Typed reading of a JSON document that collects every problem with its place.

It must not know what the values mean.
"""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from quantlab.kernel.decimals import parse_decimal
from quantlab.kernel.instants import parse_rfc3339

_SHOWN_LENGTH_MAX = 80


class Problem(NamedTuple):
    """One thing wrong in a document: where (RFC 6901), what was expected, what was there."""

    pointer: str
    expected: str
    got: str


class ProfileError(ValueError):
    """A rule profile that cannot be used, with every problem found in it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(
            "; ".join(f"{p.pointer or '/'}: expected {p.expected}, got {p.got}" for p in problems)
        )


def shown(value: object) -> str:
    """Describe a value of a document in a few words."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    text = repr(value)
    return text if len(text) <= _SHOWN_LENGTH_MAX else f"{text[:_SHOWN_LENGTH_MAX]}..."


def _escaped(key: object) -> str:
    return str(key).replace("~", "~0").replace("/", "~1")


class Reader:
    """One object of the document; what it cannot read becomes a problem and a stand-in value."""

    __slots__ = ("_asked", "_problems", "_seen", "_value", "pointer")

    def __init__(self, value: object, pointer: str, problems: list[Problem]) -> None:
        self.pointer = pointer
        self._problems = problems
        self._seen: set[str] = set()
        self._asked: set[str] = set()
        self._value: Mapping[Any, Any] = value if isinstance(value, Mapping) else {}
        if not isinstance(value, Mapping):
            problems.append(Problem(pointer, "an object", shown(value)))

    def has(self, key: str) -> bool:
        """Say whether the key is present."""
        self._asked.add(key)
        return key in self._value

    def at(self, key: str) -> str:
        """Return the pointer of a key."""
        return f"{self.pointer}/{_escaped(key)}"

    def refuse(self, key: str, expected: str, got: str | None = None) -> None:
        """Record a problem at a key; got is what stands there unless given."""
        found = shown(self._value[key]) if key in self._value else "nothing"
        self._problems.append(Problem(self.at(key), expected, found if got is None else got))

    def text(
        self, key: str, pattern: re.Pattern[str], expected: str, default: str | None = None
    ) -> str:
        """Read text that matches the pattern; a default makes the key optional."""
        value = self._take(key, default)
        if isinstance(value, str) and (value is default or pattern.fullmatch(value)):
            return value
        self.refuse(key, expected)
        return ""

    def value(self, key: str) -> Any:
        """Return what stands at a key for somebody else to read; None when nothing does."""
        return self._take(key)

    def plain(self, key: str, expected: str) -> str:
        """Read any text that is not empty."""
        value = self._take(key)
        if isinstance(value, str) and value:
            return value
        self.refuse(key, expected)
        return ""

    def instant(self, key: str) -> int:
        """Read an instant in nanoseconds since 1970; 0 when it is none."""
        expected = "a time as RFC 3339 with its offset"
        text = self.plain(key, expected)
        found = parse_rfc3339(text)
        if text and found is None:
            self.refuse(key, expected)
        return found or 0

    def choice_or_none(
        self, key: str, options: Sequence[str], default: str | None = None
    ) -> str | None:
        """Read one of the options, None when it is not; a default makes the key optional."""
        value = self._take(key, default)
        if isinstance(value, str) and value in options:
            return value
        self.refuse(key, "one of " + ", ".join(options))
        return None

    def choice(self, key: str, options: Sequence[str], default: str | None = None) -> str:
        """Read one of the options, with the first as stand-in."""
        return self.choice_or_none(key, options, default) or options[0]

    def flag(self, key: str) -> bool:
        """Read true or false."""
        value = self._take(key)
        if isinstance(value, bool):
            return value
        self.refuse(key, "true or false")
        return False

    def whole(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """Read a whole number within bounds; a default makes the key optional."""
        value = self._take(key, default)
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        self.refuse(key, f"a whole number from {low} to {high}")
        return low

    def decimal(self, key: str, expected: str) -> Decimal | None:
        """Read decimal text."""
        value = self._take(key)
        number = parse_decimal(value) if isinstance(value, str) else None
        if number is None:
            self.refuse(key, expected)
        return number

    def items(self, key: str, count_max: int, least: int = 1) -> list[tuple[str, Any]]:
        """Read a list of least to count_max items as pairs of pointer and value."""
        value = self._take(key)
        if isinstance(value, list) and least <= len(value) <= count_max:
            return [(f"{self.at(key)}/{index}", item) for index, item in enumerate(value)]
        self.refuse(key, f"a list of {least} to {count_max} items")
        return []

    def choice_of(self, pointer: str, item: object, options: Sequence[str]) -> str:
        """Read an item of a list as one of the options, with the first as stand-in."""
        if isinstance(item, str) and item in options:
            return item
        self._problems.append(Problem(pointer, "one of " + ", ".join(options), shown(item)))
        return options[0]

    def objects(self, key: str, count_max: int, least: int = 1) -> "list[Reader]":
        """Read a list of least to count_max objects."""
        return [
            Reader(item, pointer, self._problems)
            for pointer, item in self.items(key, count_max, least)
        ]

    def names(
        self, key: str, count_max: int, pattern: re.Pattern[str], expected: str
    ) -> tuple[str, ...]:
        """Read a list of distinct texts that match the pattern."""
        names: list[str] = []
        for pointer, item in self.items(key, count_max):
            if not (isinstance(item, str) and pattern.fullmatch(item)):
                self._problems.append(Problem(pointer, expected, shown(item)))
            elif item in names:
                self._problems.append(Problem(pointer, "each item once", shown(item)))
            else:
                names.append(item)
        return tuple(names)

    def child(self, key: str) -> "Reader":
        """Read an object below this one."""
        return Reader(self._take(key), self.at(key), self._problems)

    def finish(self) -> None:
        """Refuse every key that nobody asked for."""
        for key in self._value:
            if key not in self._seen:
                names = ", ".join(sorted(self._seen | self._asked))
                expected = f"one of {names}" if names else "no key"
                pointer = f"{self.pointer}/{_escaped(key)}"
                self._problems.append(Problem(pointer, expected, "an unknown key"))

    def _take(self, key: str, default: object = None) -> Any:
        self._seen.add(key)
        return self._value.get(key, default)
