"""Opening accounts, and switching them off, on and to other rules through their one writer."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

from quantlab.engine.commands import CLOSE, DISABLE, ENABLE, MOVE_CONFIG
from quantlab.engine.opening import Start, fresh_account, opened_payload
from quantlab.kernel.ids import derive_id
from quantlab.kernel.records import dataclass
from quantlab.rules.profile import parse_profile
from quantlab.tenancy.config import TenantConfig
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
    REFERENCE_TAKEN = "reference_taken"
    KEY_TAKEN = "key_taken"


@dataclass(frozen=True, slots=True)
class Opening:
    """What is to be opened. With a key a repeated request finds the account it opened first.

    client_reference is the client's own name of the account, held by one account of the tenant.
    """

    user_id: str
    account_type: str
    name: str | None = None
    key: str | None = None
    client_reference: str | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """The account; new is False when an earlier request with the key opened it."""

    account_id: str
    new: bool


@dataclass(frozen=True, slots=True)
class NotOpened:
    """Which of several openings cannot be done, and why; then none was."""

    index: int
    reason: OpeningRefused


async def open_account(ports: Ports, scope: Scope, user_id: str, account_type: str) -> str:
    """Open an account and return its identifier; Conflict names what is not there."""
    opened = await open_once(ports, scope, Opening(user_id, account_type))
    if isinstance(opened, OpeningRefused):
        raise Conflict(f"no account {account_type} for user {user_id}: {opened}")
    return opened.account_id


async def open_once(ports: Ports, scope: Scope, opening: Opening) -> Opened | OpeningRefused:
    """Open an account pinned to the tenant's current configuration, with its first deposit."""
    account_id = ports.ids.new_id()
    if opening.key is not None:
        account_id = derive_id("account", scope.tenant_id, scope.actor.id, opening.key)
    opened = await _open(ports, scope, {account_id: opening}, once=opening.key is not None)
    return opened[0].reason if isinstance(opened[0], NotOpened) else opened[0]


async def open_all(
    ports: Ports, scope: Scope, openings: Sequence[Opening], key: str
) -> Sequence[Opened] | Sequence[NotOpened]:
    """Open all of the accounts or none, once per key."""
    parts = ("accounts", scope.tenant_id, scope.actor.id, key)
    wanted = {derive_id(*parts, index): opening for index, opening in enumerate(openings)}
    opened = await _open(ports, scope, wanted, once=True)
    refused = [one for one in opened if isinstance(one, NotOpened)]
    return refused or [one for one in opened if isinstance(one, Opened)]


async def _open(
    ports: Ports, scope: Scope, wanted: Mapping[str, Opening], *, once: bool
) -> Sequence[Opened | NotOpened]:
    """Open the accounts under their identifiers; once says that they may have been before."""
    if once and await ports.accounts.find(scope, next(iter(wanted))) is not None:
        return await _opened_before(ports, scope, wanted)
    config = await ports.tenant_configs.current(scope)
    refused = await _refused(ports, scope, wanted, config)
    if refused:
        return refused
    now_ns = ports.clock.now_ns()
    new = [
        _new_account(scope, config, account_id, opening, now_ns)
        for account_id, opening in wanted.items()
    ]
    try:
        await ports.accounts.open(scope, new)
    except Conflict:
        if not once or await ports.accounts.find(scope, new[0].account.account_id) is None:
            raise
        return await _opened_before(ports, scope, wanted)
    return [Opened(account_id, new=True) for account_id in wanted]


async def _refused(
    ports: Ports, scope: Scope, wanted: Mapping[str, Opening], config: TenantConfig
) -> list[NotOpened]:
    """Return the first thing that is wrong with each opening."""
    openings = list(wanted.values())
    known = {
        user_id: await ports.users.find(scope, user_id) is not None
        for user_id in dict.fromkeys(opening.user_id for opening in openings)
    }
    references = [one.client_reference for one in openings if one.client_reference is not None]
    taken = set(await ports.accounts.taken_references(scope, references)) if references else set()
    refused = []
    for index, opening in enumerate(openings):
        if not known[opening.user_id]:
            refused.append(NotOpened(index, OpeningRefused.UNKNOWN_USER))
        elif opening.account_type not in config.account_types:
            refused.append(NotOpened(index, OpeningRefused.UNKNOWN_ACCOUNT_TYPE))
        elif opening.client_reference in taken:
            refused.append(NotOpened(index, OpeningRefused.REFERENCE_TAKEN))
        if opening.client_reference is not None:
            taken.add(opening.client_reference)
    return refused


async def _opened_before(
    ports: Ports, scope: Scope, wanted: Mapping[str, Opening]
) -> Sequence[Opened | NotOpened]:
    """Return what the key opened, if it was for the same accounts."""
    answers: list[Opened | NotOpened] = []
    for index, (account_id, opening) in enumerate(wanted.items()):
        first = await ports.accounts.find(scope, account_id)
        asked = (
            opening.user_id,
            opening.account_type,
            opening.name,
            opening.client_reference,
        )
        if first is None or asked != (
            first.user_id,
            first.account.account_type,
            first.name,
            first.client_reference,
        ):
            answers.append(NotOpened(index, OpeningRefused.KEY_TAKEN))
        else:
            answers.append(Opened(account_id, new=False))
    return answers


def _new_account(
    scope: Scope, config: TenantConfig, account_id: str, opening: Opening, now_ns: int
) -> NewAccount:
    kind = config.account_types[opening.account_type]
    profile = parse_profile(
        kind.profile,
        currency_digits=kind.currency_digits,
        initial_balance_minor=kind.initial_balance_minor,
    )
    start = Start(kind, profile)
    account = fresh_account(scope.tenant_id, account_id, start, config.version, now_ns)
    payload = opened_payload(account, start) | {"userId": opening.user_id}
    if opening.name is not None:
        payload["name"] = opening.name
    if opening.client_reference is not None:
        payload["clientReference"] = opening.client_reference
    return NewAccount(
        account, opening.user_id, now_ns, payload, opening.name, opening.client_reference
    )


async def move_config(
    ports: Ports, scope: Scope, account_id: str, key: str | None = None
) -> Submitted | KeyTaken:
    """Have the account's writer put it under the tenant's current configuration."""
    await require_visible(ports, scope, (account_id,))
    config = await ports.tenant_configs.current(scope)
    payload = {"version": config.version, "by": f"{scope.actor.kind}:{scope.actor.id}"}
    return await submit(ports, scope, Wish(account_id, "operator", MOVE_CONFIG, payload, key))


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
