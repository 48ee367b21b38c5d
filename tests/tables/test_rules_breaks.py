"""When nothing may be held, and when a watcher must look again: one row, one case."""

# ruff: noqa: E501 - one row is one case

import pytest
from tests.support.rule_cases import instant, profile, rule

from quantlab.rules.breaks import must_be_flat, next_change_ns
from quantlab.rules.terms import FlatBy, WeekendHolding

NEW_YORK = "America/New_York"
FUTURES = [{"days": ["sun", "mon", "tue", "wed", "thu"], "open": "18:00", "close": "17:00"}]
ALWAYS = [
    {"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "open": "00:00", "close": "00:00"}
]
FLAT = rule(
    "flat_by",
    "soft",
    timeZone=NEW_YORK,
    windows=[{"days": ["mon", "fri"], "at": "16:00", "until": "18:00"}],
)


def weekend(
    hours: int, before: int, sessions: list[dict[str, object]] = FUTURES
) -> dict[str, object]:
    return rule(
        "weekend_holding", "soft", timeZone=NEW_YORK, sessions=sessions,
        longerThanHours=hours, minutesBefore=before,
    )  # fmt: skip


# rule, local time in New York, whether nothing may be held, the next time that begins
CASES = {
    "flat: before": (FLAT, "2026-03-06T15:59:59", False, "2026-03-06T16:00:00"),
    "flat: at": (FLAT, "2026-03-06T16:00:00", True, "2026-03-09T16:00:00"),
    "flat: until": (FLAT, "2026-03-06T18:00:00", False, "2026-03-09T16:00:00"),
    "flat: another day": (FLAT, "2026-03-05T16:30:00", False, "2026-03-06T16:00:00"),
    "weekend: before": (weekend(2, 15), "2026-03-06T16:44:59", False, "2026-03-06T16:45:00"),
    "weekend: at": (weekend(2, 15), "2026-03-06T16:45:00", True, "2026-03-13T16:45:00"),
    "weekend: within, clocks changed": (weekend(2, 15), "2026-03-08T17:59:59", True, "2026-03-13T16:45:00"),
    "weekend: over": (weekend(2, 15), "2026-03-08T18:00:00", False, "2026-03-13T16:45:00"),
    "weekend: a short break passes": (weekend(2, 15), "2026-03-03T17:30:00", False, "2026-03-06T16:45:00"),
    "a break of just so long passes": (weekend(1, 15), "2026-03-03T17:30:00", False, "2026-03-06T16:45:00"),
    "overnight": (weekend(0, 15), "2026-03-03T16:50:00", True, "2026-03-04T16:45:00"),
    "no break at all": (weekend(0, 15, ALWAYS), "2026-03-07T12:00:00", False, None),
}  # fmt: skip


@pytest.mark.parametrize(("asked", "local", "flat", "then"), CASES.values(), ids=CASES.keys())
def test_breaks(asked: dict[str, object], local: str, flat: bool, then: str | None) -> None:
    rules, now = profile(asked), instant(local, NEW_YORK)
    (standing,) = rules.standing_rules
    assert isinstance(standing, FlatBy | WeekendHolding)

    assert must_be_flat(standing, now) == flat
    assert next_change_ns(rules, now) == (None if then is None else instant(then, NEW_YORK))
