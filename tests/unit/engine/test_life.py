"""Promotion, reset, payout, override and a move to other rules, each through the one writer."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from tests.support.engine_cases import ACCOUNT_ID, BALANCE, account, command, profile, run, trade
from tests.support.rule_cases import percent, rule

from quantlab.engine.commands import (
    CHECK_RULES,
    DISABLE,
    ENABLE,
    MOVE_CONFIG,
    NOTE,
    OVERRIDE,
    PAY_OUT,
    RESET,
    ROLL_DAY,
    Outcome,
)
from quantlab.engine.life_records import LifeRecords
from quantlab.engine.opening import Course, Start
from quantlab.kernel.canonical import canonical_json
from quantlab.kernel.check import InvariantBroken
from quantlab.ledger.state import Account, ClosedDay
from quantlab.rules.terms import Profile
from quantlab.tenancy.config import AccountType
from quantlab.tenancy.programs import PayoutTerms, Phase

GATE = rule(
    "consistency", "gate", maxSharePercent="50", comparator="gt", openDayCounts=False,
    total="net", minimumDays=2,
)  # fmt: skip
LOSS = rule("daily_loss", anchor="balance", loss=percent("5"), comparator="lt")
TRAIL = rule(
    "max_drawdown", mode="trailing", basis="balance", loss={"amount": "4000"}, comparator="lt"
)
FIRST, FUNDED = profile(LOSS, GATE), profile(LOSS)
TERMS = PayoutTerms(800_000, 100_000, 2, 600_000, 50_000)
DAYS = (ClosedDay("2026-03-02", 200_000, True), ClosedDay("2026-03-03", 300_000, True))


def kind(type_id: str, payouts: PayoutTerms | None = None, after: str | None = None) -> AccountType:
    phase = Phase("steps", "Steps", type_id, type_id, "funded", after, payouts)
    return AccountType(
        type_id, type_id, "USD", 2, BALANCE, "p", "v", {}, ("EURUSD",), 90, phase
    )  # fmt: skip


EVALUATION = Course(Start(kind("first", after="second"), FIRST), Start(kind("second"), FUNDED))
PAYING = Course(Start(kind("paid", TERMS), FUNDED))


def earned(rules: Profile = FUNDED, **fields: Any) -> Account:
    """An account with 5,000.00 of profit on two days."""
    made = {"balance_minor": BALANCE + 500_000, "closed_days": DAYS, **fields}
    return account(rules, **made)


def life(outcome: Outcome) -> LifeRecords:
    assert outcome.life is not None
    return outcome.life


def types(outcome: Outcome) -> list[str]:
    return [event.event_type for event in outcome.events]


def refusal(outcome: Outcome) -> str | None:
    return None if outcome.rejection is None else str(outcome.rejection.reason)


def ask(name: str, **payload: Any) -> Any:
    approved = {
        "approvalId": "approval-1", "kind": name, "requestedBy": "user:a", "approvedBy": "user:b",
        "decisionReason": "seen", "reason": "why",
    }  # fmt: skip
    return command(name, "operator", **{**approved, **payload})


def pay(state: Account, amount: str = "1000.00", **fields: Any) -> Outcome:
    payload: dict[str, Any] = {"amount": amount, "splitPpm": 800_000, "sinceDate": None}
    rules = fields.pop("rules", FUNDED)
    course = fields.pop("course", PAYING)
    return run(state, ask(PAY_OUT, **{**payload, **fields}), rules=rules, course=course)


def check(state: Account, course: Course | None = EVALUATION, **more: Any) -> Outcome:
    request = command(CHECK_RULES, "schedule", checkpoint="now")
    return run(state, request, rules=FIRST, course=course, **more)


# Two days of 200 and 300: the best makes 60 %, so the gate of 50 % is shut; three days open it.
PASSED = (*DAYS, ClosedDay("2026-03-01", 250_000, True))


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
    assert refusal(late) == "account_closed"
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


def test_a_payout_leaves_the_account_by_ledger_and_splits_to_the_trader() -> None:
    outcome = pay(earned(), "1000.01")
    assert refusal(outcome) is None
    assert types(outcome) == ["approval.approved", "payout.approved", "payout.paid"]
    after = outcome.account
    assert after.balance_minor == BALANCE + 500_000 - 100_001
    booked = life(outcome).bookings[0]
    assert (booked.entry.kind, booked.entry.amount_minor) == ("payout", -100_001)
    assert booked.entry.balance_minor == after.balance_minor
    assert booked.event_seq == outcome.events[-1].seq == after.event_seq
    paid = life(outcome).payouts[0]
    assert (paid.trader_minor, paid.firm_minor) == (80_000, 20_001)  # 80,000.8 rounds down
    assert (paid.date, paid.event_seq) == (after.day.date, booked.event_seq)
    assert [(end.state, end.reason) for end in life(outcome).approval_ends] == [("executed", None)]
    assert [event.seq for event in outcome.events] == [2, 3, 4]


def test_a_payout_is_no_loss_of_the_day_and_keeps_the_carry() -> None:
    state = earned(carry_micro=499_999)
    state = replace(state, day=replace(state.day, start_balance_minor=state.balance_minor))
    outcome = pay(state, "4500.00")
    assert refusal(outcome) is None
    assert outcome.account.carry_micro == 499_999
    request = command(CHECK_RULES, "schedule", checkpoint="now")
    assert types(run(outcome.account, request, rules=FUNDED)) == []


def test_a_payout_never_leaves_the_account_below_a_floor() -> None:
    trailing = profile(TRAIL)
    state = earned(trailing, high_water_minor=BALANCE + 500_000)
    outcome = pay(state, "4000.01", rules=trailing)
    assert refusal(outcome) == "payout_gates"
    assert outcome.rejection is not None
    assert "floor:max_drawdown" in outcome.rejection.detail
    fits = pay(state, "4000.00", rules=trailing)
    assert refusal(fits) is None
    assert fits.account.high_water_minor == BALANCE + 500_000
    request = command(CHECK_RULES, "schedule", checkpoint="now")
    assert run(fits.account, request, rules=trailing).account.status == "active"


@pytest.mark.parametrize(
    ("fields", "amount", "asked", "gate"),
    [
        ({}, "4500.01", {}, "amount"),  # 5,000 of profit less the buffer of 500
        ({}, "0.00", {}, "amount"),
        ({"balance_minor": BALANCE + 99_999}, "1.00", {}, "minimum_profit"),
        ({"balance_minor": BALANCE - 1}, "1.00", {}, "minimum_profit"),
        ({"closed_days": DAYS[:1]}, "1.00", {}, "minimum_days"),
        ({}, "1.00", {"sinceDate": "2026-03-02"}, "minimum_days"),
        ({"closed_days": (DAYS[0], ClosedDay("2026-03-03", 300_001, True))}, "1.00", {},
         "consistency"),
        ({"status": "locked", "status_reason": "x"}, "1.00", {}, "account_active"),
        ({"status": "disabled", "status_reason": "x"}, "1.00", {}, "account_active"),
        ({"status": "closed", "status_reason": "x"}, "1.00", {}, "account_active"),
    ],
)  # fmt: skip
def test_each_gate_shuts_by_itself(
    fields: dict[str, Any], amount: str, asked: dict[str, Any], gate: str
) -> None:
    outcome = pay(earned(**fields), amount, **asked)
    assert refusal(outcome) == "payout_gates"
    assert outcome.rejection is not None
    assert f"{gate}: " in outcome.rejection.detail
    assert outcome.account.balance_minor == fields.get("balance_minor", BALANCE + 500_000)
    assert types(outcome)[-1] == "payout.rejected"
    records = life(outcome)
    assert (records.payouts, records.bookings, records.snapshots) == ([], [], [])
    assert [end.state for end in records.approval_ends] == ["refused"]


def test_a_position_shuts_the_gate() -> None:
    order = command(symbol="EURUSD", action="buy", quantity="0.10")
    held = run(earned(), order, rules=FUNDED).account
    outcome = pay(held, "1.00")
    assert outcome.rejection is not None
    assert "flat: 1 open" in outcome.rejection.detail


def test_no_payout_where_the_phase_has_none_or_its_split_has_changed() -> None:
    assert refusal(pay(earned(), course=Course(Start(kind("paid"), FUNDED)))) == "payout_gates"
    assert refusal(pay(earned(), course=None)) == "payout_gates"
    assert refusal(pay(earned(), splitPpm=900_000)) == "terms_changed"


def test_days_before_the_last_payout_count_for_nothing() -> None:
    days = (*DAYS, ClosedDay("2026-03-01", 9_000_000, True))
    outcome = pay(earned(closed_days=days), "1.00", sinceDate="2026-03-01")
    assert refusal(outcome) is None
    all_of_them = pay(earned(closed_days=days), "1.00")
    assert all_of_them.rejection is not None
    assert "consistency" in all_of_them.rejection.detail


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
    assert refusal(run(gone, ask(RESET), rules=FIRST, course=EVALUATION)) == "account_closed"
    order = command(symbol="EURUSD", action="buy", quantity="0.10")
    held = run(account(FIRST), order, rules=FIRST).account
    outcome = run(held, ask(RESET), rules=FIRST, course=EVALUATION)
    assert refusal(outcome) == "not_flat"
    assert types(outcome) == ["approval.approved", "approval.refused"]
    assert outcome.account.status == "active"


def asked_override(**fields: Any) -> Any:
    return ask(
        OVERRIDE, **{"evidence": "ticket 7", "adjustment": None, "highWater": None, **fields}
    )


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
    assert refusal(outcome) == "still_in_breach"
    assert outcome.account.status == "disabled"
    mended = run(lost, asked_override(adjustment="0.01"), rules=FIRST)
    assert refusal(mended) is None
    booked = life(mended).bookings[0]
    assert (booked.entry.kind, booked.entry.amount_minor) == ("adjustment", 1)
    assert mended.account.balance_minor == booked.entry.balance_minor == BALANCE - 500_000


def test_an_override_takes_a_false_high_water_mark_down_but_not_below_the_balance() -> None:
    trailing = profile(TRAIL)
    lost = account(
        trailing, status="disabled", status_reason="max_drawdown", high_water_minor=BALANCE * 2
    )
    assert refusal(run(lost, asked_override(), rules=trailing)) == "still_in_breach"
    for text, mark in (("100000.00", BALANCE), ("1.00", BALANCE), ("100000.05", BALANCE + 5)):
        outcome = run(lost, asked_override(highWater=text), rules=trailing)
        assert refusal(outcome) is None
        assert outcome.account.high_water_minor == mark


@pytest.mark.parametrize(
    ("status", "expected"), [("active", "not_disabled"), ("closed", "account_closed")]
)
def test_only_what_is_disabled_is_overridden(status: str, expected: str) -> None:
    state = account(FIRST, status=status)
    assert refusal(run(state, asked_override(), rules=FIRST)) == expected


def test_one_operator_alone_does_not_enable_what_a_rule_disabled() -> None:
    request = command(ENABLE, "operator", by="user:a")
    assert refusal(run(disabled(), request, rules=FIRST)) == "override_needed"
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
        assert refusal(outcome) == "no_such_type"
        assert outcome.account.config_version == "c"


def test_a_version_that_holds_positions_another_way_takes_a_flat_account() -> None:
    hedged = replace(kind("paid"), trading={"positioning": "hedging"})
    course = replace(PAYING, target=Start(hedged, FUNDED))
    request = command(MOVE_CONFIG, "operator", version="d", by="user:a")
    held = trade(account(FUNDED), rules=FUNDED).account
    outcome = run(held, request, rules=FUNDED, course=course)
    assert refusal(outcome) == "not_flat"
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
