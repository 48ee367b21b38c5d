"""ISO 8601 durations of fixed length: days, hours, minutes and seconds down to a millisecond."""

import re
from typing import Final

PATTERN: Final = re.compile(
    r"P(?!$)(?:(?P<days>\d{1,3})D)?"
    r"(?:T(?!$)(?:(?P<hours>\d{1,4})H)?(?:(?P<minutes>\d{1,4})M)?"
    r"(?:(?P<seconds>\d{1,5})(?:\.(?P<fraction>\d{1,3}))?S)?)?"
)


def milliseconds(text: str) -> int | None:
    """Return the length of a duration, or nothing when the text is none or its length is zero."""
    match = PATTERN.fullmatch(text)
    if match is None:
        return None
    days, hours, minutes, seconds = (
        int(match[unit] or 0) for unit in ("days", "hours", "minutes", "seconds")
    )
    whole = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    return (whole * 1000 + int((match["fraction"] or "").ljust(3, "0"))) or None
