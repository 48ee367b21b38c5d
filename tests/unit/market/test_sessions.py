"""Session calendars: the committed data against known hours, and what they keep from trading."""

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import engine_cases, watch_cases

from quantlab.engine.context import Market
from quantlab.engine.rejections import Rejection
from quantlab.engine.watch import Watch
from quantlab.market.catalog import Catalog, parse_catalog
from quantlab.market.document import CatalogError
from quantlab.market.gate import GateState
from quantlab.market.quote import Quote
from quantlab.market.sessions import DAY_NS, Calendar, parse_calendar
from quantlab_app.use_cases.market_feed import FeedState, judge_batch

CONFIGS = Path(__file__).parents[3] / "agent/configs"
CALENDARS = {
    path.stem: parse_calendar(json.loads(path.read_text()))
    for path in sorted(CONFIGS.glob("calendars/*.json"))
}
CATALOG: Catalog = parse_catalog(json.loads((CONFIGS / "instruments.json").read_text()), CALENDARS)


def at(text: str, zone: str = "America/New_York") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * 10**9


def test_every_instrument_has_a_calendar() -> None:
    assert {one.calendar for one in CATALOG.instruments.values()} <= set(CALENDARS)
    assert all(name == calendar.name for name, calendar in CALENDARS.items())
    assert "exchange_calendars" in CALENDARS["cme"].source


CHICAGO = "America/Chicago"
HOURS = {
    "nyse before the bell": ("nyse", "2026-11-25T09:29:59", False),
    "nyse at the bell": ("nyse", "2026-11-25T09:30:00", True),
    "nyse last second": ("nyse", "2026-11-25T15:59:59", True),
    "nyse at the close": ("nyse", "2026-11-25T16:00:00", False),
    "nyse Thanksgiving": ("nyse", "2026-11-26T12:00:00", False),
    "nyse early close": ("nyse", "2026-11-27T12:59:59", True),
    "nyse after an early close": ("nyse", "2026-11-27T13:00:00", False),
    "nyse summer time": ("nyse", "2026-07-01T09:30:00", True),
    "nyse Saturday": ("nyse", "2026-11-28T12:00:00", False),
    "cme before the daily break": ("cme", "2026-11-24T16:59:59", True),
    "cme daily break": ("cme", "2026-11-24T17:00:00", False),
    "cme after the daily break": ("cme", "2026-11-24T18:00:00", True),
    "cme Friday evening": ("cme", "2026-11-20T18:30:00", False),
    "cme Sunday evening": ("cme", "2026-11-22T18:00:00", True),
    "cme Thanksgiving morning": ("cme", "2026-11-26T12:59:59", True),
    "cme Thanksgiving afternoon": ("cme", "2026-11-26T13:00:00", False),
    "fx Friday before the roll": ("fx", "2026-11-20T16:59:59", True),
    "fx Friday at the roll": ("fx", "2026-11-20T17:00:00", False),
    "fx Sunday": ("fx", "2026-11-22T17:00:00", True),
    "fx midweek roll": ("fx", "2026-11-24T17:00:00", True),
    "fx Christmas": ("fx", "2026-12-25T12:00:00", False),
    "fx Christmas Eve": ("fx", "2026-12-24T16:59:59", True),
    "always Sunday": ("always", "2026-11-22T12:00:00", True),
    "before the data": ("nyse", "2011-06-01T12:00:00", False),
    "after the data": ("nyse", "2031-06-02T12:00:00", False),
}


@pytest.mark.parametrize(("name", "moment", "is_open"), HOURS.values(), ids=HOURS.keys())
def test_known_hours(name: str, moment: str, is_open: bool) -> None:
    assert CALENDARS[name].is_open(at(moment)) is is_open


def test_a_day_order_ends_at_the_close_of_its_session() -> None:
    nyse, fx, always = CALENDARS["nyse"], CALENDARS["fx"], CALENDARS["always"]
    assert nyse.next_close(at("2026-11-25T10:00:00")) == at("2026-11-25T16:00:00")
    # Given after the close before Thanksgiving: the next session ends early, two days later.
    assert nyse.next_close(at("2026-11-25T16:00:00")) == at("2026-11-27T13:00:00")
    assert nyse.next_open(at("2026-11-25T16:00:00")) == at("2026-11-27T09:30:00")
    assert fx.next_close(at("2026-11-24T16:59:59")) == at("2026-11-24T17:00:00")
    assert fx.next_close(at("2026-11-24T17:00:00")) == at("2026-11-25T17:00:00")
    midnight = at("2026-11-25T00:00:00", "UTC")
    assert always.next_close(midnight - 1) == midnight
    assert always.next_close(midnight) == midnight + DAY_NS
    assert nyse.next_close(at("2031-06-02T12:00:00")) is None
    assert nyse.next_open(at("2031-06-02T12:00:00")) is None


spans = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 50)), min_size=1, max_size=20)


@given(spans, st.integers(-10, 2500))
def test_a_calendar_says_what_a_list_of_its_sessions_says(
    gaps: list[tuple[int, int]], ts_ns: int
) -> None:
    sessions, now = [], 0
    for gap, length in gaps:
        sessions.append((now + gap, now + gap + length))
        now += gap + length
    opens, closes = zip(*sessions, strict=True)
    calendar = Calendar("made", "up", opens, closes)
    held = [s for s in sessions if s[0] <= ts_ns < s[1]]
    assert calendar.session_of(ts_ns) == (held[0] if held else None)
    assert calendar.next_open(ts_ns) == next((s[0] for s in sessions if s[0] > ts_ns), None)
    assert calendar.next_close(ts_ns) == next((s[1] for s in sessions if s[1] > ts_ns), None)


@pytest.mark.parametrize(
    "sessions", [[], [[5, 5]], [[1, 2], [1, 3]], [[3, 2]], [[1]], [["1", 2]], [[True, 2]], None]
)
def test_what_is_no_calendar_is_named(sessions: Any) -> None:
    document = {"format": 1, "calendar": "made", "source": "up", "sessions": sessions}
    with pytest.raises(CatalogError, match="/sessions"):
        parse_calendar(document)


def test_nothing_is_usable_while_its_market_is_shut() -> None:
    spy, saturday = CATALOG.instruments["SPY"], at("2026-11-28T12:00:00")
    quotes = {s: Quote(s, 53_000, 53_001, saturday, 1) for s in ("SPY", "BTCUSD")}
    shut = Market(CATALOG, quotes, saturday, keeps_hours=True)
    refused = shut.usable(spy)
    assert isinstance(refused, Rejection)
    assert str(refused.reason) == "market_closed"
    assert "until 2026-11-30T14:30:00" in refused.detail
    assert isinstance(shut.usable(CATALOG.instruments["BTCUSD"]), Quote)
    # A made-up market is open whenever it quotes; hours that nobody knows are none.
    assert isinstance(Market(CATALOG, quotes, saturday).usable(spy), Quote)
    unknown = Market(engine_cases.catalog(), quotes, saturday, keeps_hours=True).usable(spy)
    assert isinstance(unknown, Rejection)
    assert "not known" in unknown.detail


def test_a_quote_outside_the_session_is_refused_and_breaches_nothing() -> None:
    friday, shut = at("2026-11-20T16:59:59"), at("2026-11-20T17:00:00")
    calm = [Quote("EURUSD", 110_000, 110_010, friday - n, 0) for n in (3, 2, 1)]
    crash = [Quote("EURUSD", 50_000, 50_010, shut + n, 0) for n in range(9)]
    state = FeedState(1, {"EURUSD": GateState()}, {}, keeps_hours=True)
    judged = judge_batch(state, CATALOG, [*calm, *crash])
    assert [quote.ts_ns for quote in judged.accepted] == [friday - 1]
    assert judged.refusals["EURUSD", "out_of_session"] == 9
    assert "EURUSD" in state.suspended
    terms = watch_cases.daily_loss()
    account = watch_cases.holding(terms, watch_cases.position(10_000))
    for keeps_hours, demands in ((True, 0), (False, 1)):
        watch = Watch(CATALOG)
        watch.keeps_hours = keeps_hours
        watch.put(account, terms, watch_cases.NOW, watch_cases.NOW)
        seen = Quote("EURUSD", 50_000, 50_010, shut, 5)
        found = watch.on_quote(seen, shut, watch_cases.NOW)
        assert len([d for d in found if d.name == "check_rules"]) == demands


def test_the_committed_calendars_are_what_would_be_made_now() -> None:
    command = [sys.executable, "-m", "quantlab_server", "calendars", "check"]
    checked = subprocess.run(
        [*command, "--configs", str(CONFIGS)], capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")
