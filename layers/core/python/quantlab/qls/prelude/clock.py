"""Time of day and calendar in the strategy's zone, and sessions."""

from typing import Final

TEXT: Final = r"""
// Seconds since 1970 of the strategy's local clock.
// warm-up: 0
def _local_seconds()
    return idiv(time + utc_offset, 1000000000)

// Second of the minute, 0..59.
// warm-up: 0
def second()
    return _local_seconds() % 60

// Minute of the hour, 0..59.
// warm-up: 0
def minute()
    return idiv(_local_seconds(), 60) % 60

// Hour of the day, 0..23.
// warm-up: 0
def hour()
    return idiv(_local_seconds(), 3600) % 24

// Minutes since midnight, 0..1439.
// warm-up: 0
def minute_of_day()
    return idiv(_local_seconds(), 60) % 1440

// Day of the week, 1 Monday to 7 Sunday (ISO 8601).
// warm-up: 0
def dayofweek()
    return (idiv(_local_seconds(), 86400) + 3) % 7 + 1

// Days since 1970-01-01 of the local calendar.
// warm-up: 0
def day_number()
    return idiv(_local_seconds(), 86400)

// The days since 1 March of year 0, cut into eras of 400 years: [year, month, day].
// warm-up: 0
def _civil()
    z = day_number() + 719468
    era = idiv(z, 146097)
    doe = z - era * 146097
    yoe = idiv(doe - idiv(doe, 1460) + idiv(doe, 36524) - idiv(doe, 146096), 365)
    doy = doe - (365 * yoe + idiv(yoe, 4) - idiv(yoe, 100))
    mp = idiv(5 * doy + 2, 153)
    day = doy - idiv(153 * mp + 2, 5) + 1
    month = mp < 10 ? mp + 3 : mp - 9
    return [yoe + era * 400 + (month <= 2 ? 1 : 0), month, day]

// Year.
// warm-up: 0
def year()
    [y, m, d] = _civil()
    return y

// Month, 1..12.
// warm-up: 0
def month()
    [y, m, d] = _civil()
    return m

// Day of the month, 1..31.
// warm-up: 0
def dayofmonth()
    [y, m, d] = _civil()
    return d

// Whether this is the first event of a local day that the strategy sees here.
// warm-up: 0
def new_day()
    var seen = -1
    today = day_number()
    is_new = today != seen
    seen := today
    return is_new

// Whether the local time of day lies from hour:minute up to, not including, another; it may span
// midnight.
// warm-up: 0
def in_session(int from_hour, int from_minute, int to_hour, int to_minute)
    now = minute_of_day()
    begin = from_hour * 60 + from_minute
    end = to_hour * 60 + to_minute
    return begin <= end ? now >= begin and now < end : now >= begin or now < end
"""
