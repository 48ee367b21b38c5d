"""Cursors: where the next page starts, opaque to clients, checked when they come back."""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, TypeVar

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
Row = TypeVar("Row")


def encode_cursor(values: Sequence[CursorValue]) -> str:
    """Write the sort key of a page's last item as an opaque cursor."""
    text = json.dumps(list(values), separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def decode_cursor(cursor: str | None, *kinds: type[CursorValue]) -> tuple[Any, ...] | None:
    """Read a cursor of values of these kinds; None for the first page, 422 for anything else."""
    if cursor is None:
        return None
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        values = json.loads(raw)
    except (ValueError, binascii.Error, RecursionError):
        raise _bad_cursor(cursor) from None
    if not isinstance(values, list) or [type(value) for value in values] != list(kinds):
        raise _bad_cursor(cursor)
    return tuple(values)


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
