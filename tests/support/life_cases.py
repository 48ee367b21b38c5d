"""Accounts of two phases, and what an operator asks of them, for tests of their life."""

from typing import Any

from quantlab.engine.commands import OVERRIDE, Outcome
from quantlab.engine.life_records import LifeRecords
from quantlab.engine.opening import Course, Start
from quantlab.ledger.state import Account, ClosedDay
from quantlab.rules.terms import Profile
from quantlab.tenancy.config import AccountType
from quantlab.tenancy.programs import PayoutTerms, Phase
from tests.support.engine_cases import BALANCE, account, command, profile
from tests.support.rule_cases import percent, rule

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


def ask(name: str, **payload: Any) -> Any:
    approved = {
        "approvalId": "approval-1", "kind": name, "requestedBy": "user:a", "approvedBy": "user:b",
        "decisionReason": "seen", "reason": "why",
    }  # fmt: skip
    return command(name, "operator", **{**approved, **payload})


# Two days of 200 and 300: the best makes 60 %, so the gate of 50 % is shut; three days open it.
PASSED = (*DAYS, ClosedDay("2026-03-01", 250_000, True))


def asked_override(**fields: Any) -> Any:
    return ask(
        OVERRIDE, **{"evidence": "ticket 7", "adjustment": None, "highWater": None, **fields}
    )
