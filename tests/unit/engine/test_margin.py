"""Margin: worked examples, the free margin before orders, and the stop-out one after another."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.engine_cases import NOW, account, catalog, command, market, profile, quote
from tests.support.fill_models import MODELS

from quantlab.engine import commands
from quantlab.engine.commands import Outcome
from quantlab.engine.context import Context, Market, equity_of
from quantlab.engine.execute import execute
from quantlab.engine.margin import (
    Margin,
    is_at_level,
    margin_micro,
    margin_of,
    reserved_value,
    used_margin,
)
from quantlab.engine.native.chosen import INTERPRETED
from quantlab.engine.native.watch import ArrayWatch
from quantlab.engine.rejections import Rejection
from quantlab.engine.watch import Watch
from quantlab.engine.watched import Demand
from quantlab.ledger.state import Account
from quantlab.ledger.trading_terms import TradingTerms, read_trading_terms
from quantlab.market.fill_model import FillModel
from quantlab.market.quote import Quote

EURUSD = quote("EURUSD", "1.10000", "1.10000")
GBPUSD = quote("GBPUSD", "1.25000", "1.25000")
USDJPY = quote("USDJPY", "150.000", "150.000")
LEVERED = {"leverage": {"fx": "30", "metals": "20"}, "stopOutPercent": "50"}
FREE_RULES = profile({"rule": "instrument_allowlist", "severity": "soft", "parameters": {
    "symbols": ["EURUSD", "GBPUSD", "USDJPY", "XAUUSD"], "reducingOrders": "allowed"}})  # fmt: skip


def terms(**margin: Any) -> TradingTerms:
    return read_trading_terms({"margin": {**LEVERED, **margin}})


def give(
    state: Account,
    trading: TradingTerms,
    *quotes: Quote,
    name: str = commands.TRADE,
    source: str = "bot",
    late: dict[str, FillModel] | None = None,
    **payload: Any,
) -> Outcome:
    context = Context(
        market(*quotes),
        FREE_RULES,
        frozenset(catalog().instruments),
        NOW,
        fill_models=late or {},
        trading=trading,
    )
    return execute(state, command(name, source, **payload), context)


def order(state: Account, trading: TradingTerms, *quotes: Quote, **payload: Any) -> Outcome:
    asked = {"symbol": "EURUSD", "action": "buy", "quantity": "1", **payload}
    return give(state, trading, *quotes, **asked)


def held(state: Account, trading: TradingTerms, *quotes: Quote, **payload: Any) -> Account:
    outcome = order(state, trading, *quotes, **payload)
    assert outcome.rejection is None, outcome.rejection
    return outcome.account


def known(state: Account, seen: Market, trading: TradingTerms) -> Margin:
    margin = margin_of(state, seen, trading)
    assert isinstance(margin, Margin), margin
    return margin


def rejected(outcome: Outcome) -> Rejection:
    assert outcome.rejection is not None
    return outcome.rejection


def test_the_margin_of_a_lot_is_its_value_over_the_leverage() -> None:
    state = held(account(), terms(), EURUSD)
    # 110,000.00 dollars / 30 = 3,666.666..., rounded up.
    assert known(state, market(EURUSD), terms()) == Margin(10_000_000, 366_667, 0)
    assert known(state, market(EURUSD), terms()).level_ppm == 27_272_702
    assert known(state, market(EURUSD), terms(leverage={"EURUSD": "100"})).used_minor == 110_000
    assert known(state, market(EURUSD), terms(leverage={"crypto": "2"})).used_minor == 0


def test_margin_is_asked_in_the_accounts_currency() -> None:
    state = held(account(currency="EUR"), terms(), EURUSD, GBPUSD, symbol="GBPUSD")
    # 125,000.00 dollars cost 125,000 / 1.1 = 113,636.36 euros; over 30 they are 3,787.878...
    assert known(state, market(EURUSD, GBPUSD), terms()).used_minor == 378_788
    dearer = quote("EURUSD", "1.00000", "1.00010")
    # A margin is bought: the euro is sold at the bid.
    assert known(state, market(dearer, GBPUSD), terms()).used_minor == 416_667
    assert isinstance(margin_of(state, market(GBPUSD), terms()), Rejection)


@given(
    st.integers(-(10**12), 10**12),
    st.sampled_from([(1_000_000, 1), (100_000, 1), (1, 100)]),
    st.integers(1, 20_000),
    st.integers(1, 20_000),
    st.integers(100, 50_000),
)
def test_margin_is_within_two_millionths_of_the_exact_one(
    value: int, unit: tuple[int, int], rate_num: int, rate_den: int, leverage: int
) -> None:
    exact = Fraction(abs(value) * unit[0], unit[1]) * Fraction(rate_num, rate_den)
    exact /= Fraction(leverage, 100)
    got = margin_micro(value, *unit, rate_num, rate_den, leverage, 100)
    assert abs(got - exact) <= 1 + Fraction(rate_num, rate_den)


@given(st.integers(-(10**12), 10**12), st.integers(0, 10**12), st.integers(10_000, 10_000_000))
def test_the_level_is_compared_exactly(equity: int, used: int, level: int) -> None:
    expected = used > 0 and Fraction(equity, max(used, 1)) <= Fraction(level, 1_000_000)
    assert is_at_level(equity, used, level) == expected


@pytest.mark.parametrize(
    ("buys", "sells", "held_steps", "value"),
    [
        ((300, 3), (0, 0), 0, 300),
        ((300, 3), (200, 2), 0, 300),  # the larger side: only one of them can come to be
        ((300, 3), (200, 2), 2, 300),  # the sells only close what is held
        ((300, 3), (500, 5), 2, 300),
        ((300, 3), (900, 5), 2, 540),
        ((301, 3), (0, 0), -1, 201),  # two of three open, rounded up
    ],
)
def test_working_orders_reserve_for_the_larger_side_that_opens(
    buys: tuple[int, int], sells: tuple[int, int], held_steps: int, value: int
) -> None:
    assert reserved_value(*buys, *sells, held_steps) == value


def test_an_order_beyond_the_free_margin_is_refused_with_the_distance() -> None:
    outcome = order(account(), terms(), EURUSD, quantity="30")
    refused = rejected(outcome)
    assert refused.reason == "margin_insufficient"
    assert refused.detail == (
        "expected free margin of at least 110,000.00 USD, was 100,000.00 USD (equity 100,000.00"
        " USD less used 0.00 USD and reserved 0.00 USD): 10,000.00 USD short"
    )
    assert outcome.account.positions == {}
    assert [one.event_type for one in outcome.events][-2:] == ["order.rejected", "webhook.rejected"]
    assert rejected(order(account(), terms(), EURUSD, quantity="27.28")).reason == refused.reason
    assert order(account(), terms(), EURUSD, quantity="27.27").rejection is None
    assert order(account(), TradingTerms(), EURUSD, quantity="100").rejection is None


def test_commission_counts_before_the_margin() -> None:
    fee = {"commissions": {"*": {"commissionMinorPerLot": "1000"}}, "margin": LEVERED}
    trading = read_trading_terms(fee)
    assert rejected(order(account(), trading, EURUSD, quantity="27.27")).reason == (
        "margin_insufficient"
    )
    assert order(account(), trading, EURUSD, quantity="27.19").rejection is None


def test_what_closes_needs_no_margin_and_what_turns_needs_its_own() -> None:
    state = held(account(), terms(), EURUSD, quantity="27")
    poor = replace(state, balance_minor=500_000)
    assert order(poor, terms(), EURUSD, action="sell", quantity="27").rejection is None
    assert order(poor, terms(), EURUSD, action="close").rejection is None
    more = order(poor, terms(), EURUSD, quantity="0.01")
    assert rejected(more).reason == "margin_insufficient"
    turned = order(poor, terms(), EURUSD, action="reverse")
    assert turned.rejection is None, "as much margin as before"
    assert rejected(order(poor, terms(), EURUSD, action="sell", quantity="55")).reason == (
        "margin_insufficient"
    )


def test_working_orders_reserve_margin_and_give_it_back() -> None:
    limit = {"orderType": "limit", "price": "1.00000", "timeInForce": "gtc"}
    state = held(account(), terms(), EURUSD, quantity="15", **limit)
    assert known(state, market(EURUSD), terms()) == Margin(10_000_000, 0, 5_000_000)
    over = rejected(order(state, terms(), EURUSD, quantity="15.01", **limit))
    assert over.reason == "margin_insufficient"
    both = held(state, terms(), EURUSD, quantity="15", **limit)
    assert known(both, market(EURUSD), terms()).free_minor == 0
    assert rejected(order(both, terms(), EURUSD, quantity="0.01")).reason == over.reason
    sell = {**limit, "price": "1.20000", "action": "sell"}
    hedged = held(both, terms(), EURUSD, quantity="20", **sell)
    assert known(hedged, market(EURUSD), terms()).reserved_minor == 10_000_000, "the larger side"
    order_id = next(iter(both.working))
    cancelled = give(both, terms(), EURUSD, action="cancel", orderId=order_id).account
    assert known(cancelled, market(EURUSD), terms()).reserved_minor == 5_000_000


def test_what_orders_reserve_pays_for_no_position() -> None:
    stop = {"orderType": "stop", "triggerPrice": "1.20000", "timeInForce": "gtc"}
    state = held(account(), terms(), EURUSD, quantity="25", **stop)
    assert known(state, market(EURUSD), terms()).reserved_minor == 10_000_000
    sell = {"action": "sell", "quantity": "20"}  # uses 73,333.34, and then 20,000.00 is reserved
    poor = order(replace(state, balance_minor=7_000_000), terms(), EURUSD, **sell)
    assert rejected(poor).reason == "margin_insufficient"
    assert "3,333.34 USD short" in rejected(poor).detail
    richer = held(replace(state, balance_minor=7_333_334), terms(), EURUSD, **sell)
    assert known(richer, market(EURUSD), terms()) == Margin(7_333_334, 7_333_334, 2_000_000)


def test_a_market_order_that_waits_for_its_moment_needs_its_margin_at_once() -> None:
    late = {"EURUSD": MODELS["late"]}
    over = rejected(order(account(), terms(), EURUSD, late=late, quantity="27.28"))
    assert over.reason == "margin_insufficient"
    state = held(account(), terms(), EURUSD, late=late, quantity="27.27")
    assert known(state, market(EURUSD), terms()) == Margin(10_000_000, 0, 9_999_000)


def test_a_working_order_cannot_be_made_larger_than_the_margin() -> None:
    limit = {"orderType": "limit", "price": "1.00000", "timeInForce": "gtc"}
    state = held(account(), terms(), EURUSD, quantity="15", **limit)
    order_id = next(iter(state.working))
    grown = give(state, terms(), EURUSD, action="modify", orderId=order_id, quantity="31")
    assert rejected(grown).reason == "margin_insufficient"
    assert grown.account.working[order_id].size_steps == 1500
    assert (
        give(state, terms(), EURUSD, action="modify", orderId=order_id, quantity="30").rejection
        is None
    )


def test_an_order_that_cannot_be_margined_any_more_is_cancelled_when_its_turn_comes() -> None:
    limit = {"orderType": "limit", "price": "1.00000", "timeInForce": "gtc"}
    state = held(account(), terms(), EURUSD, quantity="20", **limit)
    poor = replace(state, balance_minor=6_000_000)
    reached = replace(EURUSD, bid_ticks=99_990, ask_ticks=100_000, seq=2)
    seen = {"symbol": "EURUSD", "bidTicks": 99_990, "askTicks": 100_000, "tsNs": str(NOW), "seq": 2}
    order_id = next(iter(state.working))
    called = {"orderId": order_id, "peakTicks": None, "feedSeq": 2, "quotes": [seen]}
    outcome = give(poor, terms(), reached, name=commands.WORK_ORDER, source="watch", **called)
    assert rejected(outcome).reason == "margin_insufficient"
    assert (outcome.account.working, outcome.account.positions) == ({}, {})
    (event,) = outcome.events
    assert (event.event_type, event.payload["reason"]) == ("order.cancelled", "margin_insufficient")
    filled = give(state, terms(), reached, name=commands.WORK_ORDER, source="watch", **called)
    assert filled.rejection is None
    assert filled.account.positions["EURUSD"].size_steps == 2000


def test_an_account_that_cannot_be_valued_takes_no_margined_order() -> None:
    state = held(account(), terms(), EURUSD)
    outcome = order(state, terms(), GBPUSD, symbol="GBPUSD", quantity="0.01")
    assert rejected(outcome).reason == "no_quote"


def stopped(state: Account, trading: TradingTerms, *quotes: Quote) -> list[Demand]:
    watch = Watch(catalog())
    watch.set_quotes(quotes)
    return [
        demand
        for demand in watch.put(state, FREE_RULES, NOW, NOW, trading)
        if demand.name == commands.STOP_OUT
    ]


def test_the_largest_loser_is_closed_first_until_the_level_is_above() -> None:
    quotes = (EURUSD, GBPUSD, USDJPY)
    state = account()
    for symbol, size in (("EURUSD", "10"), ("GBPUSD", "8"), ("USDJPY", "5")):
        state = held(state, terms(), *quotes, symbol=symbol, quantity=size)
    # 36,666.67 + 33,333.33 + 16,666.67 of margin: the level falls to 50 % at 43,333.34.
    assert known(state, market(*quotes), terms()).used_minor == 8_666_667
    above = (quote("EURUSD", "1.08000", "1.08000"), quote("GBPUSD", "1.20417", "1.20417"), USDJPY)
    assert equity_of(state, market(*above)) == 4_333_600
    assert stopped(state, terms(), *above) == []
    assert stopped(state, terms(), *quotes) == []
    fallen = (quote("EURUSD", "1.08000", "1.08000"), quote("GBPUSD", "1.20400", "1.20400"), USDJPY)
    assert equity_of(state, market(*fallen)) == 4_320_000
    (demand,) = stopped(state, terms(), *fallen)
    outcome = give(state, terms(), *fallen, name=demand.name, source="watch", **demand.payload)
    assert outcome.rejection is None
    told = [one for one in outcome.events if one.event_type == "account.margin_stop_out"]
    assert [one.payload["symbol"] for one in told] == ["GBPUSD"], "36,800 lost, the other 20,000"
    assert told[0].payload["openProfit"] == "-36800.00"
    assert told[0].payload["arithmetic"] == (
        "equity 43,200.00 is at or below 50 % of the used margin 86,666.67"
    )
    assert told[0].payload["marginLevelPercent"] == "49.8461"
    assert set(outcome.account.positions) == {"EURUSD", "USDJPY"}
    assert outcome.account.status == "active"
    assert stopped(outcome.account, terms(), *fallen) == []


def test_closing_goes_on_while_the_level_is_too_low_each_with_its_own_figures() -> None:
    quotes = (EURUSD, GBPUSD)
    state = account()
    for symbol, size in (("EURUSD", "10"), ("GBPUSD", "10")):
        state = held(state, terms(), *quotes, symbol=symbol, quantity=size)
    fallen = (quote("EURUSD", "1.05000", "1.05000"), quote("GBPUSD", "1.21000", "1.21000"))
    (demand,) = stopped(state, terms(), *fallen)
    outcome = give(state, terms(), *fallen, name=demand.name, source="watch", **demand.payload)
    told = [one.payload for one in outcome.events if one.event_type == "account.margin_stop_out"]
    assert [one["symbol"] for one in told] == ["EURUSD", "GBPUSD"]
    # 10,000 of equity is under half of 78,333.34, and still under half of 41,666.67.
    assert [one["usedMargin"] for one in told] == ["78333.34", "41666.67"]
    assert [one["equity"] for one in told] == ["10000.00", "10000.00"]
    assert outcome.account.positions == {}
    assert outcome.account.balance_minor == 1_000_000


def test_what_was_seen_counts_even_when_the_price_has_come_back() -> None:
    state = held(account(), terms(), EURUSD, quantity="20")
    fallen = quote("EURUSD", "1.06800", "1.06800")
    (demand,) = stopped(state, terms(), fallen)
    back = replace(EURUSD, seq=9)
    outcome = give(state, terms(), back, name=demand.name, source="watch", **demand.payload)
    assert outcome.account.positions == {}
    changed = held(state, terms(), back, quantity="0.01")
    late = give(changed, terms(), back, name=demand.name, source="watch", **demand.payload)
    assert rejected(late).reason == "not_triggered", "it holds something else by now"
    assert late.account.positions == changed.positions


def test_orders_that_could_open_are_cancelled_before_positions_are_closed() -> None:
    limit = {"orderType": "limit", "price": "1.00000", "timeInForce": "gtc", "quantity": "1"}
    state = held(account(), terms(), EURUSD, quantity="20")
    state = held(state, terms(), EURUSD, **limit)
    goal = {**limit, "price": "1.30000", "action": "sell", "reduceOnly": True}
    state = held(state, terms(), EURUSD, **goal)
    fallen = quote("EURUSD", "1.06800", "1.06800")
    (demand,) = stopped(state, terms(), fallen)
    outcome = give(state, terms(), fallen, name=demand.name, source="watch", **demand.payload)
    seen = [
        (one.event_type, one.payload.get("reason"))
        for one in outcome.events
        if one.event_type in ("order.cancelled", "account.margin_stop_out")
    ]
    assert seen == [
        ("order.cancelled", "margin_stop_out"),
        ("account.margin_stop_out", None),
        ("order.cancelled", "position_closed"),
    ]


def test_a_loser_without_a_good_quote_waits_and_another_is_closed() -> None:
    quotes = (EURUSD, GBPUSD)
    state = account()
    for symbol, size in (("EURUSD", "10"), ("GBPUSD", "10")):
        state = held(state, terms(), *quotes, symbol=symbol, quantity=size)
    fallen = (quote("EURUSD", "1.05000", "1.05000"), quote("GBPUSD", "1.21000", "1.21000"))
    (demand,) = stopped(state, terms(), *fallen)
    now = (replace(fallen[0], suspended=True), fallen[1])
    outcome = give(state, terms(), *now, name=demand.name, source="watch", **demand.payload)
    assert outcome.rejection is None
    assert set(outcome.account.positions) == {"EURUSD"}
    assert used_margin(outcome.account, market(*now), terms()) == 3_666_667


@pytest.mark.parametrize("kind", ["plain", "arrays", "arrays later"])
def test_every_watch_asks_on_the_tick_that_reaches_the_level(kind: str) -> None:
    state = held(account(), terms(), EURUSD, quantity="20")
    watch = ArrayWatch(catalog(), INTERPRETED) if kind == "arrays" else Watch(catalog())
    watch.set_quotes([EURUSD])
    assert watch.put(state, FREE_RULES, NOW, NOW, terms()) == []
    if kind == "arrays later":
        watch = ArrayWatch.of(watch, INTERPRETED)
    asked = []
    for seq, bid in enumerate((109_000, 106_840, 106_833), 2):
        tick = replace(EURUSD, bid_ticks=bid, ask_ticks=bid, seq=seq, ts_ns=NOW + seq)
        asked.append([one.name for one in watch.on_quote(tick, NOW + seq, NOW + seq)])
    # 36,666.67 of equity is half of 73,333.34 of margin from 1.06833 on.
    assert asked == [[], [], ["stop_out"]]
