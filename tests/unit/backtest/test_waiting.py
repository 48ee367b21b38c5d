"""What a quote has no size or no rate for waits for the next one, live and in a backtest alike."""

from dataclasses import replace
from itertools import islice

import pytest
from tests.properties.test_backtest import model
from tests.support import backtest_cases as cases
from tests.support import live_cases
from tests.support.engine_cases import NOW, profile
from tests.support.histories import Asked, History
from tests.support.rule_cases import percent
from tests.support.rule_cases import rule as made_rule

from quantlab.kernel.instants import SECOND_NS
from quantlab.ledger.trading_terms import STANDARD, TradingTerms, read_trading_terms
from quantlab.market.quote import Quote

WIDE = made_rule("daily_loss", anchor="balance", loss=percent("90"), comparator="lt")
FLAT = made_rule(
    "flat_by", "soft", action="flatten", timeZone="UTC",
    windows=[{"days": ["wed"], "at": "13:00", "until": "14:00"}],
)  # fmt: skip
MARGIN = read_trading_terms({"margin": {"leverage": {"*": "10"}, "stopOutPercent": "100"}})
HOUR_NS = 3600 * SECOND_NS


def tick(seq: int, after_ns: int, bid: int, shown: int) -> Quote:
    return Quote(
        "EURUSD", bid, bid + 2, NOW + after_ns, seq, bid_size_steps=shown, ask_size_steps=900
    )


@pytest.mark.parametrize(
    ("rules", "trading", "fall"),
    [((WIDE, FLAT), STANDARD, 0), ((WIDE,), MARGIN, 8_000)],
)
def test_what_must_be_closed_takes_each_quote_once(
    rules: tuple[dict[str, object], ...], trading: TradingTerms, fall: int
) -> None:
    """A quote of 300 steps closes 300, and only the next one more: nobody asks in between."""
    later = HOUR_NS + 60 * SECOND_NS
    ticks = [
        tick(1, 0, 108_000, 900),
        tick(2, later, 108_000 - fall, 300),
        tick(3, later + SECOND_NS, 108_000 - fall, 300),
        tick(4, later + 2 * SECOND_NS, 108_000 - fall, 300),
    ]
    history = History(
        profile(*rules), ticks, [Asked(0, "place", "EURUSD", 1, 850)], ("EURUSD",),
        {"*": model()}, trading,
    )  # fmt: skip
    run, fills = live_cases.live(history)
    closed = [(fill.quote_seq, fill.size_steps) for fill, _, _ in islice(fills, 1, None)]
    assert closed[:3] == [(2, 300), (3, 300), (4, 250)][: len(closed)]
    assert len(closed) >= 2
    block = cases.plain(history)
    assert cases.fills_of(block, history) == live_cases.live_fills(fills)
    assert cases.state_of(block, history) == live_cases.live_state(run)


def test_an_order_changed_beside_an_old_quote_waits_for_the_next_one() -> None:
    """Another symbol's quote comes hours later: what is changed then does not fill at the old."""
    other = Quote("GBPUSD", 126_500, 126_502, NOW + 9 * HOUR_NS, 2)
    late = tick(3, 9 * HOUR_NS + SECOND_NS, 108_000, 900)
    ticks = [tick(1, 0, 108_000, 900), other, late]
    asked = [
        Asked(0, "place", "EURUSD", -1, 100, kind="limit", limit=108_050),
        Asked(1, "modify", "EURUSD", 1, 0, limit=107_990, order=1),
    ]
    history = History(
        profile(WIDE), ticks, asked, ("EURUSD", "GBPUSD"), {"*": model()}, STANDARD
    )  # fmt: skip
    _, fills = live_cases.live(history)
    assert [fill.quote_seq for fill, _, _ in fills] == [3]
    assert cases.fills_of(cases.plain(history), history) == live_cases.live_fills(fills)


LOCKS = made_rule(
    "order_limits", "soft", action="lock_until_reset", maxOrders=1
)  # fmt: skip
SOFT_LOSS = made_rule("daily_loss", "soft", anchor="equity", loss=percent("1"), comparator="lt")
HARD_LOSS = made_rule("max_drawdown", mode="static", loss=percent("4"), comparator="lt")


def pound(seq: int, after_ns: int) -> Quote:
    return Quote(
        "GBPUSD", 126_500, 126_502, NOW + after_ns, seq, bid_size_steps=900, ask_size_steps=900
    )


def decided(history: History) -> tuple[live_cases.Live, list[tuple[int, str]]]:
    """Return the live account and its fills, held against those of the backtest."""
    run, fills = live_cases.live(history)
    block = cases.plain(history)
    assert cases.fills_of(block, history) == live_cases.live_fills(fills)
    assert cases.state_of(block, history) == live_cases.live_state(run)
    return run, [(fill.quote_seq, fill.symbol) for fill, _, _ in fills]


def test_a_lock_whose_position_has_no_quote_outlasts_the_reset() -> None:
    """The second order locks while the euro's quote is old; nobody quotes it before the reset."""
    day = 12 * HOUR_NS
    ticks = [
        tick(1, 0, 108_000, 900),
        pound(2, 9 * HOUR_NS),
        pound(3, day),
        tick(4, day + SECOND_NS, 108_000, 900),
        pound(5, day + 2 * SECOND_NS),
    ]
    asked = [
        Asked(0, "place", "EURUSD", 1, 100),
        Asked(1, "place", "GBPUSD", 1, 100),
        Asked(2, "place", "GBPUSD", 1, 100),
        Asked(4, "place", "GBPUSD", 1, 100),
    ]
    history = History(
        profile(WIDE, LOCKS), ticks, asked, ("EURUSD", "GBPUSD"), {"*": model()}, STANDARD
    )
    run, fills = decided(history)
    assert fills == [(1, "EURUSD"), (4, "EURUSD"), (5, "GBPUSD")]
    assert run.account.status == "active"


@pytest.mark.parametrize(
    ("rules", "last_bid", "status", "closed"),
    [
        ((SOFT_LOSS,), 107_800, "active", [2, 3, 4]),
        ((SOFT_LOSS,), 107_500, "locked", [2, 3, 4]),
        ((SOFT_LOSS, HARD_LOSS), 107_000, "disabled", [2, 3, 4]),
    ],
)
def test_what_a_lock_has_left_open_closes_in_the_new_day_and_is_judged_by_it(
    rules: tuple[dict[str, object], ...], last_bid: int, status: str, closed: list[int]
) -> None:
    """A quote of 300 steps closes 300; the next comes after the reset, and the rest after that."""
    day = 12 * HOUR_NS
    ticks = [
        tick(1, 0, 108_000, 900),
        tick(2, HOUR_NS, 107_800, 300),
        tick(3, day, last_bid, 300),
        tick(4, day + SECOND_NS, last_bid, 900),
    ]
    history = History(
        profile(*rules), ticks, [Asked(0, "place", "EURUSD", 1, 850)], ("EURUSD",),
        {"*": model()}, STANDARD,
    )  # fmt: skip
    run, fills = decided(history)
    assert [seq for seq, _ in fills] == [1, *closed]
    assert run.account.status == status
    assert run.account.positions == {}


def test_a_rest_takes_the_next_quote_whatever_other_symbols_say_before() -> None:
    """The pound's quote shows 5 steps; the euro, which converts it, moves before the next one."""
    tenth = SECOND_NS // 10
    ticks = [
        tick(1, 0, 108_000, 900),
        pound(2, tenth // 2),
        replace(pound(3, 3 * tenth), bid_ticks=126_700, ask_ticks=126_709, ask_size_steps=5),
        tick(4, 4 * tenth, 108_000, 900),
        pound(5, 5 * tenth),
    ]
    history = History(
        profile(SOFT_LOSS), ticks, [Asked(1, "place", "GBPUSD", -1, 600)], ("EURUSD", "GBPUSD"),
        {"*": model()}, STANDARD, "EUR",
    )  # fmt: skip
    _, fills = decided(history)
    assert fills == [(2, "GBPUSD"), (3, "GBPUSD"), (5, "GBPUSD")]
