"""Hedging accounts: legs with tickets, how they open, close, are protected and charged."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from tests.support.engine_cases import reason
from tests.support.fill_models import MODELS
from tests.support.hedging_desk import EURUSD, Desk, told

from quantlab.engine import commands
from quantlab.engine.context import write_quotes
from quantlab.engine.legs import POSITIONS_MAX
from quantlab.kernel.instants import SECOND_NS
from quantlab.ledger.trading_terms import read_trading_terms
from quantlab.market.document import CatalogError
from quantlab_app.use_cases.account_watch import read_accounts
from quantlab_app.use_cases.execution import accounts_message


def test_each_order_that_opens_has_a_leg_of_its_own_and_nothing_nets() -> None:
    desk = Desk()
    first, second = desk.open("buy"), desk.open("sell", "0.4")
    third = desk.open("buy", "0.2")
    assert desk.sizes() == [first.size_steps, second.size_steps, third.size_steps]
    assert first.size_steps > 0 > second.size_steps
    assert len({first.ticket, second.ticket, third.ticket}) == 3
    assert list(desk.account.positions) == [first.ticket, second.ticket, third.ticket]
    assert desk.account.tally.trades == 3
    assert desk.account.balance_minor == desk.account.initial_balance_minor, "nothing realised"


def test_events_fills_and_orders_name_the_leg() -> None:
    desk = Desk()
    outcome = desk.trade("buy", "1")
    ticket = outcome.result["ticket"]
    kinds = ("order.accepted", "order.filled", "position.opened")
    assert [one.payload["ticket"] for one in outcome.events if one.event_type in kinds] == [
        ticket
    ] * 3
    assert [fill.ticket for fill in outcome.fills] == [ticket]
    assert outcome.orders[0].terms.ticket == ticket
    closing = desk.trade("close", ticket=ticket)
    assert told(closing, "position.closed")[0]["ticket"] == ticket
    assert closing.fills[0].ticket == ticket


def test_a_ticket_follows_from_the_request_and_not_from_what_happened_before() -> None:
    calm, busy = Desk(), Desk()
    busy.account = replace(busy.account, event_seq=busy.account.event_seq + 40)
    assert calm.open("buy").ticket == busy.open("buy").ticket


def test_closing_by_ticket_closes_that_leg_in_whole_or_in_part() -> None:
    desk = Desk()
    first, second = desk.open("buy"), desk.open("buy")
    part = desk.trade("close", "0.25", ticket=second.ticket)
    assert [event["sizeSteps"] for event in told(part, "position.changed")] == [
        second.size_steps * 3 // 4
    ]
    assert desk.sizes() == [first.size_steps, second.size_steps * 3 // 4]
    assert reason(desk.trade("close", "0.76", ticket=second.ticket)) == "quantity_too_large"
    desk.trade("close", ticket=second.ticket)
    assert list(desk.account.positions) == [first.ticket]
    assert reason(desk.trade("close", ticket=second.ticket)) == "no_position"


def test_closing_by_symbol_closes_all_legs_the_oldest_first() -> None:
    desk = Desk()
    legs = [desk.open("buy"), desk.open("sell", "0.5"), desk.open("buy", "0.3")]
    assert reason(desk.trade("close", "0.1")) == "ticket_needed"
    outcome = desk.trade("close")
    assert [event["ticket"] for event in told(outcome, "position.closed")] == [
        leg.ticket for leg in legs
    ]
    assert desk.account.positions == {}
    assert outcome.result["orderIds"] == [one.order_id for one in outcome.orders]
    assert len(outcome.orders) == len(legs)


def test_legs_that_a_quote_is_too_small_for_stay_open() -> None:
    desk = Desk()
    first, second, third = desk.open("buy"), desk.open("buy"), desk.open("sell")
    desk.models = {"EURUSD": MODELS["displayed none"]}
    shown = {"bid_size_steps": first.size_steps * 5 // 4, "ask_size_steps": 9 * first.size_steps}
    desk.quotes["EURUSD"] = replace(EURUSD, seq=2, **shown)
    outcome = desk.trade("close")
    assert outcome.rejection is None
    assert set(desk.account.positions) == {second.ticket}
    assert desk.sizes() == [second.size_steps * 3 // 4]
    assert {first.ticket, third.ticket} == {
        event["ticket"] for event in told(outcome, "position.closed")
    }
    fourth = desk.open("buy", "0.01")
    refused = desk.trade("close")
    assert reason(refused) == "no_displayed_size"
    assert len(told(refused, "order.rejected")) == 1
    desk.models = {"EURUSD": MODELS["unlimited none"]}
    fifth = desk.open("sell", "0.01")
    desk.models = {"EURUSD": MODELS["displayed none"]}
    partly = desk.trade("close")
    assert partly.rejection is None
    assert [event["ticket"] for event in told(partly, "position.closed")] == [fifth.ticket]
    assert [event["ticket"] for event in told(partly, "order.rejected")] == [
        second.ticket,
        fourth.ticket,
    ]


def test_a_ticket_of_another_symbol_closes_nothing() -> None:
    desk = Desk()
    desk.see("GBPUSD", "1.25000", "1.25010")
    pound = desk.open("buy", symbol="GBPUSD")
    assert reason(desk.trade("close", ticket=pound.ticket)) == "no_position"
    refused = desk.trade("sell", "1", reduceOnly=True, ticket=pound.ticket)
    assert reason(refused) == "would_not_reduce"


def test_what_only_the_other_kind_of_account_does_is_refused_by_name() -> None:
    desk = Desk()
    leg = desk.open("buy")
    assert reason(desk.trade("reverse")) == "netting_only"
    assert reason(desk.trade("sell", "1", reduceOnly=True)) == "ticket_needed"
    desk.trading = read_trading_terms({})
    assert reason(desk.trade("close", ticket=leg.ticket)) == "hedging_only"
    reduces = desk.trade("sell", "1", reduceOnly=True, ticket=leg.ticket)
    assert reason(reduces) == "hedging_only"


def test_there_are_only_so_many_legs() -> None:
    desk = Desk()
    leg = desk.open("buy", "0.01")
    many = {f"t{n}": replace(leg, ticket=f"t{n}", opened_seq=n) for n in range(POSITIONS_MAX)}
    desk.account = replace(desk.account, positions=many)
    assert reason(desk.trade("buy", "0.01")) == "too_many_positions"
    assert reason(desk.trade("close", ticket="t7")) is None
    assert reason(desk.trade("buy", "0.01")) is None


def test_a_reduce_only_order_works_on_its_leg_alone_and_ends_with_it() -> None:
    desk = Desk()
    first, second = desk.open("buy"), desk.open("buy")
    outcome = desk.trade(
        "sell", "1", orderType="limit", price="1.10500", reduceOnly=True, ticket=second.ticket
    )
    order_id = str(outcome.result["orderId"])
    same_side = desk.trade("buy", "1", reduceOnly=True, ticket=second.ticket)
    assert reason(same_side) == "would_not_reduce"
    desk.trade("close", ticket=first.ticket)
    assert order_id in desk.account.working, "another leg is none of its business"
    closed = desk.trade("close", ticket=second.ticket)
    assert [(one.order_id, one.reason) for one in closed.orders if one.reason] == [
        (order_id, "position_closed")
    ]


def test_the_exits_of_a_bracket_are_those_of_its_leg() -> None:
    desk = Desk()
    other = desk.open("buy")
    placed = desk.trade("buy", "1", bracket={"stopLoss": "1.09000", "takeProfit": "1.11000"})
    ticket = placed.result["ticket"]
    assert [order.terms.ticket for order in desk.account.working.values()] == [ticket, ticket]
    seen = desk.see("EURUSD", "1.11010", "1.11020")
    target = next(one for one in desk.account.working.values() if one.order_type == "limit")
    done = desk.give(
        commands.WORK_ORDER, "watch", orderId=target.order_id, peakTicks=None,
        feedSeq=seen.seq, quotes=write_quotes([seen]),
    )  # fmt: skip
    assert told(done, "position.closed")[0]["ticket"] == ticket
    assert list(desk.account.positions) == [other.ticket]
    assert desk.account.working == {}, "the stop went with the target"


def test_a_child_that_opens_has_a_leg_of_its_own() -> None:
    desk = Desk()
    child = {"action": "sell", "orderType": "limit", "price": "1.10500"}
    first = desk.trade("buy", "1", links={"type": "oto", "orders": [child]}).result["ticket"]
    (order,) = desk.account.working.values()
    assert order.terms.ticket not in (None, first)


def test_each_leg_has_its_own_stop_and_the_watch_asks_for_each() -> None:
    desk = Desk()
    long = desk.open("buy", stopLoss="1.09500")
    other = desk.open("buy", stopLoss="1.09000")
    short = desk.open("sell", takeProfit="1.09600")
    watch = desk.watched()
    seen = desk.see("EURUSD", "1.09500", "1.09510")
    demands = watch.on_quote(seen, desk.now_ns, desk.now_ns)
    assert [(one.payload["ticket"], one.payload["kind"]) for one in demands] == [
        (long.ticket, "stop_loss"),
        (short.ticket, "take_profit"),
    ]
    for demand in demands:
        assert desk.give(demand.name, "watch", **demand.payload).rejection is None
    assert list(desk.account.positions) == [other.ticket]


def test_an_ended_account_is_asked_for_each_symbol_once_and_loses_all_legs() -> None:
    desk = Desk()
    desk.open("buy"), desk.open("sell")
    desk.account = replace(desk.account, status="disabled", status_reason="operator")
    watch = desk.watched()
    seen = desk.see("EURUSD", "1.09500", "1.09510")
    (demand,) = watch.on_quote(seen, desk.now_ns, desk.now_ns)
    assert demand.name == commands.LIQUIDATE
    desk.give(demand.name, "watch", **demand.payload)
    assert desk.account.positions == {}


@pytest.mark.parametrize("asked", [{"action": "flat"}, {"action": "flat", "symbol": "EURUSD"}])
def test_flat_closes_every_leg_and_cancels_what_waits(asked: dict[str, Any]) -> None:
    desk = Desk()
    desk.open("buy"), desk.open("sell", "0.5")
    desk.trade("buy", "1", orderType="limit", price="1.09000")
    assert desk.give(commands.TRADE, **asked).rejection is None
    assert (desk.account.positions, desk.account.working) == ({}, {})


def test_a_close_that_has_to_travel_finds_its_leg() -> None:
    desk = Desk()
    first, second = desk.open("buy"), desk.open("buy")
    desk.models = {"EURUSD": replace(MODELS["unlimited none"], latency_ns=SECOND_NS)}
    assert desk.trade("close", ticket=second.ticket).rejection is None
    (order,) = desk.account.working.values()
    assert (order.terms.ticket, order.terms.reduce_only) == (second.ticket, True)
    desk.now_ns += 2 * SECOND_NS
    seen = desk.see("EURUSD", "1.10000", "1.10010")
    watch = desk.watched()
    for demand in watch.on_quote(seen, desk.now_ns, desk.now_ns):
        desk.give(demand.name, "watch", **demand.payload)
    assert list(desk.account.positions) == [first.ticket]


def test_a_night_is_charged_on_each_leg() -> None:
    desk = Desk(swaps={"*": {"unit": "points", "long": "-10", "short": "2"}})
    long, short = desk.open("buy"), desk.open("sell", "0.5")
    desk.now_ns = desk.account.day.next_reset_ns + SECOND_NS
    desk.see("EURUSD", "1.10000", "1.10010")
    charged = told(desk.give(commands.ROLL_DAY, "schedule"), "position.swap_charged")
    assert [(one["ticket"], one["amount"]) for one in charged] == [
        (long.ticket, "-10.00"),
        (short.ticket, "1.00"),
    ]


def test_legs_add_up_to_what_a_net_position_would_gain() -> None:
    desk, net = Desk(), Desk()
    net.trading = read_trading_terms({})
    for action, size, price in (
        ("buy", "1", "1.10000"), ("sell", "0.4", "1.10200"), ("buy", "0.3", "1.09900"),
    ):  # fmt: skip
        for one in (desk, net):
            one.see("EURUSD", price, price)
            assert one.trade(action, size).rejection is None
    for one in (desk, net):
        one.see("EURUSD", "1.10700", "1.10700")
        assert one.give(commands.TRADE, action="flat").rejection is None
    assert desk.account.balance_minor == net.account.balance_minor
    gained = Fraction(100_000) * (Fraction("0.00700") + Fraction("0.3") * Fraction("0.008"))
    gained -= Fraction(100_000) * Fraction("0.4") * Fraction("0.005")
    assert desk.account.balance_minor - desk.account.initial_balance_minor == gained * 100


def test_the_watch_reads_the_legs_that_the_writer_publishes() -> None:
    desk = Desk()
    desk.open("buy"), desk.open("sell", "0.5")
    desk.trade("buy", "1", bracket={"stopLoss": "1.09000"})
    message = accounts_message({desk.account.account_id: desk.account})
    assert read_accounts(message) == [desk.account]


def test_a_document_of_another_positioning_is_refused() -> None:
    with pytest.raises(CatalogError, match="/positioning"):
        read_trading_terms({"positioning": "both"})
