"""Sessions of markets as data files, made on a developer's machine and committed.

exchange_calendars knows exchanges; it brings pandas, so that only this module loads it, and only
when calendars are made. The market of currencies is defined here: from 17:00 New York to 17:00 New
York, Sunday evening to Friday, no session that ends on Christmas or New Year's Day.
"""

import datetime as dt
import importlib.metadata
import json
from collections.abc import Callable, Iterable
from typing import Any, Final
from zoneinfo import ZoneInfo

from quantlab_server.refusal import Refusal

FIRST_YEAR: Final = 2012
LAST_YEAR: Final = 2030
PER_LINE: Final = 8
NEW_YORK: Final = ZoneInfo("America/New_York")
CHICAGO: Final = ZoneInfo("America/Chicago")
# Globex stops for an hour at 16:00 Chicago; CMES of exchange_calendars goes on to 17:00.
GLOBEX_BREAK: Final = dt.time(16)
FX_ROLL: Final = dt.time(17)
FX_HOLIDAYS: Final = ((1, 1), (12, 25))

Seconds = tuple[int, int]


def build(first_year: int = FIRST_YEAR, last_year: int = LAST_YEAR) -> dict[str, str]:
    """Return the text of each calendar's file by the calendar's name."""
    days = dt.date(first_year, 1, 1), dt.date(last_year, 12, 31)
    makers: dict[str, Callable[[dt.date, dt.date], Iterable[Seconds]]] = {
        "fx": _fx,
        "cme": _cme,
        "nyse": _nyse,
    }
    texts = {name: _text(name, _source(name), make(*days)) for name, make in makers.items()}
    return texts | {"always": _text("always", "open at all times", None)}


def _source(name: str) -> str:
    own = "sessions from 17:00 to 17:00 America/New_York, Monday to Friday"
    exchange = {"cme": "CMES", "nyse": "XNYS"}.get(name)
    if exchange is None:
        return own
    try:
        version = importlib.metadata.version("exchange_calendars")
    except importlib.metadata.PackageNotFoundError as error:
        raise Refusal("expected exchange_calendars to be installed: make setup") from error
    return f"exchange_calendars {version} {exchange}"


def _text(name: str, source: str, sessions: Iterable[Seconds] | None) -> str:
    head: dict[str, Any] = {"format": 1, "calendar": name, "source": source}
    if sessions is None:
        return json.dumps({**head, "always": True}, indent=2) + "\n"
    head["timeZoneData"] = importlib.metadata.version("tzdata")
    pairs = [f"[{opened},{closed}]" for opened, closed in sessions]
    lines = [",".join(pairs[at : at + PER_LINE]) for at in range(0, len(pairs), PER_LINE)]
    body = ",\n    ".join(lines)
    start = json.dumps(head, indent=2).removesuffix("\n}")
    return f'{start},\n  "sessions": [\n    {body}\n  ]\n}}\n'


def _fx(first: dt.date, last: dt.date) -> Iterable[Seconds]:
    for offset in range((last - first).days + 1):
        day = first + dt.timedelta(days=offset)
        if day.weekday() < 5 and (day.month, day.day) not in FX_HOLIDAYS:
            yield (
                _second(dt.datetime.combine(day - dt.timedelta(days=1), FX_ROLL, NEW_YORK)),
                _second(dt.datetime.combine(day, FX_ROLL, NEW_YORK)),
            )


def _cme(first: dt.date, last: dt.date) -> Iterable[Seconds]:
    for day, opened, closed in _exchange("CMES", first, last):
        stop = _second(dt.datetime.combine(day, GLOBEX_BREAK, CHICAGO))
        yield opened, min(closed, stop)


def _nyse(first: dt.date, last: dt.date) -> Iterable[Seconds]:
    for _, opened, closed in _exchange("XNYS", first, last):
        yield opened, closed


def _exchange(name: str, first: dt.date, last: dt.date) -> Iterable[tuple[dt.date, int, int]]:
    import exchange_calendars  # noqa: PLC0415 - pandas, which only this needs

    calendar = exchange_calendars.get_calendar(name, start=str(first), end=str(last))
    for row in calendar.schedule.itertuples():
        yield row.Index.date(), _second(row.open), _second(row.close)


def _second(moment: dt.datetime) -> int:
    return int(moment.timestamp())
