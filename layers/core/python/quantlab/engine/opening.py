"""How an account begins: what it starts as, and what is recorded of that."""

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from quantlab.kernel.canonical import Json
from quantlab.kernel.decimals import format_minor
from quantlab.kernel.instants import format_rfc3339
from quantlab.kernel.records import dataclass
from quantlab.ledger.state import Account, Tally
from quantlab.ledger.trading_terms import STANDARD, TradingTerms, read_trading_terms
from quantlab.market.fill_model import FillModel, parse_fill_models
from quantlab.rules.day import open_day
from quantlab.rules.profile import parse_profile
from quantlab.rules.terms import Profile
from quantlab.tenancy.config import AccountType


@dataclass(frozen=True, slots=True)
class Start:
    """An account type of a configuration with its rules, resolved for its initial balance."""

    kind: AccountType
    profile: Profile


@dataclass(frozen=True, slots=True)
class Course:
    """What an account was opened as, and what follows when all goals of its phase are met.

    target is what the account would be under another configuration, for a command that moves it
    there; None where that configuration has no such type.
    """

    start: Start
    following: Start | None = None
    target: Start | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """What an account's configuration says of it."""

    profile: Profile
    instruments: frozenset[str]
    course: Course
    fill_models: Mapping[str, FillModel] = field(default_factory=dict)
    trading: TradingTerms = STANDARD


def rules_of(
    types: Mapping[str, AccountType],
    account: Account,
    fill_models: Mapping[str, Mapping[str, Any]] | None = None,
) -> Rules:
    """Return the rules of an account under a configuration's types and documents of fill models.

    KeyError where the account's own type is not among them.
    """
    kind = types[account.account_type]
    following = None
    if kind.phase is not None and kind.phase.next_type is not None:
        next_kind = types[kind.phase.next_type]
        following = start_of(next_kind, next_kind.initial_balance_minor)
    course = Course(start_of(kind, kind.initial_balance_minor), following)
    profile = start_of(kind, account.initial_balance_minor).profile
    models = parse_fill_models(fill_models or {})
    trading = read_trading_terms(kind.trading)
    return Rules(profile, frozenset(kind.instruments), course, models, trading)


def start_of(kind: AccountType, initial_minor: int) -> Start:
    """Resolve an account type's rules for an initial balance."""
    profile = parse_profile(
        kind.profile, currency_digits=kind.currency_digits, initial_balance_minor=initial_minor
    )
    return Start(kind, profile)


def fresh_account(
    tenant_id: str, account_id: str, start: Start, config_version: str, now_ns: int
) -> Account:
    """Return a new account in the trading day that holds now, with its first deposit booked."""
    kind, balance_minor = start.kind, start.kind.initial_balance_minor
    return Account(
        account_id=account_id,
        tenant_id=tenant_id,
        status="active",
        status_reason=None,
        currency=kind.currency,
        currency_digits=kind.currency_digits,
        account_type=kind.type_id,
        config_version=config_version,
        initial_balance_minor=balance_minor,
        balance_minor=balance_minor,
        carry_micro=0,
        high_water_minor=balance_minor,
        event_seq=1,
        day=open_day(start.profile, balance_minor, balance_minor, now_ns),
        closed_days=(),
        raised=(),
        positions={},
        tally=Tally(opened_ns=now_ns),
    )


def opened_payload(account: Account, start: Start) -> dict[str, Json]:
    """Describe a new account as its first event does."""
    phase = start.kind.phase
    payload: dict[str, Json] = {
        "accountId": account.account_id,
        "accountType": account.account_type,
        "currency": account.currency,
        "initialBalance": format_minor(account.initial_balance_minor, account.currency_digits),
        "configVersion": account.config_version,
        "ruleProfileVersion": start.profile.version,
        "date": account.day.date,
        "nextResetAt": format_rfc3339(account.day.next_reset_ns),
    }
    if phase is not None:
        payload |= {"program": phase.program_id, "phase": phase.phase_id}
    return payload
