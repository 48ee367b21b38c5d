"""Fields of one JSON object, read one by one; every one that is not as expected is named."""

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from quantlab.kernel.decimals import parse_decimal
from quantlab.kernel.instants import format_rfc3339, parse_rfc3339
from quantlab.kernel.records import dataclass

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")


@dataclass(frozen=True, slots=True)
class Problem:
    """One field that is not as expected; pointer is RFC 6901."""

    pointer: str
    expected: str
    got: str


class FieldReader:
    """Reads the fields of an object at a place of the document and collects what is wrong."""

    def __init__(
        self, document: Mapping[str, Any], problems: list[Problem], place: str = ""
    ) -> None:
        self._document = document
        self._problems = problems
        self._place = place

    def has(self, key: str) -> bool:
        """Say whether a field is given; null is not."""
        return self._document.get(key) is not None

    def get(self, key: str) -> Any:
        """Return a field as it is, None when absent."""
        return self._document.get(key)

    def at(self, key: str, document: Mapping[str, Any]) -> "FieldReader":
        """Return a reader of an object inside this one."""
        return FieldReader(document, self._problems, f"{self._place}/{key}")

    def fail(self, key: str, expected: str, got: object = None) -> None:
        """Note that a field is not as expected."""
        shown = "absent" if got is None else type(got).__name__
        if isinstance(got, (str, int, Decimal)) and not isinstance(got, bool):
            shown = str(got)[:64]
        self._problems.append(Problem(f"{self._place}/{key}", expected, shown))

    def refuse_unknown(self, known: Iterable[str]) -> None:
        """Note every field that nobody reads."""
        for key in self._document:
            if key not in known:
                shown = key.replace("~", "~0").replace("/", "~1")[:64]
                self.fail(shown, "no such field", "present")

    def refuse(self, keys: Iterable[str], why: str) -> None:
        """Note which of some fields are given though they must not be."""
        for key in keys:
            if self.has(key):
                self.fail(key, f"absent {why}", "present")

    def text(self, key: str, longest: int, *, required: bool = False) -> str | None:
        """Read printable text."""
        value = self.get(key)
        if value is None and not required:
            return None
        if isinstance(value, str) and 0 < len(value) <= longest and value.isprintable():
            return value
        self.fail(key, f"printable text of 1 to {longest} characters", value)
        return None

    def choice(self, key: str, choices: tuple[str, ...], *, required: bool = False) -> str | None:
        """Read one of some words, in any case."""
        value = self.get(key)
        if value is None and not required:
            return None
        if isinstance(value, str) and value.lower() in choices:
            return value.lower()
        self.fail(key, "one of " + ", ".join(choices), value)
        return None

    def positive(self, key: str, most: Decimal | None = None) -> str | None:
        """Read a plain decimal above 0, given as text or as a number, and return its text."""
        value = self.get(key)
        if value is None:
            return None
        number = None
        if isinstance(value, (str, int, Decimal)) and not isinstance(value, bool):
            number = _plain(value)
        if number is not None and number > 0 and (most is None or number <= most):
            return format(number, "f")
        limit = "" if most is None else f" and at most {most}"
        self.fail(key, f"a plain decimal above 0{limit}", value)
        return None

    def flag(self, key: str) -> bool:
        """Read true or false, false when absent."""
        value = self.get(key)
        if value is None or isinstance(value, bool):
            return bool(value)
        self.fail(key, "true or false", value)
        return False

    def instant(self, key: str) -> str | None:
        """Read an RFC 3339 time and return it in UTC."""
        value = self.get(key)
        if value is None:
            return None
        ts_ns = parse_rfc3339(value) if isinstance(value, str) else None
        if ts_ns is None:
            self.fail(key, "an RFC 3339 time before 2262", value)
            return None
        return format_rfc3339(ts_ns)

    def uuid(self, key: str) -> str | None:
        """Read a UUID."""
        value = self.get(key)
        if value is None or (isinstance(value, str) and _UUID.match(value.lower())):
            return None if value is None else str(value).lower()
        self.fail(key, "a UUID", value)
        return None


def _plain(value: str | int | Decimal) -> Decimal | None:
    if isinstance(value, Decimal):
        if abs(value.adjusted()) > 18:
            return None
        value = format(value, "f")
    return parse_decimal(str(value))
