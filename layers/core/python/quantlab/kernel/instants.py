"""Instants as integer nanoseconds since 1970 UTC, and their RFC 3339 text."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

SECOND_NS = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INT64 = 1 << 63
_RFC3339 = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt](\d{2}:\d{2}:\d{2})(\.\d{1,9})?(Z|z|[+-]\d{2}:\d{2})\Z", re.ASCII
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
    """Read an RFC 3339 instant; None when it is not one, carries no offset, or needs over 64 bits.

    64 bits of nanoseconds reach from 1677 to 2262.
    """
    match = _RFC3339.match(text)
    if match is None:
        return None
    date, clock, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(f"{date}T{clock}{zone.upper().replace('Z', '+00:00')}")
    except ValueError:
        return None
    nanoseconds = int((fraction or ".0")[1:].ljust(9, "0"))
    ts_ns = (moment - _EPOCH) // timedelta(seconds=1) * SECOND_NS + nanoseconds
    return ts_ns if -_INT64 <= ts_ns < _INT64 else None
