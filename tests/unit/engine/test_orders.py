"""Working orders in the engine: arrival, triggers, partial fills, links, changes, ends."""

from dataclasses import replace

from tests.support.engine_cases import reason, types
from tests.support.order_desk import Desk, ends, steps

from quantlab.engine import commands


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


def test_reduce_only_takes_no_more_than_there_is() -> None:
    desk = Desk()
    desk.trade(quantity="0.05")
    outcome = desk.trade(
        "sell", quantity="0.10", orderType="limit", price="1.08000", reduceOnly=True
    )
    assert (outcome.orders[0].filled_steps, steps(desk)) == (5, 0)
    assert ends(outcome) == [("cancelled", "position_closed")]


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
