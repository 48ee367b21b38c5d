"""Best day over total, at and around the boundary: one row, one case."""

# ruff: noqa: E501 - one row is one case

import pytest
from tests.support.rule_cases import account, instant, minor, profile, rule

from quantlab.rules.consistency import best_day_share
from quantlab.rules.status import rule_status
from quantlab.rules.terms import Consistency
from quantlab.rules.verdicts import judge_equity

NOW = instant("2026-03-10T12:00:00")

# max share, comparator, total, open day counts, minimum days, closed days, open day -> exceeded, passed
ROWS = {
    "900 of 2,800 is 32 %": ("40", "ge", "net", False, 1, ["900", "800", "700", "400"], "0", False, True),
    "exactly 40 % of the total, strict: keep trading": ("40", "ge", "net", False, 1, ["400", "300", "300"], "0", True, False),
    "exactly 40 % of the total, not strict": ("40", "gt", "net", False, 1, ["400", "300", "300"], "0", False, True),
    "a cent over 50 %": ("50", "gt", "net", False, 1, ["500.01", "500"], "0", True, False),
    "exactly 50 %": ("50", "gt", "net", False, 1, ["500", "500"], "0", False, True),
    "a cent under 40 %, strict": ("40", "ge", "net", False, 1, ["400", "600.01"], "0", True, False),
    "both under 40 %, strict": ("40", "ge", "net", False, 1, ["399.99", "300", "300.01"], "0", False, True),
    "40 % falls between two cents, strict": ("40", "ge", "net", False, 1, ["400", "300", "300.01"], "0", False, True),
    "40 % falls between two cents, not strict": ("40", "gt", "net", False, 1, ["400.01", "300", "300.01"], "0", True, False),
    "losing days shrink the net total": ("50", "gt", "net", False, 1, ["500", "500", "-1"], "0", True, False),
    "losing days do not count among profitable ones": ("50", "gt", "profitable_days", False, 1, ["500", "500", "-1"], "0", False, True),
    "total zero: undefined": ("50", "gt", "net", False, 1, ["500", "-500"], "0", False, False),
    "total negative: undefined": ("50", "gt", "net", False, 1, ["500", "-700"], "0", False, False),
    "only losing days": ("50", "gt", "profitable_days", False, 1, ["-1", "-2"], "0", False, False),
    "no day at all": ("50", "gt", "net", False, 1, [], "0", False, False),
    "the open day is left out": ("50", "gt", "net", False, 1, ["300", "300"], "900", False, True),
    "the open day counts": ("50", "gt", "net", True, 1, ["300", "300"], "900", True, False),
    "an idle open day is no day": ("50", "gt", "net", True, 3, ["300", "300"], "0", False, False),
    "too few days to judge": ("50", "gt", "net", False, 3, ["900", "100"], "0", False, False),
    "days enough to judge": ("50", "gt", "net", False, 3, ["900", "100", "100"], "0", True, False),
    "one day is the whole total": ("100", "gt", "net", False, 1, ["900"], "0", False, True),
}  # fmt: skip


@pytest.mark.parametrize(
    ("share", "comparator", "total", "open_day", "days", "closed", "today", "exceeded", "passed"),
    ROWS.values(),
    ids=ROWS.keys(),
)
def test_share_by_every_severity(
    share: str, comparator: str, total: str, open_day: bool, days: int,
    closed: list[str], today: str, exceeded: bool, passed: bool,
) -> None:  # fmt: skip
    for severity, state_when_over in (
        ("gate", "gate_closed"),
        ("warn", "warned"),
        ("hard", "violated"),
    ):
        rules = profile(
            rule(
                "consistency", severity, maxSharePercent=share, comparator=comparator,
                total=total, openDayCounts=open_day, minimumDays=days,
            )
        )  # fmt: skip
        subject = account(rules, NOW, closed=closed, realised=today)
        (terms,) = rules.rules
        assert isinstance(terms, Consistency)

        found = best_day_share(terms, subject)
        verdicts = judge_equity(rules, subject, subject.balance_minor, NOW)
        (status,) = rule_status(rules, subject, subject.balance_minor, NOW)

        assert (found.exceeded, found.passed) == (exceeded, passed)
        assert len(verdicts) == (exceeded and severity != "gate")
        assert [verdict.violated for verdict in verdicts] == [severity == "hard"] * len(verdicts)
        met = passed if severity == "gate" else not exceeded
        assert status.state == ("ok" if met else state_when_over)


def test_share_words_name_the_amounts() -> None:
    rules = profile(
        rule(
            "consistency",
            "hard",
            maxSharePercent="40",
            comparator="ge",
            total="net",
            openDayCounts=False,
        )
    )
    subject = account(rules, NOW, closed=["1500", "1300"])

    (verdict,) = judge_equity(rules, subject, subject.balance_minor, NOW)

    assert verdict.arithmetic == "best day 1,500.00 reaches or exceeds 40 % of net total 2,800.00"
    assert (verdict.threshold_minor, verdict.value_minor) == (minor("1120"), minor("1500"))
    assert verdict.event_type == "rule.violation.consistency"
