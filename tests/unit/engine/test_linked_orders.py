"""Orders that stand together: OCO, OUO, brackets, parents and their children."""

from tests.support.engine_cases import catalog, reason, types
from tests.support.order_desk import Desk, ends, steps

from quantlab.engine import commands
from quantlab.engine.watch import Watch


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


def test_exits_work_for_every_quote_after_the_one_that_filled_their_entry() -> None:
    desk = Desk()
    bracket = {"stopLoss": "1.07800", "takeProfit": "1.08500"}
    entry = desk.place("buy", orderType="limit", price="1.07900", bracket=bracket)
    reached = desk.see("1.07890", "1.07900")
    through = desk.see("1.07700", "1.07710")
    desk.work(entry, reached)  # a late writer: the stop's quote has come and nothing follows it

    watch = Watch(catalog())
    watch.set_quotes([through])
    (asked,) = watch.put(desk.account, desk.rules, desk.now_ns, desk.now_ns)
    stop = desk.account.working[str(asked.payload["orderId"])]
    assert stop.order_type == "stop"
    closed = desk.work(stop, through)
    assert [fill.price_ticks for fill in closed.fills] == [107700]
    assert steps(desk) == 0


def test_children_end_with_a_parent_that_never_filled() -> None:
    desk = Desk()
    child = {"action": "sell", "orderType": "limit", "price": "1.09000"}
    parent = desk.place(
        orderType="limit", price="1.07900", links={"type": "oto", "orders": [child]}
    )
    outcome = desk.give(commands.TRADE, action="cancel", orderId=parent.order_id)
    assert ends(outcome) == [("cancelled", "requested"), ("cancelled", "parent_ended")]
