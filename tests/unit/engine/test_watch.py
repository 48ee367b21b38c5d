"""What each quote calls for, at the boundary and one tick off it."""

from collections import deque
from dataclasses import replace

import pytest
from tests.support import rule_cases
from tests.support.watch_cases import (
    CATALOG,
    ENTRY,
    LOT,
    NOW,
    SECOND,
    command,
    daily_loss,
    holding,
    position,
    quote,
    trailing,
    watching,
)

from quantlab.engine.context import Context, Market
from quantlab.engine.execute import execute
from quantlab.engine.watch import Watch
from quantlab.engine.watch_protection import touched
from quantlab.engine.watched import RETRY_NS, Demand
from quantlab.ledger.state import Position
from quantlab.market.quote import Quote
from quantlab.rules import terms

FREE = daily_loss(severity=terms.WARN)


def feed(watch: Watch, found: Quote, now_ns: int = NOW) -> list[Demand]:
    return watch.on_quote(found, found.ts_ns, now_ns)


def names(demands: list[Demand]) -> list[str]:
    return [demand.name for demand in demands]


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


def test_a_peak_is_handed_on_once_a_second_and_at_the_end() -> None:
    profile = trailing()
    watch = watching(holding(profile, position()), profile)
    (first,) = feed(watch, quote(ENTRY + 100, seq=1), NOW + SECOND)
    assert (first.name, first.payload["peakMinor"]) == ("observe_equity", "10010000")
    assert feed(watch, quote(ENTRY + 200, seq=2), NOW + 2 * SECOND - 1) == []
    assert feed(watch, quote(ENTRY + 150, seq=3), NOW + 2 * SECOND - 1) == []
    assert watch.unstored_peaks(NOW + 2 * SECOND - 1) == []
    (second,) = watch.unstored_peaks(NOW + 2 * SECOND - 1, leaving=True)
    assert second.payload["peakMinor"] == "10020000"
    assert second.payload["feedSeq"] == 2
    assert watch.unstored_peaks(NOW + 2 * SECOND, leaving=True) == []


def test_a_trailing_floor_follows_a_peak_nobody_else_has_seen_yet() -> None:
    profile = trailing()
    watch = watching(holding(profile, position()), profile)
    feed(watch, quote(ENTRY + 1000, seq=1), NOW + SECOND)
    feed(watch, quote(ENTRY + 2000, seq=2), NOW + SECOND)
    assert feed(watch, quote(ENTRY - 2000, seq=3), NOW + SECOND) == [], "4 % below, not under it"
    (demand,) = feed(watch, quote(ENTRY - 2001, seq=4), NOW + SECOND)
    assert (demand.name, demand.payload["peakMinor"]) == ("check_rules", "10200000")


def test_a_peak_survives_a_change_of_the_account_and_its_last_close() -> None:
    profile = trailing()
    account = holding(profile, position())
    watch = watching(account, profile)
    feed(watch, quote(ENTRY + 1000, seq=1), NOW + SECOND)
    feed(watch, quote(ENTRY + 2000, seq=2), NOW + SECOND)
    feed(watch, quote(ENTRY + 1500, seq=3), NOW + SECOND)
    stored = replace(account, event_seq=8, high_water_minor=10_100_000)
    assert watch.put(stored, profile, NOW, NOW + SECOND) == []
    closed = replace(stored, event_seq=9, positions={})
    (demand,) = watch.put(closed, profile, NOW, NOW + SECOND)
    assert (demand.name, demand.payload["peakMinor"]) == ("observe_equity", "10200000")
    assert watch.account_ids == frozenset()


def test_an_older_state_never_replaces_a_newer_one() -> None:
    account = holding(FREE, position(stop=ENTRY - 50))
    watch = watching(account, FREE)
    closed = replace(account, event_seq=9, positions={})
    watch.put(closed, FREE, NOW, NOW)
    watch.put(account, FREE, NOW, NOW)
    assert watch.account_ids == frozenset()
    assert feed(watch, quote(ENTRY - 60)) == []


def test_a_reload_drops_what_holds_nothing_any_more() -> None:
    kept = holding(FREE, position(stop=ENTRY - 50))
    gone = replace(kept, account_id="account-2")
    watch = watching(kept, FREE)
    watch.put(gone, FREE, NOW, NOW)
    begun = watch.begin_reload()
    watch.put(kept, FREE, NOW, NOW)
    watch.end_reload(begun)
    assert watch.account_ids == {"account-1"}
    assert [one.account_id for one in feed(watch, quote(ENTRY - 50))] == ["account-1"]


def test_a_reload_reads_only_what_is_not_known_to_stand_still() -> None:
    kept = replace(holding(FREE, position(stop=ENTRY - 50)), event_seq=7)
    gone = replace(kept, account_id="account-2")
    watch = watching(kept, FREE)
    watch.put(gone, FREE, NOW, NOW)
    assert names(feed(watch, quote(ENTRY - 50, seq=2))) == ["protect", "protect"]
    begun = watch.begin_reload()
    assert not watch.confirm("a stranger", 7)
    assert not watch.confirm("account-1", 8)
    assert watch.confirm("account-1", 6)
    assert feed(watch, quote(ENTRY - 50, seq=3)) == []
    assert watch.confirm("account-1", 7)
    watch.end_reload(begun)
    assert watch.account_ids == {"account-1"}
    assert names(feed(watch, quote(ENTRY - 50, seq=4))) == ["protect"]


def test_quotes_of_other_symbols_and_repeated_quotes_concern_nobody() -> None:
    watch = watching(holding(FREE, position(stop=ENTRY - 50)), FREE)
    assert feed(watch, quote(1000, symbol="USDJPY")) == []
    assert names(feed(watch, quote(ENTRY - 50, seq=2))) == ["protect"]
    assert feed(watch, quote(ENTRY - 50, seq=2), NOW + RETRY_NS) == []


def test_after_a_time_without_quotes_the_latest_are_judged_at_once() -> None:
    profile = daily_loss()
    account = holding(profile, position(stop=ENTRY - 50))
    watch = Watch(CATALOG)
    watch.set_quotes([quote(ENTRY - 6000)])
    assert names(watch.put(account, profile, NOW, NOW)) == ["protect", "check_rules"]
    assert watch.judge_all(NOW, NOW) == []
    assert names(watch.judge_all(NOW, NOW + RETRY_NS)) == ["protect", "check_rules"]


def test_a_silent_feed_suspends_every_quote_until_it_speaks_again() -> None:
    profile = daily_loss()
    account = holding(profile, position(stop=ENTRY - 50))
    watch = Watch(CATALOG)
    watch.set_quotes([quote(ENTRY - 6000)])
    watch.silence()
    assert watch.put(account, profile, NOW, NOW) == []
    watch.set_quotes([quote(ENTRY - 6000)])
    assert names(watch.judge_all(NOW, NOW)) == ["protect", "check_rules"]


def test_a_quote_overtaken_by_a_look_at_the_latest_is_judged_all_the_same() -> None:
    watch = watching(holding(FREE, position(stop=ENTRY - 50)), FREE)
    watch.set_quotes([quote(ENTRY + 20, seq=3)])
    assert watch.judge_all(NOW, NOW) == []
    assert feed(watch, quote(ENTRY + 10, seq=1)) == []
    assert names(feed(watch, quote(ENTRY - 50, seq=2))) == ["protect"]


@pytest.mark.parametrize("kind", ["stop_loss", "take_profit", "liquidate"])
def test_the_rest_of_a_partly_filled_exit_is_asked_for_on_the_next_quote_and_on_none_twice(
    kind: str,
) -> None:
    prices = {"stop_loss": {"stop": ENTRY - 50}, "take_profit": {"target": ENTRY - 80}}
    ended = {"status": "disabled", "status_reason": "operator"} if kind == "liquidate" else {}
    state = holding(FREE, position(10, **prices.get(kind, {})), **ended)
    watch, filled, asked = watching(state, FREE), [], []
    for seq in range(2, 8):
        now_ns = NOW + seq
        seen = replace(quote(ENTRY - 60, seq=seq), bid_size_steps=4, ask_size_steps=4)
        demands = deque(feed(watch, seen, now_ns))
        while demands:
            demand = demands.popleft()
            assert demand.identity not in asked
            asked.append(demand.identity)
            market = Market(CATALOG, {"EURUSD": seen}, seen.ts_ns)
            context = Context(market, FREE, frozenset({"EURUSD"}), now_ns)
            outcome = execute(state, command(demand.name, demand.payload), context)
            assert outcome.rejection is None
            filled += [(fill.quote_seq, fill.size_steps) for fill in outcome.fills]
            state = outcome.account
            demands += watch.put(state, FREE, seen.ts_ns, now_ns)
    assert filled == [(2, 4), (3, 4), (4, 2)]
    assert state.positions == {}
    assert len(asked) == len(filled)


def test_an_exit_that_a_quote_without_size_refuses_is_asked_for_on_the_next() -> None:
    state = holding(FREE, Position("ES", 1, 21_200, 21_150, None, NOW, 3))
    watch = watching(state, FREE)
    bare = Quote("ES", 21_140, 21_141, NOW + 2, 2)
    (first,) = feed(watch, bare, NOW + 2)
    context = Context(Market(CATALOG, {"ES": bare}, NOW + 2), FREE, frozenset({"ES"}), NOW + 2)
    outcome = execute(state, command(first.name, first.payload), context)
    assert outcome.rejection is not None
    assert str(outcome.rejection.reason) == "no_displayed_size"
    assert outcome.account == state
    assert watch.put(outcome.account, FREE, NOW + 2, NOW + 2) == []
    (again,) = feed(watch, replace(bare, seq=3, ts_ns=NOW + 3), NOW + 3)
    assert again.identity != first.identity


def test_a_stop_triggered_by_a_quote_without_size_is_asked_for_on_the_next() -> None:
    at = Quote("ES", 21_200, 21_201, NOW, 1, bid_size_steps=5, ask_size_steps=5)
    context = Context(Market(CATALOG, {"ES": at}, NOW), FREE, frozenset({"ES"}), NOW)
    asked = {"symbol": "ES", "action": "buy", "quantity": "1", "orderType": "stop"}
    placed = execute(
        holding(FREE), command("trade", {**asked, "triggerPrice": "5302.00"}, "user"), context
    )
    watch = watching(placed.account, FREE)
    state, filled = placed.account, []
    for seq, size in ((2, 0), (3, 5)):
        seen = Quote("ES", 21_220, 21_221, NOW + seq, seq, bid_size_steps=size, ask_size_steps=size)
        demands = deque(feed(watch, seen, NOW + seq))
        assert names(list(demands)) == ["work_order"]
        while demands:
            demand = demands.popleft()
            outcome = execute(state, command(demand.name, demand.payload), context)
            filled += [fill.quote_seq for fill in outcome.fills]
            state = outcome.account
            demands += watch.put(state, FREE, seen.ts_ns, NOW + seq)
    assert filled == [3]
    assert not state.working


def test_a_peak_is_handed_on_before_the_day_it_was_seen_in_ends() -> None:
    profile = trailing()
    account = holding(profile, position())
    watch = watching(account, profile)
    feed(watch, quote(ENTRY + 1000, seq=1), NOW + SECOND)
    feed(watch, quote(ENTRY + 2000, seq=2), NOW + SECOND)
    reset_ns = account.day.next_reset_ns
    later = replace(quote(ENTRY, seq=3), ts_ns=reset_ns)
    first, second = watch.on_quote(later, reset_ns, reset_ns)
    assert (first.name, first.payload["peakMinor"]) == ("observe_equity", "10200000")
    assert second.name == "roll_day"


def test_a_peak_that_a_correction_has_taken_back_stays_away() -> None:
    profile = trailing()
    account = replace(holding(profile, position()), high_water_minor=10_500_000)
    watch = watching(account, profile)
    corrected = replace(account, event_seq=account.event_seq + 1, high_water_minor=10_000_000)
    watch.put(corrected, profile, NOW, NOW)
    (demand,) = feed(watch, quote(ENTRY + 100, seq=1), NOW + SECOND)
    assert (demand.name, demand.payload["peakMinor"]) == ("observe_equity", "10010000")
