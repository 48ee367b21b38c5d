"""A checked walk through a JSON document: every wrong value is named by its JSON Pointer."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from quantlab.kernel.decimals import parse_decimal
from quantlab.kernel.records import dataclass


class CatalogError(ValueError):
    """A document is not a catalogue: where, what was expected, what was there."""

    def __init__(self, pointer: str, expected: str, got: str) -> None:
        super().__init__(f"{pointer or '/'}: expected {expected}, got {got}")
        self.pointer = pointer
        self.expected = expected
        self.got = got


@dataclass(frozen=True, slots=True)
class Node:
    """One JSON object of the document and where it stands."""

    pointer: str
    value: Mapping[str, Any]

    def at(self, name: str) -> str:
        """Return the pointer of a member."""
        return f"{self.pointer}/{name.replace('~', '~0').replace('/', '~1')}"

    def only(self, *names: str) -> None:
        """Refuse members that are not among the names."""
        for name in self.value:
            if name not in names:
                raise CatalogError(self.at(name), f"one of {', '.join(names)}", "an unknown member")

    def text(self, name: str, pattern: str = r".{1,200}") -> str:
        """Return a text member that matches the pattern in full."""
        value = self._member(name)
        if not isinstance(value, str) or re.fullmatch(pattern, value) is None:
            raise CatalogError(self.at(name), f"text like {pattern}", repr(value))
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a member that is a list of texts."""
        values = self._member(name)
        if not isinstance(values, list):
            raise CatalogError(self.at(name), "a list of texts", repr(values))
        for index, value in enumerate(values):
            if not isinstance(value, str) or not value.strip():
                raise CatalogError(f"{self.at(name)}/{index}", "text", repr(value))
        return tuple(values)

    def integer(self, name: str, low: int, high: int) -> int:
        """Return an integer member within [low, high]."""
        value = self._member(name)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise CatalogError(self.at(name), f"an integer from {low} to {high}", repr(value))
        return value

    def decimal(self, name: str) -> Decimal:
        """Return a member that is decimal text."""
        value = self._member(name)
        number = parse_decimal(value) if isinstance(value, str) else None
        if number is None:
            raise CatalogError(self.at(name), 'decimal text such as "0.01"', repr(value))
        return number

    def positive(self, name: str) -> Decimal:
        """Return a member that is decimal text above zero."""
        number = self.decimal(name)
        if number <= 0:
            raise CatalogError(self.at(name), "a decimal above zero", str(number))
        return number

    def child(self, name: str) -> "Node":
        """Return a member that is an object."""
        value = self._member(name)
        if not isinstance(value, dict):
            raise CatalogError(self.at(name), "an object", repr(value))
        return Node(self.at(name), value)

    def children(self, name: str, low: int, high: int) -> list["Node"]:
        """Return a member that is a list of low to high objects."""
        values = self._member(name)
        if not isinstance(values, list) or not low <= len(values) <= high:
            raise CatalogError(self.at(name), f"a list of {low} to {high} objects", "another value")
        for index, value in enumerate(values):
            if not isinstance(value, dict):
                raise CatalogError(f"{self.at(name)}/{index}", "an object", repr(value))
        return [Node(f"{self.at(name)}/{i}", value) for i, value in enumerate(values)]

    def _member(self, name: str) -> Any:
        if name not in self.value:
            raise CatalogError(self.at(name), "a value", "nothing")
        return self.value[name]
