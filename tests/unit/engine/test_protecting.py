"""Where a stop-loss is required, the stop that protects a position stays and stays near."""

from typing import Any

import pytest
from tests.support.engine_cases import EURUSD, account, command, profile, reason, run, trade
from tests.support.rule_cases import rule

from quantlab.engine.commands import Outcome
from quantlab.ledger.orders import Order
from quantlab.ledger.state import Account
from quantlab.rules.terms import Profile

# 1,000.00 may be lost: 0.10 lots from 1.08125 lose it at 0.98125.
RISK = profile(rule("stop_loss_required", "soft", maxRisk={"percent": "1", "of": "initial"}))
ANY = profile(rule("stop_loss_required", "soft"))
WARN = profile(rule("stop_loss_required", "warn"))
FREE = profile()


def protected(rules: Profile, **exits: str) -> Account:
    asked = exits or {"stopLoss": "1.07000"}
    outcome = trade(account(rules), rules=rules, bracket=asked)
    assert reason(outcome) is None
    return outcome.account


def stop_of(state: Account) -> Order:
    (stop,) = (one for one in state.working.values() if one.order_type in ("stop", "trailing_stop"))
    return stop


def change(state: Account, rules: Profile, **fields: Any) -> Outcome:
    return run(state, command(action="modify", orderId=stop_of(state).order_id, **fields),
               rules=rules)  # fmt: skip


@pytest.mark.parametrize(("rules", "refused"), [(RISK, True), (ANY, True), (WARN, False),
                                                (FREE, False)])  # fmt: skip
def test_the_stop_of_an_open_position_is_not_cancelled(rules: Profile, refused: bool) -> None:
    state = protected(rules)
    outcome = run(state, command(action="cancel", orderId=stop_of(state).order_id), rules=rules)
    assert reason(outcome) == ("stop_loss_required" if refused else None)
    assert (stop_of(state).order_id in outcome.account.working) == refused
    if refused:
        assert outcome.rejection is not None
        assert "0.1 lots, 0.1 would be without one" in outcome.rejection.detail
        assert [one.rule for one in outcome.violations] == ["stop_loss_required"]


def test_without_the_position_or_beside_another_stop_it_may_go() -> None:
    state = protected(ANY)
    spare = {"orderType": "stop", "action": "sell", "triggerPrice": "1.06000", "reduceOnly": True}
    two = trade(state, rules=ANY, **spare).account
    assert len(two.working) == 2
    first = stop_of(state).order_id
    assert reason(run(two, command(action="cancel", orderId=first), rules=ANY)) is None
    closed = trade(state, rules=ANY, action="close", quantity=None)
    assert reason(closed) is None
    assert closed.account.working == {}
    waiting = trade(account(ANY), rules=ANY, orderType="limit", price="1.05000",
                    bracket={"stopLoss": "1.04000"}).account  # fmt: skip
    outcome = run(waiting, command(action="cancel", orderId=stop_of(waiting).order_id), rules=ANY)
    assert reason(outcome) is None


@pytest.mark.parametrize(
    ("rules", "fields", "refused"),
    [
        (RISK, {"triggerPrice": "0.98125"}, False),
        (RISK, {"triggerPrice": "0.98124"}, True),
        (RISK, {"triggerPrice": "1.08000"}, False),
        (RISK, {"quantity": "0.09"}, True),
        (ANY, {"triggerPrice": "0.50000"}, False),
        (ANY, {"quantity": "0.09"}, True),
        (WARN, {"quantity": "0.09"}, False),
        (FREE, {"triggerPrice": "0.50000"}, False),
    ],
)
def test_it_moves_as_far_as_the_rule_allows(
    rules: Profile, fields: dict[str, str], refused: bool
) -> None:
    state = protected(rules)
    outcome = change(state, rules, **fields)
    assert reason(outcome) == ("stop_loss_required" if refused else None)
    assert (stop_of(outcome.account) == stop_of(state)) == refused
    if refused and "triggerPrice" in fields:
        assert outcome.rejection is not None
        assert "1,000.00; the order loses 1,000.10" in outcome.rejection.detail
        measured = outcome.violations[0].verdict
        assert (measured["threshold"], measured["value"]) == ("1,000.00", "1,000.10")


@pytest.mark.parametrize(("distance", "refused"), [("0.09998", False), ("0.10100", True)])
def test_a_trail_is_widened_as_far_as_the_rule_allows(distance: str, refused: bool) -> None:
    state = protected(FREE, trailDistance="0.01000")
    outcome = change(state, RISK, trailDistance=distance)
    assert reason(outcome) == ("stop_loss_required" if refused else None)


def test_cancelling_all_keeps_the_stop_and_says_so() -> None:
    state = protected(ANY, stopLoss="1.07000", takeProfit="1.09000")
    stop = next(one for one in state.working.values() if one.order_type == "stop")
    outcome = run(state, command(action="cancel_all"), rules=ANY)
    assert reason(outcome) is None
    assert list(outcome.account.working) == [stop.order_id]
    assert outcome.result["keptOrderIds"] == [stop.order_id]
    again = run(outcome.account, command(action="cancel_all"), rules=ANY)
    assert reason(again) == "stop_loss_required"
    assert list(again.account.working) == [stop.order_id]


def test_an_added_order_does_not_carry_the_stop_of_the_rest_too_far() -> None:
    state = trade(account(RISK), rules=RISK, stopLoss="1.00000").account
    little = {"quantity": "0.01", "rules": RISK}
    near = trade(state, stopLoss="0.99500", **little)
    far = trade(state, stopLoss="0.99000", **little)
    assert (reason(near), reason(far)) == (None, "stop_loss_required")
    assert far.account.positions["EURUSD"].stop_loss_ticks == 100_000
    assert EURUSD.ask_ticks == 108_125
