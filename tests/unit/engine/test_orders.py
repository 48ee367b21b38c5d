"""Working orders in the engine: arrival, triggers, partial fills, links, changes, ends."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.engine_cases import NOW, account, command, market, profile, quote
from tests.support.rule_cases import rule

from quantlab.engine import commands
from quantlab.engine.commands import Outcome
from quantlab.engine.context import Context, write_quotes
from quantlab.engine.execute import execute
from quantlab.kernel.instants import SECOND_NS, format_rfc3339
from quantlab.ledger.orders import Order
from quantlab.ledger.state import Account
from quantlab.market.quote import Quote
from quantlab.market.sessions import Calendar
from quantlab.rules.terms import Profile

FIRST = quote("EURUSD", "1.08000", "1.08010")


class Desk:
    """One account in a market set by hand."""

    def __init__(self, state: Account | None = None, rules: Profile | None = None) -> None:
        self.account = state or account()
        self.rules = rules or profile()
        self.quote = FIRST
        self.shown: dict[tuple[str, int], int] = {}
        self.now_ns = NOW
        self.outcomes: list[Outcome] = []

    @property
    def last(self) -> Outcome:
        return self.outcomes[-1]

    def see(self, bid: str, ask: str) -> Quote:
        self.quote = quote("EURUSD", bid, ask, seq=self.quote.seq + 1)
        return self.quote

    def sized(self, seen: Quote) -> Quote:
        """Return a quote with the sizes shown now; 0 where there are none."""
        bid_size, ask_size = (self.shown.get(("EURUSD", side), 0) for side in (-1, 1))
        return replace(seen, bid_size_steps=bid_size, ask_size_steps=ask_size)

    def give(self, name: str, source: str = "user", **payload: Any) -> Outcome:
        seen = market(self.sized(self.quote))
        context = Context(seen, self.rules, frozenset({"EURUSD"}), self.now_ns)
        request = replace(command(name, source, **payload), received_ns=self.now_ns)
        self.outcomes.append(execute(self.account, request, context))
        self.account = self.last.account
        return self.last

    def trade(self, action: str = "buy", quantity: str | None = "0.10", **fields: Any) -> Outcome:
        asked = {"symbol": "EURUSD", "action": action, "quantity": quantity, **fields}
        kept = {key: value for key, value in asked.items() if value is not None}
        return self.give(commands.TRADE, **kept)

    def place(self, action: str = "buy", quantity: str | None = "0.10", **fields: Any) -> Order:
        outcome = self.trade(action, quantity, **fields)
        assert outcome.rejection is None, outcome.rejection
        return self.account.working[str(outcome.result["orderId"])]

    def work(self, order: Order, seen: Quote | None = None, peak: int | None = None) -> Outcome:
        """Report a quote as account_watch does; the market may be elsewhere by now."""
        used = self.sized(seen or self.quote)
        return self.give(
            commands.WORK_ORDER, "watch", orderId=order.order_id, peakTicks=peak,
            feedSeq=used.seq, quotes=write_quotes([used]),
        )  # fmt: skip

    def now(self, order: Order) -> Order:
        return self.account.working[order.order_id]


def types(outcome: Outcome) -> list[str]:
    return [event.event_type for event in outcome.events]


def reason(outcome: Outcome) -> str | None:
    return None if outcome.rejection is None else str(outcome.rejection.reason)


def ends(outcome: Outcome) -> list[tuple[str, str | None]]:
    return [(order.status, order.reason) for order in outcome.orders]


def steps(desk: Desk) -> int:
    held = desk.account.positions.get("EURUSD")
    return 0 if held is None else held.size_steps


def test_a_limit_waits_and_fills_at_the_quote_that_reached_it_however_late() -> None:
    desk = Desk()
    order = desk.place(orderType="limit", price="1.07900")
    assert (order.status, order.terms.time_in_force) == ("working", "gtc")
    assert types(desk.last) == ["order.accepted"]
    reached = desk.see("1.07880", "1.07890")
    desk.see("1.09000", "1.09010")
    outcome = desk.work(order, reached)
    assert types(outcome) == ["order.filled", "position.opened"]
    fill = outcome.fills[0]
    assert (fill.price_ticks, fill.quote_seq, fill.order_id) == (107890, 2, order.order_id)
    assert desk.account.working == {}
    assert (outcome.orders[0].signal_id, outcome.orders[0].status) == ("signal", "filled")


def test_a_marketable_limit_fills_at_the_better_quote_and_post_only_refuses() -> None:
    desk = Desk()
    outcome = desk.trade(orderType="limit", price="1.08100")
    assert types(outcome) == ["order.accepted", "order.filled", "position.opened"]
    assert outcome.fills[0].price_ticks == 108010
    refused = desk.trade(orderType="limit", price="1.08010", postOnly=True)
    assert (reason(refused), ends(refused)) == ("would_trade", [("rejected", "would_trade")])
    assert desk.place(orderType="limit", price="1.08009", postOnly=True).terms.post_only


def test_a_stop_fills_at_the_gap_and_a_stop_limit_waits_behind_it() -> None:
    desk = Desk()
    stop = desk.place(orderType="stop", triggerPrice="1.08100")
    limited = desk.place(orderType="stop_limit", triggerPrice="1.08100", price="1.08150")
    gap = desk.see("1.08500", "1.08510")
    outcome = desk.work(stop, gap)
    assert types(outcome) == ["order.triggered", "order.filled", "position.opened"]
    assert outcome.fills[0].price_ticks == 108510
    outcome = desk.work(limited, gap)
    assert (types(outcome), desk.now(limited).status) == (["order.triggered"], "triggered")
    outcome = desk.work(limited, desk.see("1.08130", "1.08140"))
    assert outcome.fills[0].price_ticks == 108140


def test_touched_orders_wait_for_a_better_price() -> None:
    desk = Desk()
    touched = desk.place("sell", orderType="market_if_touched", triggerPrice="1.08100")
    limited = desk.place(
        "sell", orderType="limit_if_touched", triggerPrice="1.08100", price="1.08120"
    )
    assert reason(desk.work(touched, desk.see("1.08099", "1.08105"))) == "not_triggered"
    seen = desk.see("1.08110", "1.08115")
    assert desk.work(touched, seen).fills[0].price_ticks == 108110
    assert types(desk.work(limited, seen)) == ["order.triggered"]
    assert desk.work(limited, desk.see("1.08121", "1.08130")).fills[0].price_ticks == 108121


def test_a_trailing_stop_follows_the_peak_that_was_seen_and_keeps_it() -> None:
    desk = Desk()
    desk.trade()
    trail = desk.place("sell", orderType="trailing_stop", trailDistance="0.00100", reduceOnly=True)
    assert trail.terms.peak_ticks == 108000
    seen = [{"orderId": trail.order_id, "peakTicks": 108400, "feedSeq": 5}]
    outcome = desk.give(commands.OBSERVE_TRAILS, "watch", trails=seen)
    assert types(outcome) == ["order.modified"]
    assert outcome.events[0].payload["triggerPrice"] == "1.08300"
    lower = [{"orderId": trail.order_id, "peakTicks": 108200, "feedSeq": 6}]
    assert types(desk.give(commands.OBSERVE_TRAILS, "watch", trails=lower)) == []
    hit = desk.see("1.08350", "1.08360")
    assert reason(desk.work(trail, hit)) == "not_triggered"
    assert desk.work(trail, hit, peak=108450).fills[0].price_ticks == 108350


def test_a_trail_by_percent() -> None:
    desk = Desk()
    trail = desk.place("sell", orderType="trailing_stop", trailPercent="0.5")
    assert trail.terms.trail_ppm == 5000
    assert reason(desk.work(trail, desk.see("1.07461", "1.07470"))) == "not_triggered"
    assert desk.work(trail, desk.see("1.07460", "1.07470")).fills[0].price_ticks == 107460


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


def test_ioc_and_fok_never_wait() -> None:
    desk = Desk()
    desk.shown = {("EURUSD", 1): 4}
    part = desk.trade(orderType="limit", price="1.08010", timeInForce="ioc")
    assert types(part)[1:] == ["order.partially_filled", "position.opened", "order.cancelled"]
    assert (ends(part), part.orders[0].filled_steps) == ([("cancelled", "not_filled")], 4)
    none = desk.trade(orderType="limit", price="1.08010", timeInForce="fok")
    assert (types(none), none.fills) == (["order.accepted", "order.cancelled"], [])
    used_up = desk.trade(orderType="limit", price="1.08010", quantity="0.04", timeInForce="fok")
    assert ends(used_up) == [("cancelled", "not_filled")]
    desk.quote = replace(desk.quote, seq=2)
    whole = desk.trade(orderType="limit", price="1.08010", quantity="0.04", timeInForce="fok")
    assert ends(whole) == [("filled", None)]
    desk.quote = replace(desk.quote, seq=3)
    market_order = desk.trade(quantity="0.06")
    assert (market_order.orders[0].filled_steps, ends(market_order)) == (
        4, [("cancelled", "not_filled")],
    )  # fmt: skip


def test_a_limit_fills_in_parts_each_quote_once() -> None:
    desk = Desk()
    order = desk.place(orderType="limit", price="1.07900")
    desk.shown = {("EURUSD", 1): 4}
    first = desk.see("1.07890", "1.07900")
    assert "order.partially_filled" in types(desk.work(order, first))
    assert (desk.now(order).status, desk.now(order).remaining_steps) == ("partially_filled", 6)
    assert reason(desk.work(order, first)) == "not_triggered"
    desk.work(order, desk.see("1.07890", "1.07899"))
    outcome = desk.work(order, desk.see("1.07890", "1.07898"))
    assert [fill.size_steps for fill in outcome.fills] == [2]
    assert (ends(outcome), steps(desk)) == ([("filled", None)], 10)


def test_oco_first_fill_even_partial_cancels_the_rest() -> None:
    desk = Desk()
    leg = {"action": "buy", "orderType": "stop", "triggerPrice": "1.08200"}
    first = desk.place(orderType="limit", price="1.07900", links={"type": "oco", "orders": [leg]})
    (other,) = [order for order in desk.account.working.values() if order is not first]
    assert other.size_steps == first.size_steps
    desk.shown = {("EURUSD", 1): 1}
    outcome = desk.work(first, desk.see("1.07890", "1.07900"))
    assert ends(outcome) == [("cancelled", "oco")]
    late = desk.work(other, desk.see("1.08300", "1.08310"))
    assert (reason(late), steps(desk)) == ("order_not_working", 1)


def test_ouo_a_fill_reduces_the_others_by_what_filled() -> None:
    desk = Desk()
    leg = {"action": "buy", "orderType": "stop", "triggerPrice": "1.08200"}
    first = desk.place(orderType="limit", price="1.07900", links={"type": "ouo", "orders": [leg]})
    (other,) = [order for order in desk.account.working.values() if order is not first]
    desk.shown = {("EURUSD", 1): 4}
    outcome = desk.work(first, desk.see("1.07890", "1.07900"))
    assert "order.modified" in types(outcome)
    assert desk.now(other).size_steps == 6
    desk.shown = {}
    outcome = desk.work(other, desk.see("1.08300", "1.08310"))
    assert sorted(ends(outcome)) == [("cancelled", "ouo"), ("filled", None)]
    assert steps(desk) == 10


def test_a_bracket_protects_what_has_filled_and_no_more() -> None:
    desk = Desk()
    entry = desk.place(
        orderType="limit", price="1.07900", bracket={"stopLoss": "1.07700", "takeProfit": "1.08200"}
    )
    exits = [order for order in desk.account.working.values() if order is not entry]
    assert {order.status for order in exits} == {"pending_parent"}
    assert [reason(desk.work(order, desk.see("1.07000", "1.07010"))) for order in exits] == [
        "order_pending", "order_pending",
    ]  # fmt: skip
    desk.shown = {("EURUSD", 1): 4}
    desk.see("1.07890", "1.07900")
    desk.work(entry)
    stop, target = (desk.now(order) for order in exits)
    assert (stop.size_steps, target.size_steps, stop.status) == (4, 4, "working")
    desk.see("1.07890", "1.07899")
    desk.work(entry)
    assert [desk.now(order).size_steps for order in exits] == [8, 8]
    desk.shown = {("EURUSD", -1): 3}
    outcome = desk.work(target, desk.see("1.08200", "1.08210"))
    assert sorted(ends(outcome)) == [("cancelled", "exit_filled")]
    assert [desk.now(order).remaining_steps for order in exits] == [5, 5]
    desk.shown = {}
    outcome = desk.work(stop, desk.see("1.07600", "1.07610"))
    assert sorted(ends(outcome)) == [("cancelled", "ouo"), ("filled", None)]
    assert (steps(desk), desk.account.working) == (0, {})


def test_a_market_entry_releases_its_bracket_at_once_and_a_trail_begins() -> None:
    desk = Desk()
    outcome = desk.trade(bracket={"trailDistance": "0.00100", "takeProfit": "1.09000"})
    assert types(outcome) == [
        "order.accepted", "order.accepted", "order.accepted", "order.filled", "position.opened",
        "order.modified", "order.modified",
    ]  # fmt: skip
    trail, target = desk.account.working.values()
    assert (trail.terms.peak_ticks, trail.size_steps, target.terms.reduce_only) == (
        108000, 10, True,
    )  # fmt: skip
    closed = desk.trade("close", None)
    assert min(ends(closed)) == ("cancelled", "position_closed")
    assert desk.account.working == {}


def test_children_end_with_a_parent_that_never_filled() -> None:
    desk = Desk()
    child = {"action": "sell", "orderType": "limit", "price": "1.09000"}
    parent = desk.place(
        orderType="limit", price="1.07900", links={"type": "oto", "orders": [child]}
    )
    outcome = desk.give(commands.TRADE, action="cancel", orderId=parent.order_id)
    assert ends(outcome) == [("cancelled", "requested"), ("cancelled", "parent_ended")]


def test_reduce_only_takes_no_more_than_there_is() -> None:
    desk = Desk()
    desk.trade(quantity="0.05")
    outcome = desk.trade(
        "sell", quantity="0.10", orderType="limit", price="1.08000", reduceOnly=True
    )
    assert (outcome.orders[0].filled_steps, steps(desk)) == (5, 0)
    assert ends(outcome) == [("cancelled", "position_closed")]


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


def test_flat_cancels_and_closes_reverse_turns_with_one_order() -> None:
    desk = Desk()
    desk.trade(quantity="0.30")
    desk.place(orderType="limit", price="1.07000")
    outcome = desk.trade("reverse", None, stopLoss="1.09000")
    assert (len(outcome.fills), steps(desk)) == (1, -30)
    held = desk.account.positions.get("EURUSD")
    assert held is not None
    assert held.stop_loss_ticks == 109000
    outcome = desk.trade("flat", None)
    assert (steps(desk), desk.account.working) == (0, {})
    assert ("cancelled", "flattened") in ends(outcome)
    assert reason(desk.trade("flat", None)) == "no_position"
    desk.place(orderType="limit", price="1.07000")
    assert ends(desk.give(commands.TRADE, action="flat")) == [("cancelled", "flattened")]


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
