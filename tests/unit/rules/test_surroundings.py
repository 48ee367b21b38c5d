"""What rules look at outside the account: how far they reach, who opened what, calendars."""

from typing import Any

import pytest
from tests.support.rule_cases import instant, profile, rule

from quantlab.kernel.instants import SECOND_NS
from quantlab.rules.reader import ProfileError
from quantlab.rules.surroundings import (
    NO_REACH,
    LinkedAccount,
    LinkedFill,
    LinkedOrder,
    NewsEvent,
    Reach,
    Surroundings,
    opening_orders,
    parse_news_calendar,
    reach_of,
    write_news_calendar,
)

NOW = instant("2026-03-06T13:30:00")
NEWS = {
    "secondsBefore": 300,
    "secondsAfter": 120,
    "instruments": "all",
    "reducingOrders": "allowed",
    "stopsCount": False,
}
RELEASE = {"at": "2026-03-06T13:30:00Z", "name": "NFP", "impact": "high", "currencies": ["USD"]}
DOCUMENT = {"format": 1, "until": "2026-03-07T00:00:00Z", "events": [RELEASE]}


def at(seconds: float) -> int:
    return NOW + int(seconds * SECOND_NS)


def release(seconds: float) -> NewsEvent:
    return NewsEvent(at(seconds), "A release", "high", frozenset({"USD"}), frozenset())


def linked(name: str, *orders: LinkedOrder, held: int = 0) -> LinkedAccount:
    positions = (("EURUSD", held),) if held else ()
    return LinkedAccount(name, same_owner=True, positions=positions, orders=orders)


def test_a_profile_reaches_as_far_as_its_furthest_rule() -> None:
    assert reach_of(profile(rule("stop_loss_required", "soft"))) is NO_REACH
    wide = profile(
        rule("news_window", "soft", rule_id="near", **NEWS),
        rule("news_window", "soft", rule_id="far", **{**NEWS, "secondsAfter": 600}),
        rule("copy_trading", "soft", withinMs=500, accountsOf="any"),
    )
    assert reach_of(wide) == Reach(600 * SECOND_NS, 300 * SECOND_NS, True, 500_000_000)
    assert reach_of(profile(rule("hedging", "soft", accountsOf="any"))) == Reach(linked=True)


def test_what_lies_beyond_the_reach_is_left_out_and_unknown_stays_unknown() -> None:
    reach = Reach(120 * SECOND_NS, 300 * SECOND_NS, linked=True, orders_ago_ns=SECOND_NS)
    seen = (release(-120), release(300))
    new, old = LinkedOrder("EURUSD", 1, at(-1)), LinkedOrder("EURUSD", 1, at(-1) - 1)
    around = Surroundings(
        (release(-121), *seen, release(301)),
        (linked("idle"), linked("quiet", old), linked("busy", old, new), linked("holds", held=-5)),
    )
    assert reach.within(around, NOW) == Surroundings(
        seen, (linked("busy", new), linked("holds", held=-5))
    )
    assert reach.within(Surroundings(), NOW) == Surroundings()
    assert NO_REACH.within(around, NOW) == Surroundings()
    assert Reach(linked=True).within(Surroundings(linked=(linked("busy", new),)), NOW).linked == ()


@pytest.mark.parametrize(
    ("now", "fills", "opened"),
    [
        (2, [(1, 2)], [True]),
        (1, [(1, 2), (-1, 1)], [True, False]),
        (-1, [(1, 1), (-1, 2)], [True, True]),
        (0, [(1, 1), (-1, 1)], [True, False]),
        (5, [(-1, 1)], [False]),
        (-5, [(-1, 1), (-1, 1)], [True, True]),
    ],
)
def test_which_fills_opened_follows_from_what_is_held_now(
    now: int, fills: list[tuple[int, int]], opened: list[bool]
) -> None:
    made = [LinkedFill("EURUSD", side, size, at(n)) for n, (side, size) in enumerate(fills)]
    found = opening_orders({"EURUSD": now} if now else {}, reversed(made))
    wanted = [one for one, opens in zip(made, opened, strict=True) if opens]
    assert found == tuple(LinkedOrder(one.symbol, one.side, one.at_ns) for one in wanted)


def test_a_fill_against_another_leg_opens_and_one_of_a_leg_closes() -> None:
    fills = [
        LinkedFill("EURUSD", side, size, at(n), ticket)
        for n, (side, size, ticket) in enumerate(((1, 2, "a"), (-1, 2, "b"), (-1, 2, "a")))
    ]
    found = opening_orders({"b": -2}, reversed(fills))
    assert [(one.side, one.at_ns) for one in found] == [(1, at(0)), (-1, at(1))]


def test_a_calendar_is_known_as_far_as_it_goes() -> None:
    calendar = parse_news_calendar(DOCUMENT)
    reach, end = Reach(0, 300 * SECOND_NS), instant("2026-03-07T00:00:00")
    assert calendar.events == (NewsEvent(NOW, "NFP", "high", frozenset({"USD"}), frozenset()),)
    assert calendar.known(reach, end - 300 * SECOND_NS) == calendar.events
    assert calendar.known(reach, end - 300 * SECOND_NS + 1) is None
    assert parse_news_calendar(write_news_calendar(calendar)) == calendar
    assert parse_news_calendar({**DOCUMENT, "events": []}).events == ()


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"until": "2026-03-07"}, "/until"),
        ({"until": None}, "/until"),
        ({"format": 2}, "/format"),
        ({"events": [RELEASE, {**RELEASE, "at": "noon"}]}, "/events/1/at"),
        ({"events": [{**RELEASE, "impact": "huge"}]}, "/events/0/impact"),
        ({"events": [{**RELEASE, "currencies": []}]}, "/events/0/currencies"),
        ({"more": 1}, "/more"),
    ],
)
def test_a_wrong_calendar_is_refused_with_the_place(wrong: dict[str, Any], pointer: str) -> None:
    with pytest.raises(ProfileError) as refused:
        parse_news_calendar({**DOCUMENT, **wrong})
    assert pointer in [problem.pointer for problem in refused.value.problems]


def test_a_calendar_without_its_end_is_refused() -> None:
    without = {name: value for name, value in DOCUMENT.items() if name != "until"}
    with pytest.raises(ProfileError, match="/until"):
        parse_news_calendar(without)
