"""What an order may say, how it may be changed, and how long it stands."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.engine_cases import NOW, account, command, market, profile, reason, types
from tests.support.order_desk import FIRST, Desk, ends, steps
from tests.support.rule_cases import rule

from quantlab.engine import commands
from quantlab.engine.context import Context, write_quotes
from quantlab.engine.execute import execute
from quantlab.kernel.instants import SECOND_NS, format_rfc3339
from quantlab.ledger.orders import Order
from quantlab.market.sessions import Calendar


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"orderType": "stop", "triggerPrice": "1.08010"}, "trigger_reached"),
        ({"orderType": "stop_limit", "triggerPrice": "1.08000", "price": "1"}, "trigger_reached"),
        ({"orderType": "market_if_touched", "triggerPrice": "1.08020"}, "trigger_reached"),
        ({"orderType": "limit", "price": "1.079999"}, "price_off_tick"),
        ({"orderType": "stop", "triggerPrice": "1.081001"}, "price_off_tick"),
        ({"orderType": "limit", "price": "1.07", "quantity": "0.001"}, "quantity_off_step"),
        ({"orderType": "limit", "price": "1.07", "stopLoss": "1.08"}, "invalid_stop_loss"),
        ({"orderType": "limit", "price": "1.09", "stopLoss": "1.085"}, "invalid_stop_loss"),
        (
            {"orderType": "stop", "triggerPrice": "1.09", "takeProfit": "1.085"},
            "invalid_take_profit",
        ),
        ({"orderType": "limit", "price": "1.07", "reduceOnly": True}, "would_not_reduce"),
        (
            {"orderType": "limit", "price": "1.07", "timeInForce": "gtd",
             "expireAt": "2026-03-04T12:00:00Z"},
            "expired_already",
        ),
        ({"bracket": {"stopLoss": "1.08020"}}, "invalid_stop_loss"),
        ({"bracket": {"stopLoss": "1.07000", "takeProfit": "1.08000"}}, "invalid_take_profit"),
    ],
)  # fmt: skip
def test_what_may_not_stand_is_refused_by_name_whole(fields: dict[str, Any], expected: str) -> None:
    desk = Desk()
    before = desk.account
    outcome = desk.trade(**fields)
    assert reason(outcome) == expected
    assert replace(outcome.account, event_seq=before.event_seq) == before


def test_no_more_working_orders_than_the_limit() -> None:
    desk = Desk()
    for _ in range(200):
        desk.place(orderType="limit", price="1.07000")
    assert reason(desk.trade(orderType="limit", price="1.07000")) == "too_many_orders"
    assert reason(desk.trade()) is None


def test_modify_changes_terms_and_may_fill_at_once() -> None:
    desk = Desk()
    order = desk.place(orderType="limit", price="1.07900", clientId="mine")
    outcome = desk.give(
        commands.TRADE, action="modify", clientId="mine", quantity="0.20", price="1.07950"
    )
    assert types(outcome) == ["order.modified"]
    assert (desk.now(order).size_steps, desk.now(order).terms.limit_ticks) == (20, 107950)
    outcome = desk.give(commands.TRADE, action="modify", orderId=order.order_id, price="1.08500")
    assert outcome.fills[0].price_ticks == 108010
    again = desk.give(commands.TRADE, action="modify", orderId=order.order_id, price="1.07")
    assert reason(again) == "order_not_working"


@pytest.mark.parametrize(
    ("fields", "change", "expected"),
    [
        ({"orderType": "limit", "price": "1.07"}, {"triggerPrice": "1.07"}, "not_of_order_type"),
        ({"orderType": "limit", "price": "1.07"}, {"expireAt": "2030-01-01T00:00:00Z"},
         "not_of_order_type"),
        ({"orderType": "limit", "price": "1.07", "postOnly": True}, {"price": "1.09"},
         "would_trade"),
        ({"orderType": "stop", "triggerPrice": "1.09"}, {"triggerPrice": "1.08"},
         "trigger_reached"),
        ({"orderType": "stop", "triggerPrice": "1.09"}, {"quantity": "900000"},
         "quantity_too_large"),
    ],
)  # fmt: skip
def test_a_change_that_does_not_hold_leaves_the_order(
    fields: dict[str, Any], change: dict[str, Any], expected: str
) -> None:
    desk = Desk()
    order = desk.place(**fields)
    outcome = desk.give(commands.TRADE, action="modify", orderId=order.order_id, **change)
    assert (reason(outcome), desk.now(order)) == (expected, order)


def test_an_exit_is_never_changed_to_more_than_its_parent_has_filled() -> None:
    desk = Desk()
    entry = desk.place(
        orderType="limit", price="1.07900", bracket={"stopLoss": "1.07700", "takeProfit": "1.08200"}
    )
    stop, target = (order for order in desk.account.working.values() if order is not entry)

    def resize(order: Order, quantity: str) -> str | None:
        asked = {"action": "modify", "orderId": order.order_id, "quantity": quantity}
        return reason(desk.give(commands.TRADE, **asked))

    desk.shown = {("EURUSD", 1): 6}
    desk.see("1.07890", "1.07900")
    desk.work(entry)
    before = desk.now(stop)
    assert (resize(stop, "0.07"), desk.now(stop)) == ("quantity_too_large", before)
    assert desk.last.rejection is not None
    assert desk.last.rejection.detail == (
        "expected at most the 0.06 lots that its parent order has filled, was 0.07"
    )
    assert (resize(stop, "0.02"), desk.now(stop).size_steps) == (None, 2)
    assert (resize(stop, "0.06"), desk.now(stop).size_steps) == (None, 6), "up to it again"
    desk.see("1.07890", "1.07899")
    desk.work(entry)
    assert entry.order_id not in desk.account.working
    assert (resize(stop, "0.11"), resize(stop, "0.10")) == ("quantity_too_large", None)
    desk.shown = {("EURUSD", -1): 3}
    desk.work(target, desk.see("1.08200", "1.08210"))
    assert desk.now(stop).size_steps == 7, "what the other exit has left"
    assert (resize(stop, "0.08"), resize(target, "0.11")) == ("quantity_too_large",) * 2
    assert (resize(stop, "0.05"), resize(stop, "0.07")) == (None, None)


def test_quotes_from_before_a_change_neither_trigger_nor_fill() -> None:
    desk = Desk()
    order = desk.place(orderType="stop", triggerPrice="1.08200")
    stale = desk.see("1.08150", "1.08160")
    desk.see("1.08000", "1.08010")
    desk.give(commands.TRADE, action="modify", orderId=order.order_id, triggerPrice="1.08100")
    assert reason(desk.work(order, stale)) == "not_triggered"
    assert desk.now(order).status == "working"


def test_time_ends_orders_and_a_quote_in_time_still_counts() -> None:
    desk = Desk()
    expiry = format_rfc3339(NOW + 60 * SECOND_NS)
    late = desk.place(orderType="limit", price="1.07", timeInForce="gtd", expireAt=expiry)
    day = desk.place(orderType="limit", price="1.07", timeInForce="day")
    assert day.terms.expire_at_ns == desk.account.day.next_reset_ns
    desk.now_ns += 60 * SECOND_NS
    outcome = desk.give(commands.EXPIRE_ORDERS, "watch")
    assert (types(outcome), ends(outcome)) == (["order.expired"], [("expired", "gtd")])
    assert reason(desk.work(late, desk.see("1.06", "1.06001"))) == "order_not_working"
    reached = desk.see("1.06990", "1.06999")
    desk.now_ns = desk.account.day.next_reset_ns + 1
    request = command(
        commands.WORK_ORDER, "watch", orderId=day.order_id, peakTicks=None,
        feedSeq=reached.seq, quotes=write_quotes([reached]),
    )  # fmt: skip
    in_time = replace(request, received_ns=desk.account.day.next_reset_ns - 1)
    context = Context(market(reached), desk.rules, frozenset({"EURUSD"}), desk.now_ns)
    assert execute(desk.account, in_time, context).fills
    outcome = desk.give(commands.ROLL_DAY, "schedule")
    assert ends(outcome) == [("expired", "day")]


def test_an_account_that_is_stopped_cancels_what_works() -> None:
    tight = profile(rule("daily_loss", anchor="balance", loss={"amount": "15.00"}, comparator="lt"))
    desk = Desk(account(tight), tight)
    desk.place(orderType="limit", price="1.07000")
    outcome = desk.trade(quantity="2")
    assert outcome.account.status == "disabled"
    assert ("cancelled", "account_disabled") in ends(outcome)
    told = [e.payload for e in outcome.events if e.event_type == "order.cancelled"]
    assert told[0]["rule"] == "daily_loss"
    calm = Desk()
    calm.place(orderType="limit", price="1.07000")
    outcome = calm.give(commands.DISABLE, "operator", reason="news", by="risk")
    assert ends(outcome) == [("cancelled", "account_disabled")]


@pytest.mark.parametrize("shown", [None, 3])
def test_a_rule_that_flattens_cancels_what_could_open_again(shown: int | None) -> None:
    window = {"days": ["wed"], "at": "12:30", "until": "13:00"}
    rules = profile(rule("flat_by", "soft", timeZone="UTC", windows=[window]))
    desk = Desk(account(rules), rules)
    entry = desk.place(
        orderType="limit", price="1.07000", bracket={"stopLoss": "1.06000", "takeProfit": "1.09"}
    )
    seller = desk.place("sell", orderType="limit", price="1.09000")
    desk.trade(bracket={"stopLoss": "1.07000", "takeProfit": "1.09000"})
    exits = [o.order_id for o in desk.account.working.values() if o.status == "working"][2:]
    desk.shown = {} if shown is None else {("EURUSD", -1): shown}
    desk.now_ns += 1800 * SECOND_NS
    outcome = desk.give(commands.CHECK_RULES, "schedule", checkpoint="12:30")
    assert (outcome.rejection, outcome.account.status) == (None, "active")
    told = {e.payload["orderId"]: e.payload for e in outcome.events
            if e.event_type == "order.cancelled"}  # fmt: skip
    for order in (entry, seller):
        assert (told[order.order_id]["reason"], told[order.order_id]["rule"]) == (
            "flattened", "flat_by",
        )  # fmt: skip
    assert ends(outcome).count(("cancelled", "parent_ended")) == 2
    if shown is None:
        assert (steps(desk), desk.account.working) == (0, {})
        assert [told[order_id]["reason"] for order_id in exits] == ["position_closed"] * 2
    else:
        assert steps(desk) == 7
        assert set(desk.account.working) == set(exits), "a position that must wait is protected"


def test_rules_judge_an_opening_order_again_when_it_fills() -> None:
    shut = rule(
        "trading_hours", "soft", reducingOrders="allowed", timeZone="UTC",
        windows=[{"days": ["wed"], "open": "09:00", "close": "12:30"}],
    )  # fmt: skip
    rules = profile(shut)
    desk = Desk(account(rules), rules)
    order = desk.place(orderType="limit", price="1.07900")
    desk.now_ns += 3600 * SECOND_NS
    outcome = desk.work(order, desk.see("1.07890", "1.07900"))
    assert (reason(outcome), outcome.fills) == ("trading_hours", [])
    assert ends(outcome) == [("cancelled", "trading_hours")]


def test_orders_may_be_placed_before_there_is_a_quote_but_not_post_only() -> None:
    desk = Desk()
    desk.quote = replace(FIRST, suspended=True)
    assert desk.place(orderType="limit", price="1.07900").status == "working"
    trail = desk.place("sell", orderType="trailing_stop", trailDistance="0.001")
    assert trail.terms.peak_ticks is None
    refused = desk.trade(orderType="limit", price="1.07900", postOnly=True)
    assert reason(refused) == "quote_stale"


@pytest.mark.parametrize(
    ("keeps_hours", "ends"),
    [(True, "close"), (False, "reset")],
)
def test_a_days_order_ends_with_the_session_where_hours_are_kept(
    keeps_hours: bool,
    ends: str,
) -> None:
    close_ns = NOW + 3600 * SECOND_NS
    hours = Calendar("fx", "test", (NOW - SECOND_NS,), (close_ns,))
    seen = market(FIRST)
    seen = replace(
        seen, catalog=replace(seen.catalog, calendars={"fx": hours}), keeps_hours=keeps_hours
    )
    state = account()
    request = command(
        symbol="EURUSD", action="buy", quantity="0.10", orderType="limit", price="1.07900",
        timeInForce="day",
    )  # fmt: skip
    context = Context(seen, profile(), frozenset({"EURUSD"}), NOW)
    outcome = execute(state, request, context)
    (order,) = outcome.account.working.values()
    expected = close_ns if ends == "close" else state.day.next_reset_ns
    assert order.terms.expire_at_ns == expected
    late = replace(context, now_ns=expected - 1)
    told = command(commands.EXPIRE_ORDERS, "watch")
    assert execute(outcome.account, told, late).account.working
    after = execute(outcome.account, told, replace(context, now_ns=expected))
    assert [(o.status, o.reason) for o in after.orders] == [("expired", "day")]
