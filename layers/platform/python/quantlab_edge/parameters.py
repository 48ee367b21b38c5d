"""Headers and query values that several functions read alike."""

from typing import Annotated

from fastapi import Header
from pydantic import AfterValidator, Field

from quantlab.kernel.check import check
from quantlab.kernel.instants import parse_rfc3339

KEY_CHARS_MAX = 255


def instant_ns(text: str) -> int:
    """Return the nanoseconds of an instant that was checked before."""
    found = parse_rfc3339(text)
    check(found is not None, f"an instant was validated: {text}")
    return found or 0


def _checked_instant(text: str) -> str:
    if parse_rfc3339(text) is None:
        raise ValueError("an RFC 3339 instant with an offset, such as 2026-01-02T03:04:05Z")
    return text


def _printable(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise ValueError("printable text without spaces around it")
    return text


Instant = Annotated[
    str,
    AfterValidator(_checked_instant),
    Field(max_length=40, json_schema_extra={"format": "date-time"}),
]
Words = Annotated[str, AfterValidator(_printable), Field(min_length=1, max_length=100)]
UuidText = Annotated[
    str, Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", description="A UUID.")
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=KEY_CHARS_MAX,
        description="Repeating a request under its key does it once and answers alike.",
    ),
]
