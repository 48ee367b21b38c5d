"""Reset, override and a move to other rules, each through the one writer."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.engine_cases import BALANCE, account, command, profile, reason, run, trade, types
from tests.support.life_cases import (
    EVALUATION,
    FIRST,
    FUNDED,
    PAYING,
    TRAIL,
    ask,
    asked_override,
    kind,
    life,
)
from tests.support.rule_cases import percent, rule

from quantlab.engine.commands import ENABLE, MOVE_CONFIG, NOTE, RESET
from quantlab.engine.opening import Start
from quantlab.kernel.check import InvariantBroken
from quantlab.ledger.state import Account
from quantlab.rules.floors import floors


def test_a_reset_ends_the_attempt_and_opens_another_at_the_same_phase() -> None:
    lost = account(FIRST, balance_minor=BALANCE - 600_000, status="disabled", status_reason="x")
    outcome = run(lost, ask(RESET), rules=FIRST, course=EVALUATION)
    assert types(outcome) == ["approval.approved", "account.reset"]
    assert (outcome.account.status, outcome.account.status_reason) == ("closed", "reset")
    opened = life(outcome).opened[0].account
    assert (opened.account_type, opened.balance_minor) == ("first", BALANCE)
    assert [one.cause for one in life(outcome).snapshots] == ["reset"]
    assert outcome.result == {"nextAccountId": opened.account_id}


def test_a_reset_of_what_is_closed_or_not_flat_is_refused() -> None:
    gone = account(FIRST, status="closed", status_reason="left")
    assert reason(run(gone, ask(RESET), rules=FIRST, course=EVALUATION)) == "account_closed"
    order = command(symbol="EURUSD", action="buy", quantity="0.10")
    held = run(account(FIRST), order, rules=FIRST).account
    outcome = run(held, ask(RESET), rules=FIRST, course=EVALUATION)
    assert reason(outcome) == "not_flat"
    assert types(outcome) == ["approval.approved", "approval.refused"]
    assert outcome.account.status == "active"


def disabled(**fields: Any) -> Account:
    return account(FIRST, status="disabled", status_reason="daily_loss", **fields)


def test_an_override_enables_with_its_evidence() -> None:
    outcome = run(disabled(raised=("daily_loss",)), asked_override(), rules=FIRST)
    assert types(outcome) == ["approval.approved", "account.updated"]
    after = outcome.account
    assert (after.status, after.status_reason, after.raised) == ("active", None, ())
    said = outcome.events[-1].payload
    assert (said["evidence"], said["wasDisabledBy"]) == ("ticket 7", "daily_loss")
    assert [one.cause for one in life(outcome).snapshots] == ["override"]


def test_an_override_is_refused_while_the_rule_would_break_again() -> None:
    lost = disabled(balance_minor=BALANCE - 500_001)
    outcome = run(lost, asked_override(), rules=FIRST)
    assert reason(outcome) == "still_in_breach"
    assert outcome.account.status == "disabled"
    mended = run(lost, asked_override(adjustment="0.01"), rules=FIRST)
    assert reason(mended) is None
    booked = life(mended).bookings[0]
    assert (booked.entry.kind, booked.entry.amount_minor) == ("adjustment", 1)
    assert mended.account.balance_minor == booked.entry.balance_minor == BALANCE - 500_000


def test_an_override_takes_a_false_high_water_mark_down_but_not_below_the_balance() -> None:
    trailing = profile(TRAIL)
    lost = account(
        trailing, status="disabled", status_reason="max_drawdown", high_water_minor=BALANCE * 2
    )
    assert reason(run(lost, asked_override(), rules=trailing)) == "still_in_breach"
    for text, mark in (("100000.00", BALANCE), ("0", BALANCE), ("100000.05", BALANCE + 5)):
        outcome = run(lost, asked_override(highWater=text), rules=trailing)
        assert reason(outcome) is None
        assert outcome.account.high_water_minor == mark


def test_an_override_raises_no_mark_of_ended_days_within_the_day() -> None:
    """Won 1,500 today: the floor stays 2,000 under the last day's close until this one's."""
    ends = rule(
        "max_drawdown", mode="trailing", basis="end_of_day_balance", loss={"amount": "2000"},
        comparator="lt",
    )  # fmt: skip
    trailing, won = profile(ends), BALANCE + 150_000
    lost = account(
        trailing, status="disabled", status_reason="news_window", balance_minor=won,
        high_water_minor=BALANCE,
    )  # fmt: skip
    for text in (None, "1.00"):
        outcome = run(lost, asked_override(highWater=text), rules=trailing)
        assert reason(outcome) is None
        assert outcome.account.high_water_minor == BALANCE
        (floor,) = floors(trailing, outcome.account, won)
        assert floor.floor_minor == BALANCE - 200_000


@pytest.mark.parametrize(
    ("status", "expected"), [("active", "not_disabled"), ("closed", "account_closed")]
)
def test_only_what_is_disabled_is_overridden(status: str, expected: str) -> None:
    state = account(FIRST, status=status)
    assert reason(run(state, asked_override(), rules=FIRST)) == expected


def test_one_operator_alone_does_not_enable_what_a_rule_disabled() -> None:
    request = command(ENABLE, "operator", by="user:a")
    assert reason(run(disabled(), request, rules=FIRST)) == "override_needed"
    by_hand = account(FIRST, status="disabled", status_reason="news")
    assert run(by_hand, request, rules=FIRST).account.status == "active"


def test_moving_to_another_version_judges_by_it_at_once() -> None:
    strict = profile(rule("daily_loss", anchor="balance", loss=percent("1"), comparator="lt"))
    course = replace(PAYING, target=Start(kind("paid"), strict))
    request = command(MOVE_CONFIG, "operator", version="d", by="user:a")
    fine = run(account(FUNDED), request, rules=FUNDED, course=course)
    assert types(fine) == ["account.updated"]
    assert fine.account.config_version == "d"
    assert fine.events[0].payload["ruleProfileVersion"] == strict.version
    low = run(
        account(FUNDED, balance_minor=BALANCE - 100_001), request, rules=FUNDED, course=course
    )
    assert types(low)[:3] == ["account.updated", "rule.violation.daily_loss", "account.disabled"]
    again = run(replace(fine.account), request, rules=strict, course=course)
    assert (again.result, again.events) == ({"moved": False}, [])


def test_a_version_without_the_type_or_in_another_currency_is_refused() -> None:
    request = command(MOVE_CONFIG, "operator", version="d", by="user:a")
    euro = replace(kind("paid"), currency="EUR")
    for target in (None, Start(euro, FUNDED)):
        outcome = run(account(FUNDED), request, rules=FUNDED, course=replace(PAYING, target=target))
        assert reason(outcome) == "no_such_type"
        assert outcome.account.config_version == "c"


def test_a_version_that_holds_positions_another_way_takes_a_flat_account() -> None:
    hedged = replace(kind("paid"), trading={"positioning": "hedging"})
    course = replace(PAYING, target=Start(hedged, FUNDED))
    request = command(MOVE_CONFIG, "operator", version="d", by="user:a")
    held = trade(account(FUNDED), rules=FUNDED).account
    outcome = run(held, request, rules=FUNDED, course=course)
    assert reason(outcome) == "not_flat"
    assert "netting to hedging" in str(outcome.rejection)
    assert outcome.account.config_version == "c"
    moved = run(account(FUNDED), request, rules=FUNDED, course=course)
    assert moved.account.config_version == "d"


def test_steps_of_an_approval_are_noted_and_nothing_else_is() -> None:
    step = {"type": "approval.rejected", "payload": {"approvalId": "1"}}
    outcome = run(account(), command(NOTE, "operator", events=[step]))
    assert types(outcome) == ["approval.rejected"]
    forged = command(NOTE, "operator", events=[{"type": "order.filled", "payload": {}}])
    with pytest.raises(InvariantBroken):
        run(account(), forged)
