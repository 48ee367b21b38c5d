"""Accounts and profiles for tests of the rules; amounts in whole units of a 2-digit currency."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from quantlab.ledger.state import Account, ClosedDay
from quantlab.rules.day import open_day
from quantlab.rules.profile import parse_profile
from quantlab.rules.terms import Profile

DIGITS = 2


def minor(amount: str) -> int:
    """Read "-1,234.50" as minor units."""
    whole, _, rest = amount.replace(",", "").partition(".")
    return int(whole + rest.ljust(DIGITS, "0"))


def instant(text: str, zone: str = "UTC") -> int:
    """Read a local ISO time in a zone as nanoseconds."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * 10**9


def document(
    *rules: dict[str, Any], reset: str = "00:00", zone: str = "Europe/Prague"
) -> dict[str, Any]:
    return {
        "format": 1,
        "name": "a-profile",
        "day": {"reset": reset, "timeZone": zone},
        "rules": list(rules),
    }


def rule(
    slug: str, severity: str = "hard", /, *, rule_id: str = "", action: str = "", **parameters: Any
) -> dict[str, Any]:
    built: dict[str, Any] = {"rule": slug, "severity": severity, "parameters": parameters}
    if rule_id:
        built["id"] = rule_id
    if action:
        built["onViolation"] = action
    return built


def percent(share: str, of: str = "initial") -> dict[str, str]:
    return {"percent": share, "of": of}


def profile(
    *rules: dict[str, Any],
    initial: str = "100,000",
    reset: str = "00:00",
    zone: str = "Europe/Prague",
) -> Profile:
    return parse_profile(
        document(*rules, reset=reset, zone=zone),
        currency_digits=DIGITS,
        initial_balance_minor=minor(initial),
    )


def account(
    terms: Profile,
    now_ns: int,
    *,
    balance: str | None = None,
    start_balance: str | None = None,
    start_equity: str | None = None,
    high_water: str | None = None,
    realised: str = "0",
    traded: bool = False,
    closed: Sequence[str] = (),
    status: str = "active",
    raised: tuple[str, ...] = (),
) -> Account:
    """Build an account in the day that holds now; what is not given is the initial balance."""
    initial = terms.initial_balance_minor
    start = initial if start_balance is None else minor(start_balance)
    day = open_day(terms, start, start if start_equity is None else minor(start_equity), now_ns)
    fields = {name: getattr(day, name) for name in day.__slots__}
    fields |= {"realised_minor": minor(realised), "traded": traded}
    return Account(
        account_id="account-1",
        tenant_id="tenant-1",
        status=status,
        status_reason="a reason" if status == "locked" else None,
        currency="USD",
        currency_digits=DIGITS,
        account_type="evaluation",
        config_version="1",
        initial_balance_minor=initial,
        balance_minor=start if balance is None else minor(balance),
        carry_micro=0,
        high_water_minor=initial if high_water is None else minor(high_water),
        event_seq=7,
        day=type(day)(**fields),
        closed_days=tuple(
            ClosedDay(f"day-{index}", minor(result), traded=True)
            for index, result in enumerate(closed)
        ),
        raised=raised,
        positions={},
    )
