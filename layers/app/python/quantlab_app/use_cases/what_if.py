"""Live accounts judged by rules that are not theirs, before anybody is put under them.

By the present: balance, equity at the latest quotes, days and high water as recorded. Or by a
replay: all that was asked of an account since its opening, on the ticks of that time. What cannot
be known is said to be unknown and never passes for fine.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from quantlab.engine.context import Market, equity_of
from quantlab.engine.other_rules import Compared
from quantlab.engine.rejections import Rejection
from quantlab.kernel.canonical import Json
from quantlab.kernel.records import dataclass, replace
from quantlab.rules import terms
from quantlab.rules.day import is_day_over
from quantlab.rules.evidence import gravest, gravest_action
from quantlab.rules.profile import parse_profile
from quantlab.rules.terms import Profile
from quantlab.rules.verdicts import judge_equity
from quantlab.tenancy.config import TenantConfig
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.accounts import OwnedAccount
from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import Conflict
from quantlab_app.use_cases.account_views import present_market
from quantlab_app.use_cases.replay import FillModels, Types, recompute_under

LIVE: Final = ("active", "locked")
OUTCOMES: Final = {
    terms.DISABLE_ACCOUNT: "breach",
    terms.LOCK_UNTIL_RESET: "locked",
    terms.REJECT_ORDERS: "orders_refused",
    terms.WARN_ONLY: "warned",
    None: "fine",
}


@dataclass(frozen=True, slots=True)
class Proposal:
    """The rules to judge by: one profile's document, or a recorded configuration."""

    profile: Mapping[str, Any] | None = None
    config: TenantConfig | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """What would become of one account.

    outcome is breach, locked, orders_refused, warned, fine, unknown, or incompatible where the
    configuration has no such type in its currency; detail says why for the last two.
    """

    owned: OwnedAccount
    outcome: str
    detail: str | None
    equity_minor: int | None
    profile_version: str | None
    verdicts: tuple[dict[str, Json], ...]
    replay: Compared | None = None


async def proposal_of_version(ports: Ports, scope: Scope, version: str) -> Proposal:
    """Return a recorded configuration as a proposal; NotFound when the tenant has none such."""
    return Proposal(config=await ports.tenant_configs.pinned(scope, version))


async def proposal_of_profile(ports: Ports, scope: Scope, document: Mapping[str, Any]) -> Proposal:
    """Return a profile as a proposal, in the tenant's day if it names none.

    ProfileError lists what is wrong with it.
    """
    config = await ports.tenant_configs.current(scope)
    day = {"reset": config.day_reset, "timeZone": config.time_zone}
    own = {key: value for key, value in document.items() if key != "$schema"}
    proposed = {"day": day, **own}
    parse_profile(proposed, currency_digits=2, initial_balance_minor=10**7)
    return Proposal(profile=proposed)


async def what_if(
    ports: Ports, scope: Scope, proposal: Proposal, after: str | None, limit: int
) -> tuple[Sequence[Judged], str | None]:
    """Judge a page of accounts by identifier; return it and the last account looked at.

    Accounts that are not live are passed over, so that a page may be short; None ends it.
    """
    live, last = await _live(ports, scope, after, limit)
    market, now_ns = await present_market(ports), ports.clock.now_ns()
    return [_judge(owned, proposal, market, now_ns) for owned in live], last


async def what_if_replayed(
    ports: Ports,
    scope: Scope,
    proposal: Proposal,
    after: str | None,
    limit: int,
    ticks_max: int | None = None,
) -> tuple[Sequence[Judged], str | None]:
    """Judge a page as what_if does, by a replay of each account since its opening.

    An account with more ticks to go through than ticks_max is unknown, as is one whose record
    cannot be decided again.
    """
    live, last = await _live(ports, scope, after, limit)
    judged = [await judge_replayed(ports, scope, owned, proposal, ticks_max) for owned in live]
    return judged, last


async def judge_replayed(
    ports: Ports, scope: Scope, owned: OwnedAccount, proposal: Proposal, ticks_max: int | None
) -> Judged:
    """Judge one account by the gravest thing that would have come of the rules since its opening.

    equity_minor and verdicts are those of the replay under them.
    """
    profile = _profile_for(owned, proposal)
    if profile is None:
        return _incompatible(owned)
    account_id, type_id = owned.account.account_id, owned.account.account_type

    def types_of(types: Types, models: FillModels) -> tuple[Types, FillModels]:
        if proposal.config is not None:
            return proposal.config.account_types, proposal.config.fill_models
        changed = replace(types[type_id], profile=proposal.profile or {})
        return {**types, type_id: changed}, models

    try:
        compared = await recompute_under(ports, scope, account_id, types_of, ticks_max)
    except Conflict as conflict:
        return Judged(owned, "unknown", str(conflict), None, profile.version, ())
    broken = [one.violation for one in compared.other.broken]
    return Judged(
        owned,
        OUTCOMES[gravest(one.action for one in broken)],
        None,
        compared.other.equity_minor,
        profile.version,
        tuple(one.verdict for one in broken),
        compared,
    )


async def _live(
    ports: Ports, scope: Scope, after: str | None, limit: int
) -> tuple[list[OwnedAccount], str | None]:
    page = await ports.accounts.page(scope, user_id=None, after=after, limit=limit)
    last = page[-1].account.account_id if len(page) == limit else None
    return [owned for owned in page if owned.account.status in LIVE], last


def _judge(owned: OwnedAccount, proposal: Proposal, market: Market, now_ns: int) -> Judged:
    account = owned.account
    profile = _profile_for(owned, proposal)
    if profile is None:
        return _incompatible(owned)
    version = profile.version
    if is_day_over(account, now_ns):
        words = "its trading day is over and not rolled yet"
        return Judged(owned, "unknown", words, None, version, ())
    equity = equity_of(account, market)
    if isinstance(equity, Rejection):
        return Judged(owned, "unknown", f"{equity.reason}: {equity.detail}", None, version, ())
    unmarked = replace(account, raised=(), status="active", status_reason=None)
    verdicts = judge_equity(profile, unmarked, equity, now_ns)
    outcome = OUTCOMES[gravest_action(verdicts)]
    payloads = tuple(verdict.as_payload() for verdict in verdicts)
    return Judged(owned, outcome, None, equity, version, payloads)


def _incompatible(owned: OwnedAccount) -> Judged:
    words = f"no account type {owned.account.account_type} in {owned.account.currency}"
    return Judged(owned, "incompatible", words, None, None, ())


def _profile_for(owned: OwnedAccount, proposal: Proposal) -> Profile | None:
    account, document = owned.account, proposal.profile
    if proposal.config is not None:
        kind = proposal.config.account_types.get(account.account_type)
        if kind is None or kind.currency != account.currency:
            return None
        document = kind.profile
    return parse_profile(
        document or {},
        currency_digits=account.currency_digits,
        initial_balance_minor=account.initial_balance_minor,
    )
