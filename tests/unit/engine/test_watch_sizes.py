"""Exits that a quote is too small for are asked for on the next."""

from collections import deque
from dataclasses import replace

import pytest
from tests.support.watch_cases import (
    CATALOG,
    ENTRY,
    FREE,
    NOW,
    command,
    feed,
    holding,
    names,
    position,
    quote,
    watching,
)

from quantlab.engine.context import Context, Market
from quantlab.engine.execute import execute
from quantlab.ledger.state import Position
from quantlab.market.quote import Quote


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
