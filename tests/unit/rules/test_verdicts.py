"""What a verdict says, when it is repeated, and when it is not."""

# ruff: noqa: E501 - one row is one case

import re
from dataclasses import replace
from typing import Any

import pytest
import rfc8785
from tests.support.rule_cases import account, document, instant, minor, percent, profile, rule

from quantlab.kernel.canonical import canonical_json
from quantlab.kernel.check import InvariantBroken
from quantlab.rules.day import roll_day
from quantlab.rules.evidence import gravest_action, raised_after
from quantlab.rules.floors import floors, next_high_water
from quantlab.rules.profile import profile_version
from quantlab.rules.status import rule_status
from quantlab.rules.verdicts import judge_equity

NOW = instant("2026-03-10T12:00:00", "Europe/Prague")


def daily(
    severity: str = "hard", action: str = "", rule_id: str = "", share: str = "5"
) -> dict[str, Any]:
    return rule(
        "daily_loss", severity, action=action, rule_id=rule_id,
        anchor="balance", loss=percent(share), comparator="lt",
    )  # fmt: skip


def trailing(basis: str, amount: str, lock: str) -> dict[str, Any]:
    return rule(
        "max_drawdown", mode="trailing", basis=basis,
        loss={"amount": amount}, lock={"aboveInitial": lock}, comparator="lt",
    )  # fmt: skip


def test_verdict_carries_its_evidence() -> None:
    rules = profile(daily())
    subject = account(rules, NOW, balance="98,000", realised="-2,000")

    (verdict,) = judge_equity(rules, subject, minor("94,999.99"), NOW)

    payload = verdict.as_payload()
    assert payload == {
        "rule": "daily_loss",
        "ruleId": "daily_loss",
        "severity": "hard",
        "action": "disable_account",
        "profileVersion": profile_version(document(daily())),
        "violated": True,
        "at": "2026-03-10T11:00:00.000000Z",
        "inputs": {
            "comparator": "lt",
            "keepPpm": 1_000_000,
            "lossMicroMinor": "500000000000",
            "initialBalance": "100000.00",
            "balance": "98000.00",
            "equity": "94999.99",
            "eventSeq": 7,
            "anchor": "balance",
            "anchorAmount": "100000.00",
            "day": "2026-03-10",
            "balanceAtReset": "100000.00",
            "equityAtReset": "100000.00",
            "dayRealised": "-2000.00",
        },
        "arithmetic": (
            "floor 95,000.00 = balance at reset 100,000.00 - 5 % of 100,000.00;"
            " equity 94,999.99 is below it"
        ),
        "threshold": "95000.00",
        "value": "94999.99",
    }
    assert canonical_json(payload) == rfc8785.dumps(payload)
    assert verdict.event_type == "rule.violation.daily_loss"


def test_overnight_loss_is_legal_until_midnight_and_fails_at_it() -> None:
    rules = profile(daily(), initial="200,000")
    monday = instant("2026-03-09T15:00:00", "Europe/Prague")
    subject = account(rules, monday, balance="204,000", realised="4,000", traded=True)
    equity = minor("191,000")
    last_ns = subject.day.next_reset_ns - 1
    assert judge_equity(rules, subject, equity, last_ns) == ()

    rolled = roll_day(subject, rules, subject.balance_minor, equity, last_ns + 1)
    (verdict,) = judge_equity(rules, rolled, equity, last_ns + 1)

    assert (verdict.threshold_minor, verdict.value_minor) == (minor("194,000"), equity)
    assert verdict.as_payload()["at"] == "2026-03-09T23:00:00.000000Z"


def test_unrealised_peak_raises_the_floor_for_good() -> None:
    rules = profile(trailing("equity", "2500", "100"), initial="50,000")
    flat = account(rules, NOW)
    before = floors(rules, flat, flat.balance_minor)[0].floor_minor
    peak = next_high_water(rules, flat, minor("50,400"), at_day_end=False)

    back_to_flat = replace(flat, high_water_minor=peak)
    (floor,) = floors(rules, back_to_flat, back_to_flat.balance_minor)

    assert back_to_flat.balance_minor == flat.balance_minor
    assert floor.floor_minor - before == minor("400")
    (verdict,) = judge_equity(rules, back_to_flat, minor("47,899.99"), NOW)
    assert verdict.inputs["highWater"] == "50400.00"
    assert verdict.arithmetic == (
        "floor 47,900.00 = the lesser of equity high water 50,400.00 - 2,500.00 and 50,100.00;"
        " equity 47,899.99 is below it"
    )


@pytest.mark.parametrize(
    ("basis", "equity", "balance", "at_day_end", "mark"),
    [
        ("equity", "50,400", "50,200", False, "50,400"),
        ("equity", "49,000", "50,200", True, "50,100"),
        ("balance", "50,400", "50,200", False, "50,200"),
        ("balance", "50,400", "49,000", False, "50,100"),
        ("end_of_day_balance", "50,400", "50,200", False, "50,100"),
        ("end_of_day_balance", "50,400", "50,200", True, "50,200"),
    ],
)
def test_high_water_follows_its_basis(
    basis: str, equity: str, balance: str, at_day_end: bool, mark: str
) -> None:
    rules = profile(trailing(basis, "2500", "100"), initial="50,000")
    subject = account(rules, NOW, balance=balance, high_water="50,100")

    assert next_high_water(rules, subject, minor(equity), at_day_end=at_day_end) == minor(mark)


def test_high_water_stays_without_a_trailing_rule() -> None:
    rules = profile(daily())
    subject = account(rules, NOW, high_water="100,000")

    assert next_high_water(rules, subject, minor("140,000"), at_day_end=True) == minor("100,000")


# severity, action, status, raised -> reported again
REPEATS = {
    "hard is reported at first": ("hard", "disable_account", "active", (), True),
    "hard is reported while the account lives": ("hard", "disable_account", "active", ("daily_loss",), True),
    "hard is reported while locked": ("hard", "disable_account", "locked", ("daily_loss",), True),
    "nothing is left to judge when disabled": ("hard", "disable_account", "disabled", (), False),
    "nothing is left to judge when closed": ("hard", "disable_account", "closed", (), False),
    "a lock at first": ("soft", "lock_until_reset", "active", (), True),
    "a lock that holds": ("soft", "lock_until_reset", "locked", ("daily_loss",), False),
    "a lock of another cause": ("soft", "lock_until_reset", "locked", (), True),
    "a lock lifted by hand": ("soft", "lock_until_reset", "active", ("daily_loss",), True),
    "an order block at first": ("soft", "reject_orders", "active", (), True),
    "an order block that holds": ("soft", "reject_orders", "active", ("daily_loss",), False),
    "a warning at first": ("warn", "warn", "active", (), True),
    "a warning given": ("warn", "warn", "active", ("daily_loss",), False),
}  # fmt: skip


@pytest.mark.parametrize(
    ("severity", "action", "status", "raised", "reported"), REPEATS.values(), ids=REPEATS.keys()
)
def test_repetition(
    severity: str, action: str, status: str, raised: tuple[str, ...], reported: bool
) -> None:
    rules = profile(daily(severity, action))
    subject = account(rules, NOW, status=status, raised=raised)

    verdicts = judge_equity(rules, subject, minor("94,000"), NOW)

    assert [verdict.action for verdict in verdicts] == ([action] if reported else [])
    assert all(verdict.violated == (severity != "warn") for verdict in verdicts)


def test_grades_of_one_rule_break_one_after_another() -> None:
    rules = profile(
        daily("warn", "warn", "at_4", "4"), daily("soft", "", "at_45", "4.5"), daily(share="5")
    )
    subject = account(rules, NOW)

    (warning,) = judge_equity(rules, subject, minor("95,900"), NOW)
    all_three = judge_equity(rules, subject, minor("94,000"), NOW)

    assert warning.event_type == "rule.warning.daily_loss"
    assert [verdict.rule_id for verdict in all_three] == ["at_4", "at_45", "daily_loss"]
    assert gravest_action(all_three) == "disable_account"
    assert gravest_action(all_three[:2]) == "lock_until_reset"
    assert gravest_action(()) is None
    once = replace(subject, raised=raised_after(subject, [warning]))
    assert raised_after(once, all_three) == ("at_4", "at_45", "daily_loss")


def test_status_lists_every_rule_in_the_profiles_order() -> None:
    rules = profile(
        rule("instrument_allowlist", "soft", symbols=["ES", "NQ"], reducingOrders="allowed"),
        daily("warn", "warn", "early", "2"),
        daily(),
        trailing("equity", "10000", "0"),
    )
    subject = account(rules, NOW, high_water="104,000", raised=("early",))

    states = rule_status(rules, subject, minor("96,000"), NOW)

    assert [(s.rule_id, s.state, s.as_payload()["floor"], s.as_payload()["distance"]) for s in states] == [
        ("instrument_allowlist", "ok", None, None),
        ("early", "warned", "98000.00", "-2000.00"),
        ("daily_loss", "ok", "95000.00", "1000.00"),
        ("max_drawdown", "ok", "94000.00", "2000.00"),
    ]  # fmt: skip
    recovered = rule_status(rules, subject, minor("99,000"), NOW)
    assert [state.state for state in recovered] == ["ok", "warned", "ok", "ok"]
    broken = rule_status(rules, subject, minor("93,999.99"), NOW)
    assert [state.state for state in broken] == ["ok", "warned", "violated", "violated"]


def test_judging_before_the_day_is_rolled_is_a_bug() -> None:
    rules = profile(daily())
    subject = account(rules, NOW)

    assert judge_equity(rules, subject, minor("96,000"), subject.day.next_reset_ns - 1) == ()
    with pytest.raises(InvariantBroken, match="rolled"):
        judge_equity(rules, subject, minor("96,000"), subject.day.next_reset_ns)


@pytest.mark.parametrize("change", [{"initial_balance_minor": 1}, {"currency_digits": 0}])
def test_a_profile_of_another_account_is_a_bug(change: dict[str, int]) -> None:
    rules = profile(daily())
    subject = replace(account(rules, NOW), **change)

    for judge in (judge_equity, rule_status):
        with pytest.raises(InvariantBroken, match="resolved for"):
            judge(rules, subject, minor("96,000"), NOW)
    with pytest.raises(InvariantBroken, match="resolved for"):
        floors(rules, subject, minor("96,000"))


def test_evidence_survives_amounts_beyond_json_integers() -> None:
    rules = profile(daily())
    subject = replace(account(rules, NOW), balance_minor=1 << 61)

    (verdict,) = judge_equity(rules, subject, -(1 << 61), NOW)

    assert re.search(rb'"equity":"-23058430092136939\.52"', canonical_json(verdict.as_payload()))
