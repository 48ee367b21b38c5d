"""Trading days: half-open spans between wall-clock resets in a named zone, through DST.

It must not know exchanges or sessions.
"""

import re
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from quantlab.kernel.check import check
from quantlab.kernel.instants import SECOND_NS
from quantlab.rules.limits import INSTANTS_CACHED_MAX

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_ORDINAL = _EPOCH.toordinal()
_DAY_SECONDS = 86_400
_NOON = 12
# Lower-case names (localtime, posixrules, right/...) mean another thing on another machine.
_ZONE_NAME = re.compile(r"[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*")
CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


class TradingDay(NamedTuple):
    """The day [started_ns, next_reset_ns), named by the local date of its reset."""

    date: str
    started_ns: int
    next_reset_ns: int


def is_zone(name: str) -> bool:
    """Say whether the name is a zone of the IANA database."""
    if _ZONE_NAME.fullmatch(name) is None:
        return False
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def minute_of_day(clock: str) -> int:
    """Read HH:MM as minutes since midnight."""
    check(CLOCK.fullmatch(clock), f"expected a clock time HH:MM, was {clock!r}")
    return int(clock[:2]) * 60 + int(clock[3:])


def local_time(ts_ns: int, zone: str) -> datetime:
    """Return the wall-clock time of an instant in a zone."""
    return (_EPOCH + timedelta(seconds=ts_ns // SECOND_NS)).astimezone(ZoneInfo(zone))


@lru_cache(maxsize=INSTANTS_CACHED_MAX)
def wall_instant_ns(ordinal: int, minute: int, zone: str) -> int:
    """Return the instant at which a zone's clock first reaches a minute of a date.

    A minute that the clock skips is reached at the first instant after the gap; one that comes
    twice, at its first occurrence. The date is given by its proleptic ordinal.
    """
    clock = time(minute // 60, minute % 60)
    wall = datetime.combine(date.fromordinal(ordinal), clock, ZoneInfo(zone))
    local_seconds = (ordinal - _EPOCH_ORDINAL) * _DAY_SECONDS + minute * 60
    before_seconds = _offset_seconds(wall)
    after_seconds = _offset_seconds(wall.replace(fold=1))
    if before_seconds >= after_seconds:
        return (local_seconds - before_seconds) * SECOND_NS
    in_old, in_new = local_seconds - after_seconds, local_seconds - before_seconds
    while in_new - in_old > 1:
        middle = (in_old + in_new) // 2
        if _offset_seconds(local_time(middle * SECOND_NS, zone)) == before_seconds:
            in_old = middle
        else:
            in_new = middle
    return in_new * SECOND_NS


def day_of(ts_ns: int, reset: str, zone: str) -> TradingDay:
    """Return the trading day that holds an instant, for resets at HH:MM in a named zone."""
    minute = minute_of_day(reset)
    ordinal = local_time(ts_ns, zone).toordinal() + 1
    next_reset_ns = wall_instant_ns(ordinal + 1, minute, zone)
    started_ns = wall_instant_ns(ordinal, minute, zone)
    while started_ns > ts_ns:
        ordinal -= 1
        next_reset_ns = started_ns
        started_ns = wall_instant_ns(ordinal, minute, zone)
    return TradingDay(date.fromordinal(ordinal).isoformat(), started_ns, next_reset_ns)


def night_of(reset_ns: int, zone: str) -> date:
    """Return the date whose night a reset ends: before noon that of the day before.

    So 05:00 in Singapore ends the same night as 17:00 in New York.
    """
    wall = local_time(reset_ns, zone)
    return wall.date() - timedelta(days=1) if wall.hour < _NOON else wall.date()


def _offset_seconds(moment: datetime) -> int:
    offset = moment.utcoffset()
    check(offset is not None, "expected a time with a zone")
    return (offset or timedelta()) // timedelta(seconds=1)
