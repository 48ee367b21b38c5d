"""Instants as integer nanoseconds since 1970 UTC, and their RFC 3339 text."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

SECOND_NS = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339 = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt](\d{2}:\d{2}:\d{2})(\.\d{1,9})?(Z|z|[+-]\d{2}:\d{2})\Z"
)


def format_rfc3339(ts_ns: int) -> str:
    """Write an instant in UTC with microseconds: 2026-01-02T03:04:05.000006Z."""
    seconds, rest_ns = divmod(ts_ns, SECOND_NS)
    return f"{_second_text(seconds)}.{rest_ns // 1000:06d}Z"


@lru_cache(maxsize=1024)
def _second_text(seconds: int) -> str:
    """Write a whole second; instants that are written together share theirs."""
    moment = _EPOCH + timedelta(seconds=seconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}"


def parse_rfc3339(text: str) -> int | None:
    """Read an RFC 3339 instant; None when it is not one or carries no offset."""
    match = _RFC3339.match(text)
    if match is None:
        return None
    date, clock, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(f"{date}T{clock}{zone.upper().replace('Z', '+00:00')}")
    except ValueError:
        return None
    nanoseconds = int((fraction or ".0")[1:].ljust(9, "0"))
    return (moment - _EPOCH) // timedelta(seconds=1) * SECOND_NS + nanoseconds
