"""Promotion to the next phase, and the snapshot that a decision leaves."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from tests.support.engine_cases import ACCOUNT_ID, BALANCE, account, command, reason, run, types
from tests.support.life_cases import DAYS, EVALUATION, FIRST, FUNDED, PASSED, earned, life

from quantlab.engine.commands import CHECK_RULES, DISABLE, ROLL_DAY, Outcome
from quantlab.engine.opening import Course, Start
from quantlab.kernel.canonical import canonical_json
from quantlab.ledger.state import Account


def check(state: Account, course: Course | None = EVALUATION, **more: Any) -> Outcome:
    request = command(CHECK_RULES, "schedule", checkpoint="now")
    return run(state, request, rules=FIRST, course=course, **more)


def test_all_goals_met_and_flat_opens_the_next_phase_as_a_new_account() -> None:
    outcome = check(earned(FIRST, closed_days=PASSED))
    assert types(outcome) == ["account.promoted"]
    assert (outcome.account.status, outcome.account.status_reason) == ("closed", "promoted")
    assert outcome.account.balance_minor == BALANCE + 500_000  # history stays as it was
    opened = life(outcome).opened[0]
    assert opened.previous_account_id == ACCOUNT_ID
    new = opened.account
    assert (new.account_type, new.status, new.event_seq) == ("second", "active", 1)
    assert (new.balance_minor, new.high_water_minor, new.closed_days) == (BALANCE, BALANCE, ())
    assert (new.config_version, new.day.realised_minor) == ("c", 0)
    said = outcome.events[0].payload
    assert (said["fromPhase"], said["toPhase"]) == ("first", "second")
    assert said["nextAccountId"] == new.account_id != ACCOUNT_ID
    assert opened.payload["previousAccountId"] == ACCOUNT_ID


def test_a_repeated_decision_names_the_same_account() -> None:
    one, two = (check(earned(FIRST, closed_days=PASSED)) for _ in range(2))
    assert life(one) == life(two)


@pytest.mark.parametrize(
    ("fields", "course"),
    [
        ({"closed_days": DAYS}, EVALUATION),  # a goal is not met
        ({"closed_days": ()}, EVALUATION),
        ({"closed_days": PASSED}, Course(EVALUATION.start)),  # no phase follows
        ({"closed_days": PASSED}, None),
        ({"closed_days": PASSED, "status": "disabled", "status_reason": "x"}, EVALUATION),
        ({"closed_days": PASSED, "status": "locked", "status_reason": "x"}, EVALUATION),
        ({"closed_days": PASSED, "status": "closed", "status_reason": "x"}, EVALUATION),
    ],
)
def test_nothing_less_promotes(fields: dict[str, Any], course: Course | None) -> None:
    outcome = check(earned(FIRST, **fields), course)
    assert outcome.life is None
    assert "account.promoted" not in types(outcome)


def test_a_profile_without_goals_never_promotes() -> None:
    request = command(CHECK_RULES, "schedule", checkpoint="now")
    course = replace(EVALUATION, start=Start(EVALUATION.start.kind, FUNDED))
    assert run(earned(), request, rules=FUNDED, course=course).life is None


def test_an_open_position_waits_and_its_close_promotes() -> None:
    state = earned(FIRST, closed_days=PASSED)
    bought = run(
        replace(state, closed_days=()), command(symbol="EURUSD", action="buy", quantity="0.10"),
        rules=FIRST, course=EVALUATION,
    )  # fmt: skip
    held = replace(bought.account, closed_days=PASSED)
    assert check(held).life is None
    closing = command(symbol="EURUSD", action="close")
    closed = run(held, closing, rules=FIRST, course=EVALUATION)
    assert "account.promoted" in types(closed)
    assert types(closed)[-1] == "webhook.trade_executed"
    assert life(closed).opened


def test_the_end_of_a_day_promotes_before_a_late_signal_trades() -> None:
    state = earned(FIRST, closed_days=PASSED[:2])
    day = replace(state.day, realised_minor=250_000, traded=True)
    state = replace(state, day=day)
    later = day.next_reset_ns + 1
    rolled = run(state, command(ROLL_DAY, "schedule"), rules=FIRST, course=EVALUATION, now_ns=later)
    assert types(rolled) == ["account.day_rolled", "account.promoted"]
    order = command(symbol="EURUSD", action="buy", quantity="0.10")
    late = run(state, order, rules=FIRST, course=EVALUATION, now_ns=later)
    assert reason(late) == "account_closed"
    assert life(late).opened


def test_a_snapshot_can_be_computed_again_and_its_digest_is_in_the_event() -> None:
    outcome = check(earned(FIRST, closed_days=PASSED))
    taken = life(outcome).snapshots[0]
    assert (taken.cause, taken.event_seq) == ("promoted", outcome.events[0].seq)
    assert taken.digest == hashlib.sha256(canonical_json(taken.document)).hexdigest()
    assert outcome.events[0].payload["snapshotDigest"] == taken.digest
    figures = taken.document["statistics"]
    assert isinstance(figures, dict)
    assert figures["profitMinor"] == "500000"
    assert figures["returnPpm"] == 50_000
    assert (figures["tradingDays"], figures["bestDayMinor"]) == (3, "300000")
    assert (figures["firstDay"], figures["worstDayMinor"]) == ("2026-03-01", "200000")
    assert [rule["rule"] for rule in taken.document["rules"]] == ["daily_loss", "consistency"]  # type: ignore[union-attr, index, call-overload]


def test_a_breach_leaves_a_snapshot_once_and_an_operator_none() -> None:
    broken = account(FIRST, balance_minor=BALANCE - 500_001)
    outcome = check(broken)
    assert types(outcome) == [
        "rule.violation.daily_loss", "account.disabled", "account.snapshot_taken",
    ]  # fmt: skip
    assert [one.cause for one in life(outcome).snapshots] == ["breach"]
    assert check(outcome.account).life is None
    by_hand = command(DISABLE, "operator", reason="news", by="user:a")
    assert run(account(FIRST), by_hand, rules=FIRST, course=EVALUATION).life is None
