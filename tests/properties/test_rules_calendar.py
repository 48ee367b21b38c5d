"""Trading days tile time, whatever the zone does to its clock."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quantlab.rules.calendar import day_of

HOUR_NS = 3_600 * 10**9
MINUTE = timedelta(minutes=1)
ZONES = [
    "America/New_York", "Europe/Prague", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Beirut",
    "Asia/Kathmandu", "Africa/Casablanca", "America/St_Johns", "Pacific/Chatham", "UTC",
]  # fmt: skip
instants = st.integers(
    int(datetime(1996, 1, 1, tzinfo=UTC).timestamp()) * 10**9,
    int(datetime(2037, 1, 1, tzinfo=UTC).timestamp()) * 10**9,
)
clocks = st.builds("{:02d}:{:02d}".format, st.integers(0, 23), st.sampled_from([0, 15, 30, 45]))


def first_reached(nominal: datetime, zone: ZoneInfo) -> datetime:
    """Walk the minutes of UTC until the zone's clock first shows the time or a later one."""
    moment = nominal.replace(tzinfo=UTC) - timedelta(hours=18)
    while moment.astimezone(zone).replace(tzinfo=None) < nominal:
        moment += MINUTE
    return moment


@given(ts_ns=instants, reset=clocks, zone=st.sampled_from(ZONES))
def test_days_tile_time(ts_ns: int, reset: str, zone: str) -> None:
    day = day_of(ts_ns, reset, zone)

    assert day.started_ns <= ts_ns < day.next_reset_ns
    assert 22 * HOUR_NS <= day.next_reset_ns - day.started_ns <= 26 * HOUR_NS
    assert day_of(day.started_ns, reset, zone) == day
    assert day_of(day.next_reset_ns - 1, reset, zone) == day
    assert day_of(day.next_reset_ns, reset, zone).started_ns == day.next_reset_ns
    before = day_of(day.started_ns - 1, reset, zone)
    assert before.next_reset_ns == day.started_ns
    assert before.date < day.date


@given(ts_ns=instants, reset=clocks, zone=st.sampled_from(ZONES))
@example(860_297_460 * 10**9, "00:15", "America/St_Johns")  # where clocks went forward at 00:01
def test_resets_are_where_the_clock_first_reaches_them(ts_ns: int, reset: str, zone: str) -> None:
    day = day_of(ts_ns, reset, zone)

    reached = first_reached(datetime.fromisoformat(f"{day.date}T{reset}"), ZoneInfo(zone))

    assert day.started_ns == int(reached.timestamp()) * 10**9


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("year", [2018, 2022, 2026])
@pytest.mark.parametrize("reset", ["00:00", "02:15", "02:30", "17:00"])
def test_a_year_has_one_day_for_each_date(zone: str, year: int, reset: str) -> None:
    start = datetime(year, 1, 1, tzinfo=ZoneInfo(zone)) + timedelta(hours=17)
    day = day_of(int(start.timestamp()) * 10**9, reset, zone)
    date = datetime.fromisoformat(day.date)
    for _ in range(366):
        following = day_of(day.next_reset_ns, reset, zone)
        date += timedelta(days=1)
        assert following.started_ns == day.next_reset_ns
        assert following.date == f"{date:%Y-%m-%d}"
        day = following
