"""Which orders the hours and the allowlist take: one row, one case."""

# ruff: noqa: E501 - one row is one case

from typing import Any

import pytest
from tests.support.rule_cases import account, instant, percent, profile, rule

from quantlab.rules.status import rule_status
from quantlab.rules.verdicts import judge_order, order_warnings

WEEKDAYS = ["mon", "tue", "wed", "thu", "fri"]
FUTURES = [{"days": ["sun", "mon", "tue", "wed", "thu"], "open": "17:00", "close": "15:10"}]
SHARES = [{"days": WEEKDAYS, "open": "09:30", "close": "16:00"}]
ALWAYS = [{"days": [*WEEKDAYS, "sat", "sun"], "open": "00:00", "close": "00:00"}]
NIGHT = [
    {"days": ["sat"], "open": "02:30", "close": "05:00"},
    {"days": ["sun"], "open": "02:30", "close": "05:00"},
]
UNTIL_0130 = [{"days": ["sat"], "open": "22:00", "close": "01:30"}]

# windows, zone, local time (in UTC where the zone's clock is ambiguous), taken
HOURS = {
    "before the open": (SHARES, "America/New_York", "2026-03-10T13:29:59", False),
    "at the open": (SHARES, "America/New_York", "2026-03-10T13:30:00", True),
    "before the close": (SHARES, "America/New_York", "2026-03-10T19:59:59", True),
    "at the close": (SHARES, "America/New_York", "2026-03-10T20:00:00", False),
    "at the open in winter": (SHARES, "America/New_York", "2026-01-06T14:30:00", True),
    "summer's open in winter": (SHARES, "America/New_York", "2026-01-06T13:30:00", False),
    "on a Saturday": (SHARES, "America/New_York", "2026-03-14T15:00:00", False),
    "Sunday evening of Monday's session": (FUTURES, "America/Chicago", "2026-03-08T22:00:00", True),
    "Sunday before the session": (FUTURES, "America/Chicago", "2026-03-08T21:59:59", False),
    "past midnight": (FUTURES, "America/Chicago", "2026-03-10T07:00:00", True),
    "the pause between sessions": (FUTURES, "America/Chicago", "2026-03-10T21:00:00", False),
    "Friday to the close": (FUTURES, "America/Chicago", "2026-03-13T20:09:59", True),
    "Friday after the close": (FUTURES, "America/Chicago", "2026-03-13T20:10:00", False),
    "Friday evening": (FUTURES, "America/Chicago", "2026-03-13T23:00:00", False),
    "always, at midnight": (ALWAYS, "Europe/Prague", "2026-03-10T23:00:00", True),
    "always, on the short day": (ALWAYS, "Europe/Prague", "2026-03-29T01:00:00", True),
    "always, in the repeated hour": (ALWAYS, "Europe/Prague", "2026-10-25T01:30:00", True),
    "an open the clock skips: before the gap": (NIGHT, "America/New_York", "2026-03-08T06:59:59", False),
    "an open the clock skips: first instant after it": (NIGHT, "America/New_York", "2026-03-08T07:00:00", True),
    "an open that is not skipped": (NIGHT, "America/New_York", "2026-03-07T07:29:59", False),
    "a close that comes twice: before the first": (UNTIL_0130, "America/New_York", "2026-11-01T05:29:59", True),
    "a close that comes twice: at the first": (UNTIL_0130, "America/New_York", "2026-11-01T05:30:00", False),
    "a close that comes twice: the hour again": (UNTIL_0130, "America/New_York", "2026-11-01T06:10:00", False),
}  # fmt: skip


@pytest.mark.parametrize(("windows", "zone", "utc", "taken"), HOURS.values(), ids=HOURS.keys())
def test_hours(windows: list[dict[str, Any]], zone: str, utc: str, taken: bool) -> None:
    terms = rule("trading_hours", "soft", timeZone=zone, windows=windows, reducingOrders="allowed")
    rules, now = profile(terms), instant(utc)
    subject = account(rules, now)

    verdict = judge_order(rules, subject, "ES", now)
    (status,) = rule_status(rules, subject, subject.balance_minor, now)

    assert (verdict is None) == taken
    assert status.state == ("ok" if taken else "closed")
    assert judge_order(rules, subject, "ES", now, reducing=True) is None
    if verdict is not None:
        assert (verdict.rule, verdict.action) == ("trading_hours", "reject_orders")
        assert f" {zone} is outside " in verdict.arithmetic


def closed_hours(severity: str, action: str, reducing: str = "allowed") -> dict[str, Any]:
    windows = [{"days": ["sat"], "open": "10:00", "close": "11:00"}]
    return rule(
        "trading_hours", severity, action=action,
        timeZone="UTC", windows=windows, reducingOrders=reducing,
    )  # fmt: skip


def allowlist(severity: str, action: str, reducing: str = "allowed") -> dict[str, Any]:
    return rule(
        "instrument_allowlist", severity, action=action,
        symbols=["ES", "NQ"], reducingOrders=reducing,
    )  # fmt: skip


DAILY = rule(
    "daily_loss", "soft", action="reject_orders",
    anchor="balance", loss=percent("5"), comparator="lt",
)  # fmt: skip
REJECT = ("soft", "reject_orders")
NOW = instant("2026-03-10T12:00:00")

# rules, raised, symbol, reducing -> rule that refuses, its action
ORDERS: dict[str, tuple[list[dict[str, Any]], tuple[str, ...], str, bool, tuple[str, str] | None]] = {
    "no rule": ([DAILY], (), "ES", False, None),
    "allowed symbol": ([allowlist(*REJECT)], (), "ES", False, None),
    "other symbol": ([allowlist(*REJECT)], (), "GC", False, ("instrument_allowlist", "reject_orders")),
    "symbols are compared exactly": ([allowlist(*REJECT)], (), "es", False, ("instrument_allowlist", "reject_orders")),
    "other symbol, reducing": ([allowlist(*REJECT)], (), "GC", True, None),
    "other symbol, reducing refused": ([allowlist(*REJECT, "refused")], (), "GC", True, ("instrument_allowlist", "reject_orders")),
    "other symbol, hard": ([allowlist("hard", "disable_account")], (), "GC", False, ("instrument_allowlist", "disable_account")),
    "other symbol, lock": ([allowlist("soft", "lock_until_reset")], (), "GC", False, ("instrument_allowlist", "lock_until_reset")),
    "first of two refusals, hours": ([closed_hours(*REJECT), allowlist(*REJECT)], (), "GC", False, ("trading_hours", "reject_orders")),
    "first of two refusals, symbol": ([allowlist(*REJECT), closed_hours(*REJECT)], (), "GC", False, ("instrument_allowlist", "reject_orders")),
    "a warning does not refuse": ([allowlist("warn", "warn")], (), "GC", False, None),
    "a warning does not hide a refusal": ([allowlist("warn", "warn"), closed_hours(*REJECT)], (), "GC", False, ("trading_hours", "reject_orders")),
    "raised by a refusal before": ([allowlist(*REJECT)], ("instrument_allowlist",), "GC", False, ("instrument_allowlist", "reject_orders")),
    "after a daily loss that rejects orders": ([DAILY], ("daily_loss",), "ES", False, ("daily_loss", "reject_orders")),
    "after a daily loss, reducing": ([DAILY], ("daily_loss",), "ES", True, None),
    "something else was raised": ([DAILY], ("max_drawdown",), "ES", False, None),
}  # fmt: skip


@pytest.mark.parametrize(
    ("terms", "raised", "symbol", "reducing", "refused"), ORDERS.values(), ids=ORDERS.keys()
)
def test_order(
    terms: list[dict[str, Any]], raised: tuple[str, ...], symbol: str, reducing: bool,
    refused: tuple[str, str] | None,
) -> None:  # fmt: skip
    rules = profile(*terms)

    verdict = judge_order(rules, account(rules, NOW, raised=raised), symbol, NOW, reducing=reducing)

    assert (verdict and (verdict.rule, verdict.action)) == refused
    assert verdict is None or verdict.violated


def test_order_warnings_come_once_a_day() -> None:
    rules = profile(allowlist("warn", "warn"), closed_hours(*REJECT))

    (warning,) = order_warnings(rules, account(rules, NOW), "GC", NOW)

    assert warning.event_type == "rule.warning.instrument_allowlist"
    assert warning.arithmetic == "GC is not among the 2 allowed instruments"
    raised = account(rules, NOW, raised=("instrument_allowlist",))
    assert order_warnings(rules, raised, "GC", NOW) == ()
