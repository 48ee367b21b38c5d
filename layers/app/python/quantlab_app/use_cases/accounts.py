"""Opening accounts, and switching them off and on through their one writer."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from quantlab.engine.commands import CLOSE, DISABLE, ENABLE
from quantlab.kernel.decimals import format_minor
from quantlab.kernel.ids import derive_id
from quantlab.kernel.instants import format_rfc3339
from quantlab.ledger.state import Account, Tally
from quantlab.rules.day import open_day
from quantlab.rules.profile import parse_profile
from quantlab.rules.terms import Profile
from quantlab.tenancy.config import AccountType
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.accounts import NewAccount
from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import Conflict
from quantlab_app.use_cases.submission import KeyTaken, Submitted, Wish, submit
from quantlab_app.use_cases.visibility import require_visible

COMMANDS: Final = {"active": ENABLE, "disabled": DISABLE, "closed": CLOSE}


class OpeningRefused(StrEnum):
    """Why an account was not opened, in order of precedence."""

    UNKNOWN_USER = "unknown_user"
    UNKNOWN_ACCOUNT_TYPE = "unknown_account_type"
    KEY_TAKEN = "key_taken"


@dataclass(frozen=True, slots=True)
class Opening:
    """What is to be opened. With a key a repeated request finds the account it opened first."""

    user_id: str
    account_type: str
    name: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """The account; new is False when an earlier request with the key opened it."""

    account_id: str
    new: bool


async def open_account(ports: Ports, scope: Scope, user_id: str, account_type: str) -> str:
    """Open an account and return its identifier; Conflict names what is not there."""
    opened = await open_once(ports, scope, Opening(user_id, account_type))
    if isinstance(opened, OpeningRefused):
        raise Conflict(f"no account {account_type} for user {user_id}: {opened}")
    return opened.account_id


async def open_once(ports: Ports, scope: Scope, opening: Opening) -> Opened | OpeningRefused:
    """Open an account pinned to the tenant's current configuration, with its first deposit."""
    if await ports.users.find(scope, opening.user_id) is None:
        return OpeningRefused.UNKNOWN_USER
    config = await ports.tenant_configs.current(scope)
    kind = config.account_types.get(opening.account_type)
    if kind is None:
        return OpeningRefused.UNKNOWN_ACCOUNT_TYPE
    account_id = ports.ids.new_id()
    if opening.key is not None:
        account_id = derive_id("account", scope.tenant_id, scope.actor.id, opening.key)
    now_ns = ports.clock.now_ns()
    profile = parse_profile(
        kind.profile,
        currency_digits=kind.currency_digits,
        initial_balance_minor=kind.initial_balance_minor,
    )
    account = _account(scope.tenant_id, account_id, kind, config.version, profile, now_ns)
    payload = _opened_payload(account, opening, profile)
    new = NewAccount(account, opening.user_id, now_ns, payload, opening.name)
    try:
        await ports.accounts.open(scope, [new])
    except Conflict:
        if opening.key is None:
            raise
        return await _opened_before(ports, scope, account_id, opening)
    return Opened(account_id, new=True)


async def _opened_before(
    ports: Ports, scope: Scope, account_id: str, opening: Opening
) -> Opened | OpeningRefused:
    first = await ports.accounts.find(scope, account_id)
    wanted = (opening.user_id, opening.account_type, opening.name)
    if first is None or (first.user_id, first.account.account_type, first.name) != wanted:
        return OpeningRefused.KEY_TAKEN
    return Opened(account_id, new=False)


def _account(
    tenant_id: str,
    account_id: str,
    kind: AccountType,
    config_version: str,
    profile: Profile,
    now_ns: int,
) -> Account:
    balance_minor = kind.initial_balance_minor
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
        day=open_day(profile, balance_minor, balance_minor, now_ns),
        closed_days=(),
        raised=(),
        positions={},
        tally=Tally(opened_ns=now_ns),
    )


def _opened_payload(account: Account, opening: Opening, profile: Profile) -> dict[str, Any]:
    payload = {
        "accountId": account.account_id,
        "userId": opening.user_id,
        "accountType": account.account_type,
        "currency": account.currency,
        "initialBalance": format_minor(account.initial_balance_minor, account.currency_digits),
        "configVersion": account.config_version,
        "ruleProfileVersion": profile.version,
        "date": account.day.date,
        "nextResetAt": format_rfc3339(account.day.next_reset_ns),
    }
    return payload if opening.name is None else {**payload, "name": opening.name}


async def change_status(
    ports: Ports,
    scope: Scope,
    account_id: str,
    *,
    status: str,
    reason: str,
    key: str | None = None,
) -> Submitted | KeyTaken:
    """Have the account's writer enable, disable or close it; NotFound when it is not visible."""
    await require_visible(ports, scope, (account_id,))
    payload = {"reason": reason, "by": f"{scope.actor.kind}:{scope.actor.id}"}
    return await submit(ports, scope, Wish(account_id, "operator", COMMANDS[status], payload, key))
