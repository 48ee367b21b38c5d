"""What each quote calls for, at the boundary and one tick off it."""

from dataclasses import replace

import pytest
from tests.support import rule_cases
from tests.support.watch_cases import (
    CATALOG,
    ENTRY,
    FREE,
    LOT,
    NOW,
    SECOND,
    daily_loss,
    feed,
    holding,
    names,
    position,
    quote,
    watching,
)

from quantlab.engine.watch_protection import touched
from quantlab.engine.watched import RETRY_NS
from quantlab.market.quote import Quote
from quantlab.rules import terms


@pytest.mark.parametrize(
    ("size", "bid", "ask", "expected"),
    [
        (LOT, 901, 1100, None),
        (LOT, 900, 1100, "stop_loss"),
        (LOT, 899, 1100, "stop_loss"),
        (LOT, 1099, 1199, None),
        (LOT, 1100, 1200, "take_profit"),
        (LOT, 1101, 1201, "take_profit"),
    ],
)
def test_a_long_leaves_at_the_bid(size: int, bid: int, ask: int, expected: str | None) -> None:
    held = position(size, stop=900, target=1100)
    assert touched(held, Quote("EURUSD", bid, ask, NOW, 1)) == expected


@pytest.mark.parametrize(
    ("ask", "expected"),
    [
        (1099, None),
        (1100, "stop_loss"),
        (1101, "stop_loss"),
        (901, None),
        (900, "take_profit"),
        (899, "take_profit"),
    ],
)
def test_a_short_leaves_at_the_ask(ask: int, expected: str | None) -> None:
    held = position(-LOT, stop=1100, target=900)
    assert touched(held, Quote("EURUSD", ask - 300, ask, NOW, 1)) == expected


@pytest.mark.parametrize("size", [LOT, -LOT])
def test_nothing_is_touched_without_protective_prices(size: int) -> None:
    assert touched(position(size), Quote("EURUSD", 1, 2, NOW, 1)) is None


def test_a_touched_stop_becomes_one_command_with_what_was_seen() -> None:
    watch = watching(holding(FREE, position(stop=ENTRY - 50)), FREE)
    assert feed(watch, quote(ENTRY - 49)) == []
    (demand,) = feed(watch, quote(ENTRY - 50, seq=2))
    assert (demand.name, demand.account_id, demand.tick_ts_ns) == ("protect", "account-1", NOW + 2)
    assert demand.payload["kind"] == "stop_loss"
    assert demand.payload["priceTicks"] == ENTRY - 50
    assert demand.payload["openedSeq"] == 3
    assert demand.payload["feedSeq"] == 2
    assert feed(watch, quote(ENTRY - 60, seq=3), NOW + RETRY_NS - 1) == []


def test_a_touched_stop_stays_touched_when_the_price_comes_back() -> None:
    account = holding(FREE, position(stop=ENTRY - 50))
    watch = watching(account, FREE)
    first = feed(watch, quote(ENTRY - 50, seq=2))
    again = feed(watch, quote(ENTRY + 10, seq=3), NOW + RETRY_NS)
    assert names(first + again) == ["protect", "protect"]
    assert first[0].identity != again[0].identity
    moved = replace(account, event_seq=8, positions={"EURUSD": position(stop=ENTRY - 90)})
    assert watch.put(moved, FREE, NOW, NOW) == []
    assert feed(watch, quote(ENTRY - 89, seq=4)) == []


def test_a_take_profit_that_was_missed_triggers_again_once_its_command_is_settled() -> None:
    account = holding(FREE, position(target=ENTRY + 50))
    watch = watching(account, FREE)
    assert names(feed(watch, quote(ENTRY + 50, seq=2))) == ["protect"]
    assert feed(watch, quote(ENTRY + 40, seq=3)) == []
    assert feed(watch, quote(ENTRY + 51, seq=4)) == []
    assert watch.put(account, FREE, NOW, NOW) == []
    (again,) = feed(watch, quote(ENTRY + 50, seq=5))
    assert again.payload["kind"] == "take_profit"
    assert again.identity[-1] == 5


@pytest.mark.parametrize(
    ("comparator", "ticks_lost", "broken"),
    [("lt", 5000, False), ("lt", 5001, True), ("le", 4999, False), ("le", 5000, True)],
)
@pytest.mark.parametrize("side", [1, -1])
def test_a_floor_at_its_boundary(
    comparator: str, ticks_lost: int, *, broken: bool, side: int
) -> None:
    profile = daily_loss(comparator)
    watch = watching(holding(profile, position(side * LOT)), profile)
    bid = ENTRY - ticks_lost if side > 0 else ENTRY + ticks_lost - 10
    demands = feed(watch, quote(bid))
    assert names(demands) == (["check_rules"] if broken else [])
    if broken:
        assert demands[0].payload["equityMinor"] == str(10_000_000 - ticks_lost * 100)
        assert demands[0].payload["rules"] == ["daily_loss"]


def test_a_floor_falls_by_a_conversion_pair_alone() -> None:
    """100 lots short of a point: a loss in dollars costs more euros as the euro falls."""
    profile = daily_loss()
    account = holding(profile, position(LOT, symbol="GBPUSD", entry=130_000), currency="EUR")
    watch = watching(account, profile)
    assert feed(watch, quote(124_500, symbol="GBPUSD", seq=1)) == []
    assert feed(watch, quote(110_000, seq=2)) == [], "5,500 dollars are 5,000 euros"
    (demand,) = feed(watch, quote(109_999, seq=3))
    assert demand.name == "check_rules"
    assert [one["symbol"] for one in demand.payload["quotes"]] == ["EURUSD", "GBPUSD"]  # type: ignore[index, union-attr]


@pytest.mark.parametrize("fault", ["missing", "stale", "suspended"])
def test_without_a_good_quote_of_every_position_no_floor_is_judged(fault: str) -> None:
    profile = daily_loss()
    account = holding(profile, position(), position(symbol="GBPUSD", entry=130_000))
    age_s = CATALOG.instruments["GBPUSD"].gate.max_age_ns // SECOND + 1
    other = quote(130_000, symbol="GBPUSD", seq=1, age_s=age_s if fault == "stale" else 0)
    watch = watching(account, profile, [] if fault == "missing" else [other])
    if fault == "suspended":
        assert feed(watch, replace(other, suspended=True)) == []
    assert feed(watch, quote(ENTRY - 6000, seq=2)) == []
    assert names(feed(watch, quote(130_000, symbol="GBPUSD", seq=3))) == ["check_rules"]


def test_stops_are_judged_although_the_equity_is_unknown() -> None:
    account = holding(FREE, position(stop=ENTRY - 50), position(symbol="GBPUSD", entry=130_000))
    watch = watching(account, FREE)
    assert names(feed(watch, quote(ENTRY - 50))) == ["protect"]


def test_a_broken_floor_is_asked_about_once_per_state_and_again_after_a_while() -> None:
    profile = daily_loss()
    account = holding(profile, position())
    watch = watching(account, profile)
    assert names(feed(watch, quote(ENTRY - 6000, seq=1))) == ["check_rules"]
    assert feed(watch, quote(ENTRY - 6001, seq=2), NOW + RETRY_NS - 1) == []
    assert watch.put(account, profile, NOW, NOW) == [], "the same state is no news"
    assert feed(watch, quote(ENTRY - 6001, seq=3), NOW + RETRY_NS - 1) == []
    assert names(feed(watch, quote(ENTRY - 6001, seq=4), NOW + RETRY_NS)) == ["check_rules"]
    moved = replace(account, event_seq=8)
    assert names(watch.put(moved, profile, NOW, NOW + RETRY_NS)) == ["check_rules"]


def test_a_graver_rule_is_asked_about_at_once() -> None:
    def loss(share: str, severity: str, rule_id: str) -> dict[str, object]:
        amount = rule_cases.percent(share)
        return rule_cases.rule(
            *("daily_loss", severity),
            rule_id=rule_id,
            anchor="balance",
            loss=amount,
            comparator="le",
        )

    profile = rule_cases.profile(loss("4", "warn", "warning"), loss("5", "hard", "limit"))
    watch = watching(holding(profile, position()), profile)
    (warned,) = feed(watch, quote(ENTRY - 4000, seq=1))
    (broken,) = feed(watch, quote(ENTRY - 5000, seq=2))
    assert (warned.payload["rules"], broken.payload["rules"]) == (
        ["warning"],
        ["warning", "limit"],
    )


def test_a_rule_reported_this_day_is_not_asked_about_again() -> None:
    account = holding(FREE, position(), raised=("daily_loss",))
    assert feed(watching(account, FREE), quote(ENTRY - 6000)) == []


@pytest.mark.parametrize(
    ("status", "reason", "cause"),
    [
        ("disabled", "daily_loss", "rule:daily_loss"),
        ("locked", "daily_loss", "rule:daily_loss"),
        ("disabled", "asked for by the risk desk", "operator"),
    ],
)
def test_an_ended_account_is_closed_out_at_the_first_good_quote(
    status: str, reason: str, cause: str
) -> None:
    profile = daily_loss(severity=terms.SOFT, action=terms.LOCK_UNTIL_RESET)
    account = holding(profile, position(stop=ENTRY), status=status, status_reason=reason)
    watch = watching(account, profile)
    (demand,) = feed(watch, quote(ENTRY - 100))
    assert (demand.name, demand.payload["cause"]) == ("liquidate", cause)
    assert feed(watch, quote(ENTRY - 101, seq=2)) == []


def test_after_the_reset_the_day_is_rolled_before_floors_are_judged() -> None:
    profile = daily_loss()
    account = holding(profile, position(stop=ENTRY - 6000))
    watch = watching(account, profile)
    reset_ns = account.day.next_reset_ns
    demands = watch.on_quote(replace(quote(ENTRY - 6000), ts_ns=reset_ns), reset_ns, reset_ns)
    assert names(demands) == ["protect", "roll_day"]
    assert demands[1].identity == ("roll_day", reset_ns)
