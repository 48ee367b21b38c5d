"""Cursors: where the next page starts, opaque to clients, checked when they come back."""

import base64
import binascii
import json
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, TypeVar
from uuid import UUID

from fastapi import Query

from quantlab_edge.problems import FieldError, ProblemError

LIMIT_DEFAULT: Final = 100
LIMIT_MAX: Final = 500
CURSOR_CHARS_MAX: Final = 512

Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX, description="Items a page.")]
Cursor = Annotated[
    str | None,
    Query(max_length=CURSOR_CHARS_MAX, description="`nextCursor` of the page before."),
]

CursorValue = str | int
CursorKind = type[CursorValue] | type[UUID]
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
_INT_LIMIT: Final = 1 << 63
Row = TypeVar("Row")


def encode_cursor(values: Sequence[CursorValue]) -> str:
    """Write the sort key of a page's last item as an opaque cursor."""
    text = json.dumps(list(values), separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def decode_cursor(cursor: str | None, *kinds: CursorKind) -> tuple[Any, ...] | None:
    """Read a cursor of values of these kinds; None for the first page, 422 for anything else.

    Integers fit 64 bits; the kind UUID stands for the text of one.
    """
    if cursor is None:
        return None
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        values = json.loads(raw)
    except (ValueError, binascii.Error, RecursionError):
        raise _bad_cursor(cursor) from None
    if not isinstance(values, list) or len(values) != len(kinds):
        raise _bad_cursor(cursor)
    if not all(_fits(value, kind) for value, kind in zip(values, kinds, strict=True)):
        raise _bad_cursor(cursor)
    return tuple(values)


def _fits(value: object, kind: CursorKind) -> bool:
    if kind is int:
        return type(value) is int and -_INT_LIMIT <= value < _INT_LIMIT
    if not isinstance(value, str) or not value.isprintable():
        return False
    return kind is str or _UUID.match(value) is not None


def _bad_cursor(cursor: str) -> ProblemError:
    error = FieldError("query/cursor", "a nextCursor of this route", cursor[:40])
    return ProblemError("invalid_fields", "The cursor is not one of ours.", [error])


def page(
    rows: Sequence[Row], limit: int, key: Callable[[Row], Sequence[CursorValue]]
) -> tuple[Sequence[Row], str | None]:
    """Cut limit + 1 fetched rows into a page and the cursor of the next, if there is one."""
    if len(rows) <= limit:
        return rows, None
    kept = rows[:limit]
    return kept, encode_cursor(key(kept[-1]))
