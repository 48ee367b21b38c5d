"""Trading days through the changes of wall clocks."""

# ruff: noqa: E501 - one row is one case

import pytest

from quantlab.kernel.check import InvariantBroken
from quantlab.kernel.instants import format_rfc3339, parse_rfc3339
from quantlab.rules.calendar import day_of, is_zone, local_time, minute_of_day

# reset, zone, instant -> date, start, next reset
ROWS = {
    "New York, plain": ("17:00", "America/New_York", "2026-01-06T12:00:00Z", "2026-01-05", "2026-01-05T22:00:00", "2026-01-06T22:00:00"),
    "the reset belongs to the new day": ("17:00", "America/New_York", "2026-01-06T22:00:00Z", "2026-01-06", "2026-01-06T22:00:00", "2026-01-07T22:00:00"),
    "the instant before it to the old one": ("17:00", "America/New_York", "2026-01-06T21:59:59.999999999Z", "2026-01-05", "2026-01-05T22:00:00", "2026-01-06T22:00:00"),
    "New York, 23 hours in spring": ("17:00", "America/New_York", "2026-03-08T12:00:00Z", "2026-03-07", "2026-03-07T22:00:00", "2026-03-08T21:00:00"),
    "New York, 25 hours in autumn": ("17:00", "America/New_York", "2026-11-01T12:00:00Z", "2026-10-31", "2026-10-31T21:00:00", "2026-11-01T22:00:00"),
    "New York, reset skipped": ("02:30", "America/New_York", "2026-03-08T12:00:00Z", "2026-03-08", "2026-03-08T07:00:00", "2026-03-09T06:30:00"),
    "New York, before the skipped reset": ("02:30", "America/New_York", "2026-03-08T06:59:59Z", "2026-03-07", "2026-03-07T07:30:00", "2026-03-08T07:00:00"),
    "New York, reset repeated": ("01:30", "America/New_York", "2026-11-01T05:30:00Z", "2026-11-01", "2026-11-01T05:30:00", "2026-11-02T06:30:00"),
    "New York, reset repeated, second time": ("01:30", "America/New_York", "2026-11-01T06:30:00Z", "2026-11-01", "2026-11-01T05:30:00", "2026-11-02T06:30:00"),
    "Prague, midnight in spring": ("00:00", "Europe/Prague", "2026-03-29T12:00:00Z", "2026-03-29", "2026-03-28T23:00:00", "2026-03-29T22:00:00"),
    "Prague, midnight in autumn": ("00:00", "Europe/Prague", "2026-10-25T12:00:00Z", "2026-10-25", "2026-10-24T22:00:00", "2026-10-25T23:00:00"),
    "Prague, reset skipped": ("02:00", "Europe/Prague", "2026-03-29T01:00:00Z", "2026-03-29", "2026-03-29T01:00:00", "2026-03-30T00:00:00"),
    "Prague, reset repeated": ("02:00", "Europe/Prague", "2026-10-25T01:30:00Z", "2026-10-25", "2026-10-25T00:00:00", "2026-10-26T01:00:00"),
    "Lord Howe, half an hour skipped": ("02:15", "Australia/Lord_Howe", "2026-10-03T15:30:00Z", "2026-10-04", "2026-10-03T15:30:00", "2026-10-04T15:15:00"),
    "Lord Howe, half an hour repeated": ("01:45", "Australia/Lord_Howe", "2026-04-04T15:10:00Z", "2026-04-05", "2026-04-04T14:45:00", "2026-04-05T15:15:00"),
    "Sao Paulo, midnight skipped": ("00:00", "America/Sao_Paulo", "2018-11-04T12:00:00Z", "2018-11-04", "2018-11-04T03:00:00", "2018-11-05T02:00:00"),
    "Sao Paulo, before the skipped midnight": ("00:00", "America/Sao_Paulo", "2018-11-04T02:59:59Z", "2018-11-03", "2018-11-03T03:00:00", "2018-11-04T03:00:00"),
    "Sao Paulo, the repeated hour before midnight": ("23:30", "America/Sao_Paulo", "2019-02-17T02:30:00Z", "2019-02-16", "2019-02-17T01:30:00", "2019-02-18T02:30:00"),
    "St John's, midnight reached before the clock goes back over it": ("00:00", "America/St_Johns", "2010-11-07T03:00:00Z", "2010-11-07", "2010-11-07T02:30:00", "2010-11-08T03:30:00"),
    "Beirut, midnight skipped": ("00:00", "Asia/Beirut", "2022-03-27T12:00:00Z", "2022-03-27", "2022-03-26T22:00:00", "2022-03-27T21:00:00"),
    "Apia, a date that never was": ("17:00", "Pacific/Apia", "2011-12-30T11:00:00Z", "2011-12-30", "2011-12-30T10:00:00", "2011-12-31T03:00:00"),
    "Apia, an empty day is nobody's": ("00:00", "Pacific/Apia", "2011-12-30T11:00:00Z", "2011-12-31", "2011-12-30T10:00:00", "2011-12-31T10:00:00"),
    "UTC": ("00:00", "UTC", "2026-03-08T00:00:00Z", "2026-03-08", "2026-03-08T00:00:00", "2026-03-09T00:00:00"),
    "before 1970": ("17:00", "America/New_York", "1969-07-20T20:17:40Z", "1969-07-19", "1969-07-19T21:00:00", "1969-07-20T21:00:00"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("reset", "zone", "at", "date", "started", "next_reset"), ROWS.values(), ids=ROWS.keys()
)
def test_day_of(reset: str, zone: str, at: str, date: str, started: str, next_reset: str) -> None:
    ts_ns = parse_rfc3339(at)
    assert ts_ns is not None

    day = day_of(ts_ns, reset, zone)

    assert day.date == date
    assert format_rfc3339(day.started_ns) == f"{started}.000000Z"
    assert format_rfc3339(day.next_reset_ns) == f"{next_reset}.000000Z"


@pytest.mark.parametrize("name", ["America/New_York", "UTC", "Etc/GMT-3", "Asia/Beirut"])
def test_is_zone_accepts_names_of_the_database(name: str) -> None:
    assert is_zone(name)


@pytest.mark.parametrize(
    "name",
    ["", "America", "America/Gotham", "localtime", "posixrules", "../etc/passwd", "/etc/localtime",
     "America/New_York\n", "america/new_york", "America//New_York", "UTC\0", "+02:00"],
)  # fmt: skip
def test_is_zone_refuses_the_rest(name: str) -> None:
    assert not is_zone(name)


@pytest.mark.parametrize("clock", ["", "24:00", "9:30", "09:60", "09:30:00", "0\uff19:30"])
def test_minute_of_day_refuses_what_is_no_clock_time(clock: str) -> None:
    with pytest.raises(InvariantBroken, match="HH:MM"):
        minute_of_day(clock)


def test_local_time_reads_the_zones_clock() -> None:
    assert local_time(1_767_225_600_000_000_000, "America/New_York").isoformat() == (
        "2025-12-31T19:00:00-05:00"
    )
