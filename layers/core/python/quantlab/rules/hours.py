"""Trading windows on a zone's wall clock, through DST and midnight."""

from quantlab.rules.calendar import local_time, wall_instant_ns
from quantlab.rules.terms import TradingHours, Window
from quantlab.rules.wording import clock

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def is_open(rule: TradingHours, ts_ns: int) -> bool:
    """Say whether the instant is inside one of the rule's windows."""
    return any(holds(window, rule.time_zone, ts_ns) for window in rule.windows)


def hours_detail(rule: TradingHours, ts_ns: int) -> str:
    """Write the local time and the windows it was compared with."""
    now = local_time(ts_ns, rule.time_zone)
    relation = "is inside" if is_open(rule, ts_ns) else "is outside"
    windows = ", ".join(window_words(window) for window in rule.windows)
    weekday = _WEEKDAYS[now.weekday()]
    return f"{weekday} {now:%Y-%m-%d %H:%M:%S} {rule.time_zone} {relation} {windows}"


def holds(window: Window, zone: str, ts_ns: int) -> bool:
    """Say whether the instant is inside the window on its date or the one before."""
    today = local_time(ts_ns, zone).toordinal()
    return any(
        opened_ns <= ts_ns < closed_ns
        for ordinal in (today - 1, today)
        if (ordinal - 1) % 7 in window.weekdays  # ordinal 1 is a Monday
        for opened_ns, closed_ns in (span_ns(window, ordinal, zone),)
    )


def span_ns(window: Window, ordinal: int, zone: str) -> tuple[int, int]:
    """Return the instants at which the window of a date opens and closes."""
    closing = ordinal + (window.close_minute <= window.open_minute)
    return (
        wall_instant_ns(ordinal, window.open_minute, zone),
        wall_instant_ns(closing, window.close_minute, zone),
    )


def window_words(window: Window) -> str:
    """Write a window as days and clock times."""
    days = " ".join(_WEEKDAYS[day] for day in sorted(window.weekdays))
    return f"{days} {clock(window.open_minute)}-{clock(window.close_minute)}"
