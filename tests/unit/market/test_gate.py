"""The quote gate, one case a rule."""

from dataclasses import replace

import pytest

from quantlab.market.gate import GateState, Verdict, is_stale, judge, resume
from quantlab.market.instrument import GateLimits
from quantlab.market.quote import FeedClock, Quote

LIMITS = GateLimits(
    max_age_ns=420_000_000_000, max_spread_ticks=50, max_jump_ticks=100, confirmations=2
)
START = resume(Quote("EURUSD", 1000, 1010, 1_000, 1))


def quote(bid: int, ask: int | None = None, ts_ns: int = 2_000) -> Quote:
    return Quote("EURUSD", bid, bid + 10 if ask is None else ask, ts_ns, 0)


def verdicts(state: GateState, *quotes: Quote) -> list[Verdict]:
    found: list[Verdict] = []
    for item in quotes:
        state, verdict = judge(state, item, LIMITS)
        found.append(verdict)
    return found


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (quote(1000), Verdict.ACCEPTED),
        (quote(1100), Verdict.ACCEPTED),
        (quote(1101), Verdict.OFF_MARKET),
        (quote(900), Verdict.ACCEPTED),
        (quote(899), Verdict.OFF_MARKET),
        (quote(1000, 1000), Verdict.ACCEPTED),
        (quote(1000, 999), Verdict.CROSSED),
        (quote(1000, 1050), Verdict.ACCEPTED),
        (quote(1000, 1051), Verdict.SPREAD_TOO_WIDE),
        (quote(1001, ts_ns=1_000), Verdict.ACCEPTED),
        (quote(1000, ts_ns=1_000), Verdict.DUPLICATE),
        (quote(1000, ts_ns=999), Verdict.OUT_OF_ORDER),
        (quote(0), Verdict.ONE_SIDED),
        (quote(1000, 0), Verdict.ONE_SIDED),
        (quote(1000, -1), Verdict.NOT_POSITIVE),
        (quote(-5), Verdict.NOT_POSITIVE),
        (quote(0, -1), Verdict.NOT_POSITIVE),
        (quote(5000, 4999, 1), Verdict.CROSSED),
        (quote(5000, 6000, 1), Verdict.SPREAD_TOO_WIDE),
        (quote(5000, ts_ns=1), Verdict.OUT_OF_ORDER),
    ],
)
def test_one_quote_after_an_accepted_one(item: Quote, expected: Verdict) -> None:
    assert verdicts(START, item) == [expected]


def test_a_negative_size_is_no_quote() -> None:
    assert verdicts(START, replace(quote(1000), bid_size_steps=-1)) == [Verdict.NOT_POSITIVE]
    assert verdicts(START, replace(quote(1000), ask_size_steps=-1)) == [Verdict.NOT_POSITIVE]


def test_a_repetition_is_counted_confirms_nothing_and_suspends_nothing() -> None:
    again = Quote("EURUSD", 1000, 1010, 1_000, 0)
    assert verdicts(START, again, again) == [Verdict.DUPLICATE] * 2
    assert not Verdict.DUPLICATE.suspends
    assert verdicts(START, replace(again, ask_size_steps=5)) == [Verdict.ACCEPTED]
    far = quote(2000)
    expected = [Verdict.OFF_MARKET, *[Verdict.DUPLICATE] * 5]
    assert verdicts(START, *[far] * 6) == expected
    later = [replace(far, ts_ns=2_001), replace(far, ts_ns=2_002)]
    assert verdicts(START, far, far, *later)[-1] is Verdict.ACCEPTED


def test_a_market_that_stays_locked_is_refused_until_it_opens() -> None:
    locked = [quote(1000, 1000, ts_ns) for ts_ns in (2_000, 2_050, 2_099, 2_100, 2_500)]
    gate = replace(LIMITS, max_locked_ns=100)
    state, found = START, []
    for item in (*locked, quote(1000, 1001, 2_501), quote(1000, 1000, 2_502)):
        state, verdict = judge(state, item, gate)
        found.append(verdict)
    assert found == [Verdict.ACCEPTED] * 3 + [Verdict.LOCKED] * 2 + [Verdict.ACCEPTED] * 2
    assert judge(START, locked[0], replace(LIMITS, max_locked_ns=0))[1] is Verdict.LOCKED
    assert resume(locked[0]).locked_since_ns == 2_000
    assert START.locked_since_ns is None


def test_a_refused_quote_leaves_the_reference_alone() -> None:
    for item in (quote(1000, 999), quote(1000, 1051), quote(1000, ts_ns=1), quote(0)):
        assert judge(START, item, LIMITS)[0] == START


def test_a_gap_goes_through_with_the_last_confirming_quote() -> None:
    far = [quote(2000), quote(2005), quote(2010), quote(2011)]
    assert verdicts(START, *far) == [
        Verdict.OFF_MARKET,
        Verdict.OFF_MARKET,
        Verdict.ACCEPTED,
        Verdict.ACCEPTED,
    ]


def test_a_spike_is_forgotten_when_the_market_is_where_it_was() -> None:
    items = [quote(2000), quote(1001), quote(2000), quote(2001), quote(1002)]
    assert verdicts(START, *items) == [
        Verdict.OFF_MARKET,
        Verdict.ACCEPTED,
        Verdict.OFF_MARKET,
        Verdict.OFF_MARKET,
        Verdict.ACCEPTED,
    ]


def test_far_quotes_that_disagree_confirm_nothing() -> None:
    items = [quote(price) for price in (2000, 3000, 2000, 3000, 4000, 5000)]
    assert set(verdicts(START, *items)) == {Verdict.OFF_MARKET}


def test_the_first_quotes_confirm_each_other() -> None:
    items = [quote(2000), quote(1000), quote(1001), quote(1002)]
    assert verdicts(GateState(), *items) == [
        Verdict.UNCONFIRMED,
        Verdict.UNCONFIRMED,
        Verdict.UNCONFIRMED,
        Verdict.ACCEPTED,
    ]


def test_a_quote_is_stale_by_the_feeds_clock_even_when_the_feed_is_dead() -> None:
    clock = FeedClock(feed_ts_ns=5_000_000_000, wall_ts_ns=77_000_000_000, speed_ppm=10_000_000)
    last = Quote("EURUSD", 1000, 1010, 5_000_000_000, 1)
    wall_limit_ns = 77_000_000_000 + LIMITS.max_age_ns // 10
    assert not is_stale(last, clock.at(77_000_000_000), LIMITS)
    assert not is_stale(last, clock.at(wall_limit_ns), LIMITS)
    assert is_stale(last, clock.at(wall_limit_ns + 1), LIMITS)
    assert clock.at(1) == 5_000_000_000


def test_a_suspended_quote_is_stale_at_any_age() -> None:
    assert is_stale(Quote("EURUSD", 1000, 1010, 5, 1, suspended=True), 5, LIMITS)
