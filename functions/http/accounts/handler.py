"""Accounts: opened from a type, read with equity and floors, switched off and on."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Depends
from pydantic import Discriminator, Field, Tag
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from quantlab.kernel.decimals import format_minor
from quantlab.kernel.instants import format_rfc3339
from quantlab.tenancy.permissions import Permission
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.container import Ports
from quantlab_app.use_cases.account_views import AccountView, list_accounts, read_account
from quantlab_app.use_cases.accounts import (
    NotOpened,
    Opened,
    Opening,
    OpeningRefused,
    change_status,
    open_all,
    open_once,
)
from quantlab_edge.http import ApiModel, principal, require_uuid
from quantlab_edge.http import router as new_router
from quantlab_edge.outcomes import Pending, settled
from quantlab_edge.pagination import Cursor, Limit, decode_cursor, page
from quantlab_edge.parameters import IdempotencyKey, UuidText, Words
from quantlab_edge.problems import FieldError, ProblemError
from quantlab_edge.requests import ports_of

OPENED_MAX = 100
PERCENT_DIGITS = 4
PREFIX = "/tenants/{tenantId}/accounts"
router = new_router("accounts", prefix=PREFIX)

Reader = Annotated[Scope, Depends(principal(Permission.ACCOUNTS_READ))]
Creator = Annotated[Scope, Depends(principal(Permission.ACCOUNTS_CREATE))]
Manager = Annotated[Scope, Depends(principal(Permission.ACCOUNTS_MANAGE))]
Status = Literal["active", "locked", "disabled", "closed"]
_PENDING: dict[int | str, dict[str, Any]] = {
    202: {"model": Pending, "description": "Accepted and not carried out yet."}
}


class NewAccount(ApiModel):
    """What to open: one of the account types of the tenant's configuration.

    clientReference is the client's own name of the account; no two of a tenant's have the same.
    """

    user_id: UuidText
    account_type: Words
    name: Words | None = None
    client_reference: Words | None = None


class NewAccounts(ApiModel):
    """Accounts to open together, all or none; this needs an Idempotency-Key."""

    accounts: Annotated[list[NewAccount], Field(min_length=1, max_length=OPENED_MAX)]


def _count(value: Any) -> str:
    many = "accounts" in value if isinstance(value, dict) else isinstance(value, NewAccounts)
    return "|many" if many else "|one"


OneOrMany = Annotated[
    Annotated[NewAccount, Tag("|one")] | Annotated[NewAccounts, Tag("|many")], Discriminator(_count)
]


class AccountChange(ApiModel):
    """The status wanted, and why; closing is for good and closes open positions first."""

    status: Literal["active", "disabled", "closed"]
    reason: Words


class FloorOut(ApiModel):
    """An equity under which (lt), or at which (le), a rule is broken; distance is what is left."""

    rule: str
    rule_id: str
    floor: str
    distance: str | None
    comparator: Literal["lt", "le"]
    severity: str
    action: str
    detail: str


class DayOut(ApiModel):
    """The trading day the account is in; over says that its reset has passed unrolled."""

    date: str
    started_at: str
    next_reset_at: str
    start_balance: str
    start_equity: str
    realised: str
    traded: bool
    over: bool


class MarginOut(ApiModel):
    """The margin of positions (used) and working orders (reserved), and what is left of equity.

    levelPercent is equity of used margin, null while none is used; at stopOutPercent positions
    are closed, null where they never are.
    """

    used: str
    reserved: str
    free: str
    level_percent: str | None
    stop_out_percent: str | None


class AccountOut(ApiModel):
    """An account. equity is null, with the reason, while it cannot be known; so is margin.

    A netting account has one position a symbol, a hedging one a leg for each order that opened.
    """

    account_id: str
    user_id: str | None
    name: str | None
    client_reference: str | None
    account_type: str
    program: str | None
    phase: str | None
    stage: Literal["evaluation", "verification", "funded", "scaled"] | None
    status: Status
    status_reason: str | None
    currency: str
    initial_balance: str
    balance: str
    equity: str | None
    equity_unknown_reason: str | None
    equity_unknown_detail: str | None
    high_water: str
    config_version: str
    rule_profile_version: str
    event_seq: int
    positioning: Literal["netting", "hedging"]
    open_positions: int
    day: DayOut
    margin: MarginOut | None
    floors: list[FloorOut]
    created_at: str


class AccountPage(ApiModel):
    """A page of accounts."""

    items: list[AccountOut]
    next_cursor: str | None


class Accounts(ApiModel):
    """Accounts that were opened together, in the order they were asked for."""

    items: list[AccountOut]


_AGAIN: dict[int | str, dict[str, Any]] = {
    200: {
        "model": AccountOut | Accounts,
        "description": "Opened before under the same Idempotency-Key.",
    }
}


@router.get("")
async def get_accounts(
    request: Request, scope: Reader, limit: Limit = 100, cursor: Cursor = None
) -> AccountPage:
    """List accounts by identifier; traders see their own."""
    after = decode_cursor(cursor, UUID)
    views = await list_accounts(
        ports_of(request), scope, None if after is None else after[0], limit + 1
    )
    kept, following = page(views, limit, lambda view: (view.owned.account.account_id,))
    return AccountPage(items=[_shown(view) for view in kept], next_cursor=following)


@router.post("", status_code=201, responses=_AGAIN)
async def post_account(
    request: Request,
    response: Response,
    scope: Creator,
    new: OneOrMany,
    idempotency_key: IdempotencyKey = None,
) -> AccountOut | Accounts:
    """Open an account, or up to 100 together, pinned to the tenant's current configuration."""
    ports = ports_of(request)
    if isinstance(new, NewAccounts):
        return await _opened(ports, response, scope, new.accounts, idempotency_key)
    opened = await open_once(ports, scope, _opening(new, idempotency_key))
    if isinstance(opened, OpeningRefused):
        raise _refused([NotOpened(0, opened)], [new], "")
    response.status_code = 201 if opened.new else 200
    response.headers["location"] = f"/tenants/{scope.tenant_id}/accounts/{opened.account_id}"
    return _shown(await read_account(ports, scope, opened.account_id))


async def _opened(
    ports: Ports, response: Response, scope: Scope, new: Sequence[NewAccount], key: str | None
) -> Accounts:
    if key is None:
        error = FieldError("header/Idempotency-Key", "a key, to open many accounts", "nothing")
        raise ProblemError("invalid_fields", "1 field(s) do not hold.", [error])
    opened = await open_all(ports, scope, [_opening(one, None) for one in new], key)
    done = [one for one in opened if isinstance(one, Opened)]
    refused = [one for one in opened if isinstance(one, NotOpened)]
    if refused:
        raise _refused(refused, new, "/accounts/{index}")
    response.status_code = 201 if all(one.new for one in done) else 200
    return Accounts(items=[_shown(await read_account(ports, scope, it.account_id)) for it in done])


def _opening(new: NewAccount, key: str | None) -> Opening:
    return Opening(new.user_id, new.account_type, new.name, key, new.client_reference)


@router.get("/{accountId}")
async def get_account(request: Request, scope: Reader, accountId: str) -> AccountOut:  # noqa: N803
    """Return an account with its equity, its floors and the distance to each."""
    require_uuid(accountId)
    return _shown(await read_account(ports_of(request), scope, accountId))


@router.patch("/{accountId}", response_model=AccountOut, responses=_PENDING)
async def patch_account(
    request: Request,
    scope: Manager,
    accountId: str,  # noqa: N803
    change: AccountChange,
    idempotency_key: IdempotencyKey = None,
) -> AccountOut | Response:
    """Disable, enable or close an account through its one writer."""
    require_uuid(accountId)
    ports = ports_of(request)
    submitted = await change_status(
        ports, scope, accountId, status=change.status, reason=change.reason, key=idempotency_key
    )
    delivery = settled(submitted)
    if not delivery.settled:
        pending = Pending(signal_id=delivery.signal_id)
        return JSONResponse(pending.model_dump(by_alias=True), status_code=202)
    return _shown(await read_account(ports, scope, accountId))


def _refused(refused: Sequence[NotOpened], new: Sequence[NewAccount], place: str) -> ProblemError:
    """Name the field of each account that cannot be opened."""
    if refused[0].reason is OpeningRefused.KEY_TAKEN:
        return ProblemError("body_conflict", "The key was used before for other accounts.")
    errors = []
    for one in refused:
        asked, where = new[one.index], place.format(index=one.index)
        if one.reason is OpeningRefused.UNKNOWN_USER:
            error = FieldError(f"{where}/userId", "a user of the tenant", "no such user")
        elif one.reason is OpeningRefused.UNKNOWN_ACCOUNT_TYPE:
            expected = "a type of the configuration"
            error = FieldError(f"{where}/accountType", expected, asked.account_type)
        else:
            expected = "a reference no other account has"
            error = FieldError(f"{where}/clientReference", expected, str(asked.client_reference))
        errors.append(error)
    return ProblemError("invalid_fields", f"{len(errors)} field(s) do not hold.", errors)


def _shown(view: AccountView) -> AccountOut:
    account = view.owned.account

    def money(amount_minor: int) -> str:
        return format_minor(amount_minor, account.currency_digits)

    unknown = view.equity_unknown
    return AccountOut.model_validate(
        {
            "account_id": account.account_id,
            "user_id": view.owned.user_id,
            "name": view.owned.name,
            "client_reference": view.owned.client_reference,
            "account_type": account.account_type,
            "program": None if view.phase is None else view.phase.program_id,
            "phase": None if view.phase is None else view.phase.phase_id,
            "stage": None if view.phase is None else view.phase.stage,
            "status": account.status,
            "status_reason": account.status_reason,
            "currency": account.currency,
            "initial_balance": money(account.initial_balance_minor),
            "balance": money(account.balance_minor),
            "equity": None if view.equity_minor is None else money(view.equity_minor),
            "equity_unknown_reason": None if unknown is None else str(unknown.reason),
            "equity_unknown_detail": None if unknown is None else unknown.detail,
            "high_water": money(view.high_water_minor),
            "config_version": account.config_version,
            "rule_profile_version": view.profile.version,
            "event_seq": account.event_seq,
            "positioning": view.positioning,
            "open_positions": len(account.positions),
            "day": _day(view),
            "margin": _margin(view),
            "floors": _floors(view),
            "created_at": format_rfc3339(view.owned.created_at_ns),
        }
    )


def _day(view: AccountView) -> DayOut:
    day, digits = view.owned.account.day, view.owned.account.currency_digits
    return DayOut(
        date=day.date,
        started_at=format_rfc3339(day.started_ns),
        next_reset_at=format_rfc3339(day.next_reset_ns),
        start_balance=format_minor(day.start_balance_minor, digits),
        start_equity=format_minor(day.start_equity_minor, digits),
        realised=format_minor(day.realised_minor, digits),
        traded=day.traded,
        over=view.day_over,
    )


def _margin(view: AccountView) -> MarginOut | None:
    margin, digits = view.margin, view.owned.account.currency_digits
    if margin is None:
        return None
    return MarginOut(
        used=format_minor(margin.used_minor, digits),
        reserved=format_minor(margin.reserved_minor, digits),
        free=format_minor(margin.free_minor, digits),
        level_percent=_percent(margin.level_ppm),
        stop_out_percent=_percent(view.stop_out_ppm),
    )


def _percent(ppm: int | None) -> str | None:
    return None if ppm is None else format_minor(ppm, PERCENT_DIGITS)


def _floors(view: AccountView) -> list[FloorOut]:
    digits, equity_minor = view.owned.account.currency_digits, view.equity_minor
    return [
        FloorOut.model_validate(
            {
                "rule": floor.rule,
                "rule_id": floor.rule_id,
                "floor": format_minor(floor.floor_minor, digits),
                "distance": None
                if equity_minor is None
                else format_minor(floor.distance_minor(equity_minor), digits),
                "comparator": floor.comparator,
                "severity": floor.severity,
                "action": floor.action,
                "detail": floor.detail,
            }
        )
        for floor in view.floors
    ]
