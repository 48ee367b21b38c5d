"""What the clock alone calls for: the watch looks again when a rule on time may begin to ask."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.support import rule_cases
from tests.support.watch_cases import (
    CATALOG,
    ENTRY,
    LOT,
    NOW,
    SECOND,
    command,
    context,
    daily_loss,
    holding,
    position,
    quote,
)

from quantlab.engine.agenda import RELOOK_NS
from quantlab.engine.execute import execute
from quantlab.engine.native.chosen import INTERPRETED
from quantlab.engine.native.watch import ArrayWatch
from quantlab.engine.watch import Watch
from quantlab.engine.watched import RETRY_NS, Demand
from quantlab.ledger.state import Account, Tally
from quantlab.rules.terms import Profile

MINUTE = 60 * SECOND
DAY = 24 * 60 * MINUTE
EVERY_DAY = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WINDOW = {"days": EVERY_DAY, "at": "12:10", "until": "12:40"}
SESSIONS = [{"days": ["mon", "tue"], "open": "08:00", "close": "13:00"}]
ZONE = "Europe/Prague"
FLAT = rule_cases.profile(rule_cases.rule("flat_by", "soft", timeZone=ZONE, windows=[WINDOW]))
WEEKEND = rule_cases.profile(
    rule_cases.rule(
        "weekend_holding", "soft", timeZone=ZONE, sessions=SESSIONS, longerThanHours=48,
        minutesBefore=15,
    )
)  # fmt: skip
IDLE = rule_cases.profile(rule_cases.rule("inactivity", days=30))

MakeWatch = Callable[[], Watch]
WATCHES = pytest.mark.parametrize(
    "make",
    [lambda: Watch(CATALOG), lambda: ArrayWatch(CATALOG, INTERPRETED)],
    ids=["plain", "arrays"],
)


def put(make: MakeWatch, profile: Profile, now_ns: int = NOW, **fields: Any) -> Watch:
    watch = make()
    assert watch.put(holding(profile, position(LOT), **fields), profile, now_ns, now_ns) == []
    return watch


def asked(demands: list[Demand]) -> list[tuple[str, Any]]:
    return [(demand.name, demand.payload["rules"]) for demand in demands]


@WATCHES
@pytest.mark.parametrize(
    ("profile", "fields", "starts_ns"),
    [
        (FLAT, {}, NOW + 10 * MINUTE),
        (WEEKEND, {}, NOW + 45 * MINUTE),
        (IDLE, {"tally": Tally(last_order_ns=NOW - 29 * DAY)}, NOW + DAY + 1),
        (IDLE, {"tally": Tally(opened_ns=NOW - 30 * DAY + MINUTE)}, NOW + MINUTE + 1),
    ],
    ids=["flat_by", "weekend_holding", "inactivity", "inactivity since the opening"],
)
def test_a_rule_on_time_is_asked_about_at_its_instant_without_any_quote(
    make: MakeWatch, profile: Profile, fields: dict[str, Any], starts_ns: int
) -> None:
    watch = put(make, profile, **fields)
    (rule,) = profile.rules
    assert watch.overstayed(NOW) == []
    assert watch.overstayed(starts_ns - 1) == []
    (demand,) = watch.overstayed(starts_ns)
    assert asked([demand]) == [("check_rules", [rule.rule_id])]

    assert watch.overstayed(starts_ns + RELOOK_NS - 1) == []
    (again,) = watch.overstayed(starts_ns + RELOOK_NS)
    assert again.identity != demand.identity


@WATCHES
def test_a_quote_of_any_symbol_brings_it_before_the_pulse_does(make: MakeWatch) -> None:
    watch = put(make, FLAT)
    elsewhere = replace(quote(130_000, symbol="GBPUSD"), ts_ns=NOW)
    assert watch.on_quote(elsewhere, NOW, NOW) == []
    then_ns = NOW + 10 * MINUTE
    later = replace(elsewhere, seq=2, ts_ns=then_ns)
    assert asked(watch.on_quote(later, then_ns, then_ns)) == [("check_rules", ["flat_by"])]


@WATCHES
def test_while_it_lasts_every_quote_of_the_position_asks_again(make: MakeWatch) -> None:
    watch = put(make, FLAT)
    then_ns = NOW + 10 * MINUTE
    assert len(watch.overstayed(then_ns)) == 1
    for seq, wait_ns, count in ((1, RETRY_NS - 1, 0), (2, RETRY_NS, 1)):
        at_ns = then_ns + wait_ns
        seen = replace(quote(ENTRY, seq=seq), ts_ns=at_ns)
        assert len(watch.on_quote(seen, at_ns, at_ns)) == count


@WATCHES
def test_it_holds_for_an_account_that_comes_in_the_middle_of_it(make: MakeWatch) -> None:
    inside_ns = NOW + 20 * MINUTE
    watch = put(make, FLAT, inside_ns)
    assert asked(watch.overstayed(inside_ns)) == [("check_rules", ["flat_by"])]


@WATCHES
def test_whoever_has_gone_is_not_asked(make: MakeWatch) -> None:
    watch = put(make, FLAT)
    assert watch.overstayed(NOW) == []
    gone = replace(holding(FLAT, seq=8), positions={})
    assert watch.put(gone, FLAT, NOW, NOW) == []
    assert watch.overstayed(NOW + 10 * MINUTE) == []


@WATCHES
def test_no_rule_on_time_no_look(make: MakeWatch) -> None:
    watch = put(make, daily_loss())
    assert watch.overstayed(NOW + 60 * DAY) == []


def judged(account: Account, demand: Demand, profile: Profile, bid: int | None) -> Account:
    at_ns = NOW + 10 * MINUTE
    quotes = [] if bid is None else [replace(quote(bid, seq=9), ts_ns=at_ns)]
    written = command(demand.name, demand.payload)
    return execute(account, written, context(profile, quotes, now_ns=at_ns)).account


def test_the_writer_closes_what_it_can_and_reports_what_it_cannot() -> None:
    watch = put(lambda: Watch(CATALOG), FLAT)
    (demand,) = watch.overstayed(NOW + 10 * MINUTE)
    account = holding(FLAT, position(LOT))
    assert judged(account, demand, FLAT, ENTRY).positions == {}
    waiting = judged(account, demand, FLAT, None)
    assert (set(waiting.positions), waiting.raised) == ({"EURUSD"}, ("flat_by",))
