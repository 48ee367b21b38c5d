"""Trading windows on a zone's wall clock, through DST and midnight."""

from quantlab.rules.calendar import local_time, wall_instant_ns
from quantlab.rules.terms import TradingHours, Window
from quantlab.rules.wording import clock

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def is_open(rule: TradingHours, ts_ns: int) -> bool:
    """Say whether the instant is inside one of the rule's windows."""
    today = local_time(ts_ns, rule.time_zone).toordinal()
    return any(
        _holds(window, ordinal, rule.time_zone, ts_ns)
        for window in rule.windows
        for ordinal in (today - 1, today)
    )


def hours_detail(rule: TradingHours, ts_ns: int) -> str:
    """Write the local time and the windows it was compared with."""
    now = local_time(ts_ns, rule.time_zone)
    relation = "is inside" if is_open(rule, ts_ns) else "is outside"
    windows = ", ".join(_window_words(window) for window in rule.windows)
    weekday = _WEEKDAYS[now.weekday()]
    return f"{weekday} {now:%Y-%m-%d %H:%M:%S} {rule.time_zone} {relation} {windows}"


def _holds(window: Window, ordinal: int, zone: str, ts_ns: int) -> bool:
    # Ordinal 1 is a Monday.
    if (ordinal - 1) % 7 not in window.weekdays:
        return False
    closing = ordinal + (window.close_minute <= window.open_minute)
    opened_ns = wall_instant_ns(ordinal, window.open_minute, zone)
    return opened_ns <= ts_ns < wall_instant_ns(closing, window.close_minute, zone)


def _window_words(window: Window) -> str:
    days = " ".join(_WEEKDAYS[day] for day in sorted(window.weekdays))
    return f"{days} {clock(window.open_minute)}-{clock(window.close_minute)}"
