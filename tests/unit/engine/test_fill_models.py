"""Fill models: each formula by table, their laws by Hypothesis, and the fills they lead to."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.engine_cases import (
    ACCOUNT_ID,
    EURUSD,
    NOW,
    account,
    catalog,
    command,
    profile,
    quote,
    run,
    trade,
)

from quantlab.engine.context import write_quotes
from quantlab.engine.fill_models import (
    DRAW_BITS,
    draw_of,
    fill_seed,
    plan_fill,
)
from quantlab.engine.order_terms import is_called
from quantlab.engine.pricing import market_limit
from quantlab.engine.watch import Watch
from quantlab.kernel.instants import format_rfc3339
from quantlab.ledger.state import EMPTY_TALLY, read_tally, write_tally
from quantlab.ledger.tally import QUOTES_KEPT, take_steps, taken_steps
from quantlab.market.document import CatalogError, Node
from quantlab.market.fill_model import (
    ANY_SIZE,
    DISPLAYED,
    DISPLAYED_OR_ANY,
    FIXED_TICKS,
    NO_SLIPPAGE,
    RANDOM_TICKS,
    SPREAD_SHARE,
    VOLUME,
    FillModel,
    parse_fill_model,
)

HALF = 1 << (DRAW_BITS - 1)


def planned(
    side: int = 1, size: int = 10, limit: int | None = None, **given_: int
) -> tuple[int, ...]:
    """Plan against a bid of 1000 for 40 steps and an ask of 1008 for 20."""
    asked = {"rule": DISPLAYED, "kind": NO_SLIPPAGE, "amount": 0, "reference": 0, "draw": 0}
    asked |= {"bid_size": 40, "ask_size": 20, "taken": 0, **given_}
    worst = market_limit(side) if limit is None else limit
    return plan_fill(
        *(side, size, worst, 1000, 1008, asked["bid_size"], asked["ask_size"]),
        *(
            asked["taken"],
            asked["rule"],
            asked["kind"],
            asked["amount"],
            asked["reference"],
            asked["draw"],
        ),
    )


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, (10, 1008, 0)),
        ({"side": -1}, (10, 1000, 0)),
        ({"size": 21}, (20, 1008, 0)),
        ({"side": -1, "size": 41}, (40, 1000, 0)),
        ({"size": 10**6, "rule": ANY_SIZE}, (10**6, 1008, 0)),
        ({"ask_size": 0}, (0, 0, 0)),
        # Of the 20 displayed, earlier fills of the same command took some.
        ({"taken": 15}, (5, 1008, 0)),
        ({"taken": 20}, (0, 0, 0)),
        ({"taken": 20, "rule": DISPLAYED_OR_ANY}, (0, 0, 0)),
        ({"taken": 20, "rule": ANY_SIZE}, (10, 1008, 0)),
        ({"ask_size": 0, "taken": 20, "rule": DISPLAYED_OR_ANY}, (10, 1008, 0)),
        ({"ask_size": 0, "rule": DISPLAYED_OR_ANY}, (10, 1008, 0)),
        ({"size": 21, "rule": DISPLAYED_OR_ANY}, (20, 1008, 0)),
        ({"kind": FIXED_TICKS, "amount": 3}, (10, 1011, 3)),
        ({"side": -1, "kind": FIXED_TICKS, "amount": 3}, (10, 997, 3)),
        # A share of 25 % of 8 ticks; 30 % is 2.4, rounded up.
        ({"kind": SPREAD_SHARE, "amount": 250_000}, (10, 1010, 2)),
        ({"side": -1, "kind": SPREAD_SHARE, "amount": 300_000}, (10, 997, 3)),
        # 5 ticks for the 20 displayed: 2.5 for 10, rounded up; 5 for all of them.
        ({"kind": VOLUME, "amount": 5, "reference": 100}, (10, 1011, 3)),
        ({"size": 30, "kind": VOLUME, "amount": 5, "reference": 100}, (20, 1013, 5)),
        (
            {"size": 60, "kind": VOLUME, "amount": 5, "reference": 1, "rule": ANY_SIZE},
            (60, 1023, 15),
        ),
        # Nothing displayed: 60 against the reference of 100.
        (
            {"size": 60, "kind": VOLUME, "amount": 5, "reference": 100, "rule": DISPLAYED_OR_ANY}
            | {"ask_size": 0},
            (60, 1011, 3),
        ),
        ({"kind": RANDOM_TICKS, "amount": 4, "draw": 0}, (10, 1008, 0)),
        ({"kind": RANDOM_TICKS, "amount": 4, "draw": HALF}, (10, 1010, 2)),
        ({"kind": RANDOM_TICKS, "amount": 4, "draw": 2 * HALF - 1}, (10, 1012, 4)),
        ({"limit": 1007}, (0, 0, 0)),
        ({"limit": 1008, "kind": FIXED_TICKS, "amount": 3}, (10, 1008, 0)),
        ({"limit": 1010, "kind": FIXED_TICKS, "amount": 3}, (10, 1010, 2)),
        ({"side": -1, "limit": 1001}, (0, 0, 0)),
        ({"side": -1, "limit": 999, "kind": FIXED_TICKS, "amount": 3}, (10, 999, 1)),
        ({"side": -1, "kind": FIXED_TICKS, "amount": 2000}, (10, 1, 999)),
    ],
)
def test_what_a_quote_fills_and_at_which_price(
    asked: dict[str, int], expected: tuple[int, int, int]
) -> None:
    assert planned(**asked) == expected


amounts = st.integers(0, 1_000_000)


@given(
    side=st.sampled_from((1, -1)),
    size=st.integers(1, 1 << 40),
    named_limit=st.one_of(st.none(), st.integers(1, 1 << 40)),
    taken=st.integers(0, 1 << 40),
    bid=st.integers(1, 1 << 40),
    spread=st.integers(0, 1 << 30),
    bid_size=st.integers(0, 1 << 40),
    ask_size=st.integers(0, 1 << 40),
    rule=st.sampled_from((ANY_SIZE, DISPLAYED_OR_ANY, DISPLAYED)),
    kind=st.sampled_from((NO_SLIPPAGE, FIXED_TICKS, SPREAD_SHARE, VOLUME, RANDOM_TICKS)),
    amount=amounts,
    reference=st.integers(1, 1 << 40),
    draw=st.integers(0, (1 << DRAW_BITS) - 1),
)
def test_no_fill_is_worse_than_its_limit_better_than_the_quote_or_more_than_displayed(
    side: int, size: int, named_limit: int | None, taken: int, bid: int, spread: int,
    bid_size: int, ask_size: int, rule: int, kind: int, amount: int, reference: int, draw: int,
) -> None:  # fmt: skip
    ask = bid + spread
    limit = market_limit(side) if named_limit is None else named_limit
    steps, price, slipped = plan_fill(
        side, size, limit, bid, ask, bid_size, ask_size, taken, rule, kind, amount, reference, draw
    )
    touch, shown = (ask, ask_size) if side > 0 else (bid, bid_size)
    marketable = side * (touch - limit) <= 0
    unbounded = rule == ANY_SIZE or (rule == DISPLAYED_OR_ANY and not shown)
    if not steps:
        assert not marketable or (not unbounded and shown <= taken)
        assert (price, slipped) == (0, 0)
        return
    assert marketable
    assert steps == (size if unbounded else min(size, shown - taken))
    assert price >= 1
    assert slipped >= 0
    assert price == touch + side * slipped
    assert side * (price - limit) <= 0


def test_the_draw_of_a_fill_follows_from_the_names_of_its_event() -> None:
    # Computed apart from this code: sha256("fill\x1facme\x1fa\x1f7")[:8] >> 1, and one step of
    # SplitMix64 from there.
    assert fill_seed("acme", "a", 7) == 8577172905689306881
    assert draw_of(fill_seed("acme", "a", 7)) == 1963635683
    draws = [draw_of(fill_seed("acme", "a", seq)) >> (DRAW_BITS - 2) for seq in range(4000)]
    assert all(900 < draws.count(quarter) < 1100 for quarter in range(4))


def model(size: str = "displayed", **slippage: Any) -> FillModel:
    return parse_fill_model(Node("", {"size": size, "slippage": slippage or {"kind": "none"}}))


@pytest.mark.parametrize(
    ("document", "where"),
    [
        ({"size": "half", "slippage": {"kind": "none"}}, "/size"),
        ({"size": "displayed"}, "/slippage"),
        ({"size": "displayed", "slippage": {"kind": "none", "ticks": 1}}, "/slippage/ticks"),
        ({"size": "displayed", "slippage": {"kind": "fixed"}}, "/slippage/ticks"),
        ({"size": "displayed", "slippage": {"kind": "fixed", "ticks": 0}}, "/slippage/ticks"),
        ({"size": "displayed", "slippage": {"kind": "volume", "ticks": 1}}, "/referenceSteps"),
        ({"size": "displayed", "slippage": {"kind": "random", "ticks": 1}}, "/slippage/ticks"),
        ({"size": "displayed", "slippage": {"kind": "none"}, "seed": 1}, "/seed"),
    ],
)
def test_what_is_no_model_is_named(document: dict[str, Any], where: str) -> None:
    with pytest.raises(CatalogError, match=f"{where}: expected"):
        parse_fill_model(Node("", document))


def test_a_model_is_named_by_what_it_says() -> None:
    assert model(kind="fixed", ticks=1).version == model(kind="fixed", ticks=1).version
    assert model(kind="fixed", ticks=1).version != model(kind="fixed", ticks=2).version


def test_an_order_larger_than_the_displayed_size_is_filled_in_part_and_the_rest_cancelled() -> None:
    seen = quote("EURUSD", "1.08123", "1.08125", sizes=(500, 7))
    outcome = trade(account(), seen, quantity="0.10")
    (fill,), (order,) = outcome.fills, outcome.orders
    assert (fill.size_steps, fill.bid_size_steps, fill.ask_size_steps) == (7, 500, 7)
    assert (order.size_steps, order.filled_steps) == (10, 7)
    assert (order.status, order.reason) == ("cancelled", "not_filled")
    assert outcome.account.positions["EURUSD"].size_steps == 7
    events = {event.event_type: event for event in outcome.events}
    assert events["order.accepted"].payload["quantity"] == "0.10"
    assert events["order.partially_filled"].payload["quantity"] == "0.07"
    cancelled = events["order.cancelled"].payload
    assert (cancelled["filledQuantity"], cancelled["quantity"]) == ("0.07", "0.10")
    assert "order.filled" not in events
    # 0.03 of the other side's 500 is there whole.
    closing = run(outcome.account, command(action="close", symbol="EURUSD"), seen)
    assert closing.account.positions == {}
    assert closing.fills[0].price_ticks == seen.bid_ticks


def test_a_required_size_that_is_missing_refuses_the_order() -> None:
    bare = quote("ES", "5300.00", "5300.25")
    outcome = trade(account(), bare, symbol="ES", quantity="1")
    assert outcome.rejection is not None
    assert str(outcome.rejection.reason) == "no_displayed_size"
    assert outcome.account.positions == {}
    shown = quote("ES", "5300.00", "5300.25", sizes=(0, 1))
    assert trade(account(), shown, symbol="ES", quantity="1").fills[0].size_steps == 1
    # FX says that a quote without sizes fills any size.
    assert trade(account(), quantity="90").fills[0].size_steps == 9000


def test_the_tenants_model_goes_before_the_instruments_and_is_recorded() -> None:
    own = {"EURUSD": model(kind="fixed", ticks=2), "*": model(kind="fixed", ticks=5)}
    outcome = trade(account(), models=own)
    (fill,) = outcome.fills
    assert (fill.slippage_ticks, fill.fill_model) == (2, own["EURUSD"].version)
    assert fill.price_ticks == fill.ask_ticks + 2
    (event,) = [e for e in outcome.events if e.event_type == "order.filled"]
    assert event.payload["fillModel"] == {
        "version": own["EURUSD"].version,
        "size": "displayed",
        "slippage": {"kind": "fixed", "ticks": 2},
    }
    seen = quote("GBPUSD", "1.26500", "1.26510")
    assert trade(account(), seen, symbol="GBPUSD", models=own).fills[0].slippage_ticks == 5
    assert trade(account(), seen, symbol="GBPUSD").fills[0].slippage_ticks == 0


def test_a_random_slippage_is_recomputed_from_the_event() -> None:
    own = {"*": model(kind="random", maxTicks=9)}
    state, slips = account(), set()
    for _ in range(40):
        outcome = trade(state, models=own)
        (fill,), state = outcome.fills, outcome.account
        (event,) = [e for e in outcome.events if e.event_type == "order.filled"]
        seed = fill_seed("acme", ACCOUNT_ID, event.seq)
        assert (fill.event_seq, fill.fill_seed) == (event.seq, seed)
        assert event.payload["fillModel"]["seed"] == str(seed)  # type: ignore[call-overload, index]
        assert fill.slippage_ticks == draw_of(seed) * 10 >> DRAW_BITS
        slips.add(fill.slippage_ticks)
    assert len(slips) > 5


LATE = {
    "*": parse_fill_model(
        Node("", {"size": "displayed", "slippage": {"kind": "none"}, "latencyNs": 1_000})
    )
}


@pytest.mark.parametrize("action", ["buy", "close"])
def test_a_market_order_waits_for_the_first_quote_after_its_latency(action: str) -> None:
    state = account()
    if action == "close":
        state = trade(state).account
    held = state.positions.get("EURUSD")
    outcome = trade(state, models=LATE, action=action, quantity="0.10" if action == "buy" else None)
    (order,) = outcome.account.working.values()
    assert outcome.rejection is None
    assert (outcome.fills, outcome.account.positions.get("EURUSD")) == ([], held)
    assert (order.status, order.order_type, order.terms.active_ns) == (
        "working",
        "market",
        NOW + 1_000,
    )
    (accepted,) = [e for e in outcome.events if e.event_type == "order.accepted"]
    assert accepted.payload["activeFrom"] == format_rfc3339(NOW + 1_000)
    early, there = (
        replace(EURUSD, seq=seq, ts_ns=NOW + late) for seq, late in ((2, 999), (3, 1_000))
    )
    watch = Watch(catalog())
    watch.put(outcome.account, profile(), NOW, NOW)
    assert watch.on_quote(early, early.ts_ns, NOW) == []
    (demand,) = watch.on_quote(there, there.ts_ns, NOW)
    state = outcome.account
    # A report of the early quote changes nothing; the right one fills there, late or not.
    for seen, count in ((early, 0), (there, 1)):
        payload = {**demand.payload, "quotes": write_quotes([seen])}
        request = replace(command(**payload), name=demand.name, source_kind="watch")
        outcome = run(state, request, quote("EURUSD", "1.09000", "1.09010", seq=9), models=LATE)
        assert [fill.quote_ts_ns for fill in outcome.fills] == [there.ts_ns] * count
        state = outcome.account
    assert not state.working
    assert (state.positions.get("EURUSD") is None) == (action == "close")


def test_a_stop_that_travels_is_not_triggered_by_earlier_quotes_and_ioc_has_one_quote() -> None:
    outcome = trade(account(), models=LATE, orderType="stop", triggerPrice="1.09000")
    (stop,) = outcome.account.working.values()
    assert not is_called(
        stop, replace(quote("EURUSD", "1.09100", "1.09110", seq=2), ts_ns=NOW + 999)
    )
    assert is_called(stop, replace(quote("EURUSD", "1.09100", "1.09110", seq=2), ts_ns=NOW + 1_000))
    outcome = trade(account(), models=LATE, orderType="limit", price="1.08125", timeInForce="ioc")
    (order,) = outcome.account.working.values()
    away = replace(quote("EURUSD", "1.08200", "1.08210", seq=2), ts_ns=NOW + 5_000)
    payload = {"orderId": order.order_id, "feedSeq": 2, "quotes": write_quotes([away])}
    request = replace(command(**payload), name="work_order", source_kind="watch")
    outcome = run(outcome.account, request, models=LATE)
    (ended,) = outcome.orders
    assert (ended.status, ended.reason, outcome.account.working) == ("cancelled", "not_filled", {})


def test_two_commands_take_together_what_a_quote_displays() -> None:
    shown = quote("ES", "6700.00", "6700.25", sizes=(30, 7))
    state = account()
    first = trade(state, shown, symbol="ES", quantity="5")
    second = trade(first.account, shown, symbol="ES", quantity="5")
    third = trade(second.account, shown, symbol="ES", quantity="1")
    assert [fill.size_steps for one in (first, second) for fill in one.fills] == [5, 2]
    assert third.rejection is not None
    assert str(third.rejection.reason) == "no_displayed_size"
    other_side = trade(second.account, shown, symbol="ES", action="sell", quantity="9")
    assert [fill.size_steps for fill in other_side.fills] == [9]
    fresh = replace(shown, seq=2)
    again = trade(second.account, fresh, symbol="ES", quantity="5")
    assert [fill.size_steps for fill in again.fills] == [5]
    assert again.account.tally.taken == (("ES", 1, 1, 7), ("ES", 1, 2, 5))


def test_what_was_taken_is_kept_and_read_back_and_an_older_quote_counts_as_used_up() -> None:
    tally = EMPTY_TALLY
    for seq in range(1, QUOTES_KEPT + 2):
        tally = take_steps(tally, "ES", -1, seq, seq)
    assert read_tally(json.loads(json.dumps(write_tally(tally)))) == tally
    assert taken_steps(tally, "ES", -1, QUOTES_KEPT + 1, 9) == QUOTES_KEPT + 1
    assert taken_steps(tally, "ES", -1, QUOTES_KEPT + 2, 9) == 0
    assert taken_steps(tally, "ES", -1, 1, 9) == 9
    assert taken_steps(tally, "ES", 1, 1, 9) == 0
    assert len(tally.taken) == QUOTES_KEPT
