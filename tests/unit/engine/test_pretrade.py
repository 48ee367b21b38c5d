"""Orders before they are taken, and when their turn comes: sizes, stops, counts, news."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.engine_cases import (
    BALANCE,
    EURUSD,
    NOW,
    account,
    command,
    market,
    profile,
    quote,
    reason,
    trade,
)
from tests.support.rule_cases import rule

from quantlab.engine.commands import Outcome
from quantlab.engine.context import Context, write_quotes
from quantlab.engine.execute import execute
from quantlab.kernel.instants import SECOND_NS
from quantlab.ledger.state import Account
from quantlab.market.quote import Quote
from quantlab.rules.day import open_day
from quantlab.rules.surroundings import NewsEvent, Surroundings
from quantlab.rules.terms import Profile

STOP = profile(rule("stop_loss_required", "soft", maxRisk={"percent": "1", "of": "initial"}))
TWO = profile(rule("position_size", "soft", per="account", maxLots="0.20"))
NEWS = profile(
    rule(
        "news_window", "soft", secondsBefore=120, secondsAfter=120, instruments="targeted",
        reducingOrders="refused", stopsCount=True,
    )
)  # fmt: skip
RELEASE = NewsEvent(NOW, "A release", "high", frozenset({"USD"}), frozenset())
QUIET = Surroundings(news=(), linked=())


@pytest.mark.parametrize(
    ("asked", "refused"),
    [
        ({}, "stop_loss_required"),
        ({"stopLoss": "1.08000"}, None),
        ({"bracket": {"stopLoss": "1.08000"}}, None),
        ({"bracket": {"takeProfit": "1.09000"}}, "stop_loss_required"),
        ({"bracket": {"stopLoss": "0.90000"}}, "stop_loss_required"),
        ({"orderType": "limit", "price": "1.08000", "stopLoss": "0.97000"}, "stop_loss_required"),
        ({"orderType": "limit", "price": "1.08000", "stopLoss": "0.98100"}, None),
    ],
)
def test_the_stop_is_judged_wherever_it_stands(asked: dict[str, Any], refused: str | None) -> None:
    outcome = trade(account(STOP), rules=STOP, **asked)

    assert reason(outcome) == refused


def test_an_order_to_be_filled_later_without_a_quote_has_no_known_risk() -> None:
    other = quote("GBPUSD", "1.27000", "1.27002")

    outcome = trade(account(STOP), other, rules=STOP, orderType="market", stopLoss="1.08000")

    assert reason(outcome) in {"no_quote", "stop_loss_required"}


def reached(
    state: Account, order_id: str, at: Quote, rules: Profile, around: Surroundings
) -> Outcome:
    """Have an order worked at a quote that reached it."""
    context = Context(market(at), rules, frozenset({"EURUSD"}), NOW, around=around)
    work = command("work_order", "watch", orderId=order_id, quotes=write_quotes([at]))
    return execute(state, replace(work, received_ns=NOW), context)


def test_a_waiting_order_is_judged_again_when_it_fills() -> None:
    limit = {"orderType": "limit", "price": "1.08000", "quantity": "0.20"}
    first = trade(account(TWO), rules=TWO, **limit)
    second = trade(first.account, rules=TWO, **limit)
    assert (reason(first), reason(second)) == (None, None)
    assert len(second.account.working) == 2
    at = quote("EURUSD", "1.07990", "1.07992", seq=2)

    one, two = second.account.working
    filled = reached(second.account, one, at, TWO, QUIET)
    refused = reached(filled.account, two, at, TWO, QUIET)

    assert filled.account.positions["EURUSD"].size_steps == 20
    assert reason(refused) == "position_size"
    assert refused.account.positions["EURUSD"].size_steps == 20
    assert refused.account.working == {}


def test_an_exit_that_fires_in_the_news_fills_and_is_reported() -> None:
    context = Context(market(EURUSD), NEWS, frozenset({"EURUSD"}), NOW, around=QUIET)
    asked = command(symbol="EURUSD", action="buy", quantity="0.10", bracket={"stopLoss": "1.08000"})
    opened = execute(account(NEWS), asked, context)
    assert reason(opened) is None
    (stop,) = opened.account.working
    at = quote("EURUSD", "1.07990", "1.07992", seq=2)

    fired = reached(opened.account, stop, at, NEWS, Surroundings(news=(RELEASE,)))

    assert reason(fired) is None
    assert fired.account.positions == {}
    assert [violation.rule for violation in fired.violations] == ["news_window"]


def test_orders_count_when_they_are_taken_and_exits_do_not() -> None:
    state = account(STOP)
    opened = trade(state, rules=STOP, bracket={"stopLoss": "1.08000"})
    waiting = trade(
        opened.account, rules=STOP, orderType="limit", price="1.07000", stopLoss="1.06000"
    )
    refused = trade(
        waiting.account, rules=STOP, orderType="limit", price="1.07000", quantity="0.001"
    )

    assert opened.account.tally.orders == 1
    assert (waiting.account.tally.orders, waiting.account.tally.trades) == (2, 1)
    assert reason(refused) is not None
    assert refused.account.tally.orders == 2


def changed(state: Account, rules: Profile, order_id: str, **change: str) -> Outcome:
    context = Context(market(EURUSD), rules, frozenset({"EURUSD"}), NOW, around=QUIET)
    return execute(state, command(action="modify", orderId=order_id, **change), context)


@pytest.mark.parametrize(
    ("rules", "change", "refused"),
    [
        (TWO, {"quantity": "0.21"}, "position_size"),
        (TWO, {"quantity": "0.20"}, None),
        (STOP, {"quantity": "0.11"}, "stop_loss_required"),
        (STOP, {"price": "1.08001"}, "stop_loss_required"),
        (STOP, {"price": "1.07999"}, None),
        (STOP, {"quantity": "0.09"}, None),
    ],
)
def test_a_change_is_judged_like_a_new_order_unless_it_lessens_risk(
    rules: Profile, change: dict[str, str], refused: str | None
) -> None:
    # 0.10 lots lose all the 1,000 that may be lost between 1.08 and 0.98, which has no room left.
    asked = {"orderType": "limit", "price": "1.08000", "stopLoss": "0.98000"}
    placed = trade(account(rules), rules=rules, **asked)
    assert reason(placed) is None
    (order,) = placed.account.working.values()

    outcome = changed(placed.account, rules, order.order_id, **change)

    assert reason(outcome) == refused
    (after,) = outcome.account.working.values()
    assert (after == order) == (refused is not None)
    assert [violation.rule for violation in outcome.violations] == ([refused] if refused else [])


def test_the_stop_of_an_entry_that_works_moves_nearer_but_not_too_far() -> None:
    placed = trade(
        account(STOP), rules=STOP, orderType="limit", price="1.08000",
        bracket={"stopLoss": "1.00000"},
    )  # fmt: skip
    (stop,) = (one for one in placed.account.working.values() if one.order_type == "stop")

    far = changed(placed.account, STOP, stop.order_id, triggerPrice="0.90000")
    near = changed(placed.account, STOP, stop.order_id, triggerPrice="1.07000")

    assert (reason(far), reason(near)) == ("stop_loss_required", None)


@pytest.mark.parametrize(("late_ns", "status"), [(0, "active"), (1, "disabled")])
def test_an_order_after_too_long_a_time_without_one_saves_no_account(
    late_ns: int, status: str
) -> None:
    patient = profile(rule("inactivity", days=3))
    now_ns = NOW + 3 * 86_400 * SECOND_NS + late_ns
    tally = replace(account(patient).tally, opened_ns=NOW - 5, last_order_ns=NOW)
    today = open_day(patient, BALANCE, BALANCE, now_ns)
    state = replace(account(patient), tally=tally, day=today)
    fresh = replace(EURUSD, ts_ns=now_ns)
    context = Context(
        replace(market(fresh), feed_now_ns=now_ns), patient, frozenset({"EURUSD"}), now_ns
    )

    late = execute(state, command(symbol="EURUSD", action="buy", quantity="0.10"), context)

    assert late.account.status == status
    assert reason(late) == ("account_disabled" if late_ns else None)
    assert [one.rule for one in late.violations] == ["inactivity"] * late_ns
    assert len(late.fills) == 1 - late_ns


def test_a_change_outside_trading_hours_is_refused_but_a_smaller_order_is_not() -> None:
    window = {"days": ["wed"], "open": "09:00", "close": "10:00"}
    shut = profile(rule("trading_hours", "soft", reducingOrders="allowed", timeZone="UTC",
                        windows=[window]))  # fmt: skip
    placed = trade(account(), orderType="limit", price="1.08000")
    (order_id,) = placed.account.working

    assert reason(changed(placed.account, shut, order_id, price="1.08100")) == "trading_hours"
    assert reason(changed(placed.account, shut, order_id, quantity="0.05")) is None


@pytest.mark.parametrize(
    ("links", "most"),
    [
        ({"type": "oco", "orders": [
            {"action": "buy", "orderType": "stop", "triggerPrice": "1.09000"},
            {"action": "sell", "orderType": "limit", "price": "1.10000"}]}, 3),
        ({"type": "oto", "orders": [
            {"action": "buy", "orderType": "stop", "triggerPrice": "1.09000"},
            {"action": "sell", "orderType": "limit", "price": "1.10000", "reduceOnly": True}]}, 2),
    ],
)  # fmt: skip
def test_linked_orders_are_orders_of_the_day_and_exits_are_not(
    links: dict[str, Any], most: int
) -> None:
    fewer, enough = (profile(rule("order_limits", "soft", maxOrders=n)) for n in (most - 1, most))
    asked = {"orderType": "limit", "price": "1.07000", "links": links}

    refused = trade(account(fewer), rules=fewer, **asked)
    placed = trade(account(enough), rules=enough, **asked)

    assert reason(refused) == "order_limits"
    assert refused.account.working == {}
    assert reason(placed) is None
    assert placed.account.tally.orders == most
    assert reason(trade(placed.account, rules=enough)) == "order_limits"


def test_the_last_order_of_a_day_may_be_changed_and_fills() -> None:
    one = profile(rule("order_limits", "soft", maxOrders=1))
    placed = trade(account(one), rules=one, orderType="limit", price="1.08000")
    (order_id,) = placed.account.working
    larger = changed(placed.account, one, order_id, quantity="0.20")
    assert reason(larger) is None
    assert reason(trade(larger.account, rules=one)) == "order_limits"
    at = quote("EURUSD", "1.07990", "1.07992", seq=2)

    filled = reached(larger.account, order_id, at, one, QUIET)

    assert filled.account.positions["EURUSD"].size_steps == 20
