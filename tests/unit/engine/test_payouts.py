"""Payouts: the money that leaves, the gates before it, and the days that count."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.engine_cases import BALANCE, command, profile, reason, run, types
from tests.support.life_cases import DAYS, FUNDED, PAYING, TRAIL, ask, earned, kind, life

from quantlab.engine.commands import CHECK_RULES, PAY_OUT, Outcome
from quantlab.engine.opening import Course, Start
from quantlab.ledger.state import Account, ClosedDay, Tally
from quantlab.tenancy.programs import PayoutTerms

EASY = Course(Start(kind("paid", PayoutTerms(800_000, 0, 0, None, 0)), FUNDED))


def pay(state: Account, amount: str = "1000.00", **fields: Any) -> Outcome:
    payload: dict[str, Any] = {"amount": amount, "splitPpm": 800_000, "sinceDate": None}
    rules = fields.pop("rules", FUNDED)
    course = fields.pop("course", PAYING)
    return run(state, ask(PAY_OUT, **{**payload, **fields}), rules=rules, course=course)


def test_a_payout_leaves_the_account_by_ledger_and_splits_to_the_trader() -> None:
    outcome = pay(earned(), "1000.01")
    assert reason(outcome) is None
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
    assert reason(outcome) is None
    assert outcome.account.carry_micro == 499_999
    request = command(CHECK_RULES, "schedule", checkpoint="now")
    assert types(run(outcome.account, request, rules=FUNDED)) == []


def test_a_payout_never_leaves_the_account_below_a_floor() -> None:
    trailing = profile(TRAIL)
    state = earned(trailing, high_water_minor=BALANCE + 500_000)
    outcome = pay(state, "4000.01", rules=trailing)
    assert reason(outcome) == "payout_gates"
    assert outcome.rejection is not None
    assert "floor:max_drawdown" in outcome.rejection.detail
    fits = pay(state, "4000.00", rules=trailing)
    assert reason(fits) is None
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
    assert reason(outcome) == "payout_gates"
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
    assert reason(pay(earned(), course=Course(Start(kind("paid"), FUNDED)))) == "payout_gates"
    assert reason(pay(earned(), course=None)) == "payout_gates"
    assert reason(pay(earned(), splitPpm=900_000)) == "terms_changed"


def test_days_before_the_last_payout_count_for_nothing() -> None:
    days = (ClosedDay("2026-03-01", 9_000_000, True), *DAYS)
    paid = Tally(payouts=1, payout_date="2026-03-01", payout_day_minor=9_000_000)
    outcome = pay(earned(closed_days=days, tally=paid), "1.00", sinceDate="2026-03-01")
    assert reason(outcome) is None
    all_of_them = pay(earned(closed_days=days), "1.00")
    assert all_of_them.rejection is not None
    assert "consistency" in all_of_them.rejection.detail


@pytest.mark.parametrize(("won", "gate"), [(450_000, ""), (750_000, ""), (750_001, "consistency")])
def test_what_the_day_of_a_payout_wins_after_it_counts_for_the_next(won: int, gate: str) -> None:
    """Two days of 200 and 300 follow: 60 % of the whole is the most that day may have made."""
    state = earned(balance_minor=BALANCE + 500_000 + won, closed_days=())
    paid = pay(state, "100.00", course=EASY).account
    assert paid.tally.payouts == 1
    first = paid.day.date
    traded = replace(paid, day=replace(paid.day, realised_minor=won, traded=True))
    open_still = pay(traded, "1.00", sinceDate=first)
    assert "consistency" in str(open_still.rejection), "one day makes 100 %"
    later = replace(
        traded,
        closed_days=(
            ClosedDay(first, won, True),
            ClosedDay("2026-03-05", 200_000, True),
            ClosedDay("2026-03-06", 300_000, True),
        ),
        day=replace(traded.day, date="2026-03-07", realised_minor=0, traded=False),
        tally=replace(traded.tally, payout_day_traded=True),
    )
    outcome = pay(later, "1.00", sinceDate=first)
    assert reason(outcome) == ("payout_gates" if gate else None)
    assert gate in str(outcome.rejection)
