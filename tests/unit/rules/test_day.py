"""What ends and what stays when a trading day rolls."""

from dataclasses import replace

import pytest
from tests.support.rule_cases import account, instant, minor, percent, profile, rule

from quantlab.ledger.state import ClosedDay
from quantlab.rules.day import is_day_over, open_day, roll_day

ZONE = "America/New_York"
MONDAY = instant("2026-03-09T18:00:00", ZONE)
DAILY = rule("daily_loss", anchor="balance", loss=percent("5"), comparator="lt")


def trailing(basis: str) -> dict[str, object]:
    return rule("max_drawdown", mode="trailing", basis=basis, loss=percent("5"), comparator="lt")


def test_open_day_starts_from_the_balance_and_equity() -> None:
    rules = profile(DAILY, reset="17:00", zone=ZONE)

    day = open_day(rules, 5, 7, MONDAY)

    assert (day.date, day.start_balance_minor, day.start_equity_minor) == ("2026-03-09", 5, 7)
    assert (day.realised_minor, day.traded) == (0, False)
    assert day.started_ns == instant("2026-03-09T17:00:00", ZONE)
    assert day.next_reset_ns == instant("2026-03-10T17:00:00", ZONE)


def test_roll_changes_nothing_within_the_day() -> None:
    rules = profile(DAILY, reset="17:00", zone=ZONE)
    subject = account(rules, MONDAY, status="locked", raised=("daily_loss",))
    last_ns = subject.day.next_reset_ns - 1

    assert not is_day_over(subject, last_ns)
    assert roll_day(subject, rules, 1, 2, last_ns) is subject
    assert is_day_over(subject, last_ns + 1)


@pytest.mark.parametrize(
    ("realised", "traded", "equity", "recorded"),
    [
        ("0", False, "100,000", []),
        ("0", False, "98,000", [ClosedDay("2026-03-09", 0, False, -200_000)]),
        ("0", True, "100,000", [ClosedDay("2026-03-09", 0, True, 0)]),
        ("-12.50", False, "100,000", [ClosedDay("2026-03-09", -1250, False, 0)]),
        ("40", True, "101,000", [ClosedDay("2026-03-09", 4000, True, 100_000)]),
    ],
)
@pytest.mark.parametrize("days_later", [1, 2, 5])
def test_roll_records_the_open_day_unless_idle_and_skips_the_rest(
    realised: str, traded: bool, equity: str, recorded: list[ClosedDay], days_later: int
) -> None:
    rules = profile(DAILY, reset="17:00", zone=ZONE)
    subject = account(rules, MONDAY, realised=realised, traded=traded, closed=["7"])
    now = instant(f"2026-03-{9 + days_later:02d}T17:00:00", ZONE)

    rolled = roll_day(subject, rules, minor("99,000"), minor(equity), now)

    assert list(rolled.closed_days) == [*subject.closed_days, *recorded]
    assert rolled.day == open_day(rules, minor("99,000"), minor(equity), now)
    assert rolled.day.started_ns == now


def test_roll_lifts_the_lock_and_clears_what_was_raised() -> None:
    rules = profile(DAILY)
    subject = account(rules, MONDAY, status="locked", raised=("daily_loss",))

    rolled = roll_day(subject, rules, 0, 0, subject.day.next_reset_ns)

    assert (rolled.status, rolled.status_reason, rolled.raised) == ("active", None, ())


@pytest.mark.parametrize("status", ["active", "disabled", "closed"])
def test_roll_keeps_every_other_status(status: str) -> None:
    rules = profile(DAILY)
    subject = replace(account(rules, MONDAY, status=status), status_reason="for a reason")

    rolled = roll_day(subject, rules, 0, 0, subject.day.next_reset_ns)

    assert (rolled.status, rolled.status_reason) == (status, "for a reason")


@pytest.mark.parametrize(
    ("basis", "mark"),
    [("equity", "103,000"), ("balance", "102,000"), ("end_of_day_balance", "102,000")],
)
def test_roll_takes_the_reset_into_the_high_water(basis: str, mark: str) -> None:
    rules = profile(trailing(basis))
    subject = account(rules, MONDAY, high_water="101,000")
    reset_ns = subject.day.next_reset_ns

    rolled = roll_day(subject, rules, minor("102,000"), minor("103,000"), reset_ns)
    lower = roll_day(subject, rules, minor("99,000"), minor("98,000"), reset_ns)

    assert rolled.high_water_minor == minor(mark)
    assert lower.high_water_minor == minor("101,000")


def test_other_day_terms_begin_no_second_day_of_a_date_and_none_before_the_open_one_ends() -> None:
    """Tokyo's 9 March ends at 15:00 UTC; UTC's own 9 March lasts till midnight."""
    tokyo = profile(DAILY, zone="Asia/Tokyo")
    subject = account(tokyo, instant("2026-03-09T12:00:00", "Asia/Tokyo"), status="locked")
    ended = subject.day

    longer = roll_day(subject, profile(DAILY, zone="UTC"), 5, 7, ended.next_reset_ns)
    assert longer == replace(
        subject, day=replace(ended, next_reset_ns=instant("2026-03-10T00:00:00"))
    )
    rolled = roll_day(longer, profile(DAILY, zone="UTC"), 5, 7, longer.day.next_reset_ns)
    assert (rolled.day.date, rolled.status) == ("2026-03-10", "active")

    east = profile(DAILY, zone="Pacific/Auckland")
    begun = roll_day(subject, east, 5, 7, ended.next_reset_ns)
    assert (begun.day.date, begun.day.started_ns) == ("2026-03-10", ended.next_reset_ns)
