"""The field's own numbers: one row, one variant, one floor, one equity on either side of it."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.rule_cases import account, instant, minor, percent, profile, rule

from quantlab.rules.day import roll_day
from quantlab.rules.floors import equity_breached, floors
from quantlab.rules.verdicts import judge_equity

NOW = instant("2026-03-10T12:00:00")


def daily(anchor: str, loss: dict[str, str], comparator: str = "lt") -> dict[str, Any]:
    return rule("daily_loss", anchor=anchor, loss=loss, comparator=comparator)


def static(loss: dict[str, str], comparator: str = "lt") -> dict[str, Any]:
    return rule("max_drawdown", mode="static", loss=loss, comparator=comparator)


def trailing(basis: str, loss: dict[str, str], lock: str | None = None) -> dict[str, Any]:
    extra = {} if lock is None else {"lock": {"aboveInitial": lock}}
    return rule("max_drawdown", mode="trailing", basis=basis, loss=loss, comparator="lt", **extra)


FIVE = percent("5")
AMOUNT_2000 = {"amount": "2000"}

# rule, initial, account, floor, highest equity that breaks it
ROWS: dict[str, tuple[dict[str, Any], str, dict[str, str], str, str]] = {
    "DL1 first day uses the initial balance": (
        daily("balance", FIVE), "200,000", {}, "190,000", "189,999.99",
    ),
    "DL1 next day after +4,000": (
        daily("balance", FIVE), "200,000", {"start_balance": "204,000"}, "194,000", "193,999.99",
    ),
    "DL1 does not follow the equity at reset": (
        daily("balance", FIVE),
        "200,000", {"start_balance": "204,000", "start_equity": "191,000"}, "194,000", "193,999.99",
    ),
    "DL2 balance is higher": (
        daily("higher_of_balance_and_equity", percent("5", "anchor")),
        "100,000", {"start_balance": "104,000", "start_equity": "101,000"}, "98,800", "98,799.99",
    ),
    "DL2 equity is higher": (
        daily("higher_of_balance_and_equity", percent("5", "anchor")),
        "100,000", {"start_balance": "100,000", "start_equity": "106,000"}, "100,700", "100,699.99",
    ),
    "DL3 4 % of the balance snapshot": (
        daily("balance", percent("4", "anchor")),
        "100,000", {"start_balance": "105,000"}, "100,800", "100,799.99",
    ),
    "DL4 2.5 % of the equity snapshot": (
        daily("equity", percent("2.5", "anchor")),
        "100,000", {"start_balance": "103,000", "start_equity": "101,000"}, "98,475", "98,474.99",
    ),
    "DL4 a floating loss lowers the next floor": (
        daily("equity", percent("2.5", "anchor")),
        "100,000", {"start_equity": "96,000"}, "93,600", "93,599.99",
    ),
    "DL5 the day's net result, reached": (
        daily("net_result", AMOUNT_2000, "le"),
        "50,000", {"start_balance": "52,000"}, "50,000", "50,000",
    ),
    "DL5 winnings of the day add room": (
        daily("net_result", AMOUNT_2000, "le"),
        "50,000",
        {"start_balance": "52,000", "balance": "53,500", "realised": "1,500"}, "50,000", "50,000",
    ),
    "DL5 a payout of the day is no loss": (
        daily("net_result", AMOUNT_2000, "le"),
        "50,000",
        {"start_balance": "58,000", "balance": "53,100", "realised": "100"}, "51,000", "51,000",
    ),
    "daily loss from the initial balance stands still": (
        daily("initial", {"amount": "1500.50"}),
        "50,000", {"start_balance": "61,000", "start_equity": "63,000"}, "48,499.50", "48,499.49",
    ),
    "MD1 90 % of the initial balance": (
        static(percent("10")), "100,000", {"high_water": "130,000"}, "90,000", "89,999.99",
    ),
    "MD2 before any gain": (
        trailing("end_of_day_balance", AMOUNT_2000, "0"), "50,000", {}, "48,000", "47,999.99",
    ),
    "MD2 +500 at the close": (
        trailing("end_of_day_balance", AMOUNT_2000, "0"),
        "50,000", {"high_water": "50,500"}, "48,500", "48,499.99",
    ),
    "MD2 +2,500 at the close locks at the start": (
        trailing("end_of_day_balance", AMOUNT_2000, "0"),
        "50,000", {"high_water": "52,500"}, "50,000", "49,999.99",
    ),
    "MD2 ignores a balance made today": (
        trailing("end_of_day_balance", AMOUNT_2000, "0"),
        "50,000", {"balance": "51,500", "high_water": "50,500"}, "48,500", "48,499.99",
    ),
    "MD3 never locks": (
        trailing("end_of_day_balance", percent("10")),
        "100,000", {"high_water": "120,000"}, "110,000", "109,999.99",
    ),
    "MD4 follows the unrealised peak": (
        trailing("equity", {"amount": "2500"}, "100"),
        "50,000", {"high_water": "50,400"}, "47,900", "47,899.99",
    ),
    "MD4 caps 100 above the start": (
        trailing("equity", {"amount": "2500"}, "100"),
        "50,000", {"high_water": "60,000"}, "50,100", "50,099.99",
    ),
    "MD5 follows the balance made within the day": (
        trailing("balance", AMOUNT_2000, "0"),
        "50,000", {"balance": "51,000", "high_water": "50,500"}, "49,000", "48,999.99",
    ),
    "MD6 the allowance grows with the mark": (
        trailing("equity", percent("10", "high_water")),
        "100,000", {"high_water": "130,000"}, "117,000", "116,999.99",
    ),
    "MD7 locks 100 above the start": (
        trailing("end_of_day_balance", AMOUNT_2000, "100"),
        "50,000", {"high_water": "53,000"}, "50,100", "50,099.99",
    ),
    "a floor between two cents: below it starts at the upper one": (
        daily("balance", percent("3.3333", "anchor")),
        "100,000", {"start_balance": "100,000.01"}, "96,666.71", "96,666.70",
    ),
    "a floor between two cents: at or below it starts at the lower one": (
        daily("balance", percent("3.3333", "anchor"), "le"),
        "100,000", {"start_balance": "100,000.01"}, "96,666.70", "96,666.70",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("terms", "initial", "state", "floor", "breaking"), ROWS.values(), ids=ROWS.keys()
)
def test_floor_is_the_fields_number(
    terms: dict[str, Any], initial: str, state: dict[str, str], floor: str, breaking: str
) -> None:
    rules = profile(terms, initial=initial)
    subject = account(rules, NOW, **state)

    (found,) = floors(rules, subject, minor(breaking))

    assert found.floor_minor == minor(floor)
    assert found.breach_below_minor == minor(breaking) + 1
    assert found.distance_minor(minor(floor) + 250) == 250
    assert equity_breached(found, minor(breaking))
    assert not equity_breached(found, minor(breaking) + 1)
    assert judge_equity(rules, subject, minor(breaking) + 1, NOW) == ()
    (verdict,) = judge_equity(rules, subject, minor(breaking), NOW)
    assert (verdict.threshold_minor, verdict.value_minor) == (minor(floor), minor(breaking))
    assert verdict.arithmetic.startswith(found.detail)


# before each: end-of-day balances so far; floor in the following day
DAYS: dict[str, tuple[dict[str, Any], str, list[tuple[str, str]]]] = {
    "MD3 closes 104k then 103k": (
        trailing("end_of_day_balance", percent("10")),
        "100,000", [("100,000", "90,000"), ("104,000", "94,000"), ("103,000", "94,000")],
    ),
    "MD2 rises, locks and stays": (
        trailing("end_of_day_balance", AMOUNT_2000, "0"),
        "50,000",
        [("50,500", "48,500"), ("49,900", "48,500"), ("52,500", "50,000"), ("50,300", "50,000")],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("terms", "initial", "closes"), DAYS.values(), ids=DAYS.keys())
def test_end_of_day_floor_moves_at_resets_only(
    terms: dict[str, Any], initial: str, closes: list[tuple[str, str]]
) -> None:
    rules = profile(terms, initial=initial)
    subject = account(rules, NOW)
    for close, floor in closes:
        (before,) = floors(rules, subject, subject.balance_minor)
        subject = replace(subject, balance_minor=minor(close))
        (within,) = floors(rules, subject, minor(close))
        assert within.floor_minor == before.floor_minor
        reset_ns = subject.day.next_reset_ns
        # An open loss at the reset is not part of an end-of-day balance.
        subject = roll_day(subject, rules, minor(close), minor(close) - 77_700, reset_ns)
        (after,) = floors(rules, subject, subject.balance_minor)
        assert after.floor_minor == minor(floor)
