"""The life of an account: payouts, resets, overrides, other rules, and what it was at each turn."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends
from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from quantlab.kernel.decimals import format_minor
from quantlab.kernel.instants import format_rfc3339
from quantlab.tenancy.permissions import Permission
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.approvals import Approval
from quantlab_app.use_cases import account_life
from quantlab_app.use_cases.accounts import move_config
from quantlab_app.use_cases.links import linked_accounts
from quantlab_edge.approval_answers import ApprovalOut, State, at, shown_approval, taken
from quantlab_edge.http import ApiModel, principal, require_uuid
from quantlab_edge.http import router as new_router
from quantlab_edge.outcomes import Pending, settled
from quantlab_edge.pagination import Cursor, Limit, decode_cursor, page
from quantlab_edge.parameters import IdempotencyKey, Words
from quantlab_edge.requests import ports_of

router = new_router("account life", prefix="/tenants/{tenantId}/accounts/{accountId}")

Reader = Annotated[Scope, Depends(principal(Permission.ACCOUNTS_READ))]
Manager = Annotated[Scope, Depends(principal(Permission.ACCOUNTS_MANAGE))]
Payee = Annotated[Scope, Depends(principal(Permission.PAYOUTS_REQUEST))]
Amount = Annotated[str, Field(max_length=40)]
_AGAIN: dict[int | str, dict[str, Any]] = {
    200: {"description": "Asked before under the same Idempotency-Key."}
}
_PENDING: dict[int | str, dict[str, Any]] = {
    202: {"model": Pending, "description": "Accepted and not carried out yet."}
}


class NewPayout(ApiModel):
    """How much to pay out, in the account's currency; all that is available when left out."""

    amount: Amount | None = None


class NewReset(ApiModel):
    """Why the account should begin anew."""

    reason: Words


class NewOverride(ApiModel):
    """Why a disabled account should trade again, the evidence, and what that corrects.

    adjustment is a signed amount to be booked; highWater what the mark should have been.
    """

    reason: Words
    evidence: Annotated[str, Field(min_length=1, max_length=4000)]
    adjustment: Amount | None = None
    high_water: Amount | None = None


class PayoutOut(ApiModel):
    """A payout asked for. date and eventSeq are those of its booking, null until it is paid."""

    payout_id: str
    state: State
    amount: str
    trader_share: str
    firm_share: str
    split_ppm: int
    requested_by: str
    requested_at: str
    expires_at: str
    decided_by: str | None
    decided_at: str | None
    ended_at: str | None
    ended_reason: str | None
    date: str | None
    event_seq: int | None


class GateOut(ApiModel):
    """One thing that must hold before a payout."""

    gate: str
    met: bool
    detail: str


class PayoutPage(ApiModel):
    """What could be asked for now, gate by gate, and a page of what was, newest first."""

    available: str
    possible: bool
    gates: list[GateOut]
    items: list[PayoutOut]
    next_cursor: str | None


class SnapshotOut(ApiModel):
    """The account at a turn of its life; digest is the SHA-256 of document's canonical JSON."""

    event_seq: int
    snapshot_id: str
    cause: str
    digest: str
    at: str
    document: dict[str, Any]


class SnapshotPage(ApiModel):
    """A page of snapshots, newest first."""

    items: list[SnapshotOut]
    next_cursor: str | None


class ConfigMoved(ApiModel):
    """The version the account is under, and whether it was under another one before."""

    config_version: str
    moved: bool


class Links(ApiModel):
    """The open accounts of the same user or the same link group."""

    account_ids: list[str]


@router.get("/payouts")
async def get_payouts(
    request: Request,
    scope: Reader,
    accountId: str,  # noqa: N803
    limit: Limit = 100,
    cursor: Cursor = None,
) -> PayoutPage:
    """Show what could be paid out now and what was asked for before."""
    require_uuid(accountId)
    after = decode_cursor(cursor, int, UUID)
    before = None if after is None else (after[0], after[1])
    owned, offer, rows = await account_life.read_payouts(
        ports_of(request), scope, accountId, before, limit + 1
    )
    kept, following = page(rows, limit, lambda row: (row.requested_ns, row.approval_id))
    return PayoutPage(
        available=format_minor(offer.available_minor, owned.account.currency_digits),
        possible=offer.open,
        gates=[GateOut(gate=one.slug, met=one.met, detail=one.words) for one in offer.gates],
        items=[_payout(row) for row in kept],
        next_cursor=following,
    )


@router.post("/payouts", status_code=201, responses=_AGAIN)
async def post_payout(
    request: Request,
    response: Response,
    scope: Payee,
    accountId: str,  # noqa: N803
    new: NewPayout,
    idempotency_key: IdempotencyKey = None,
) -> PayoutOut:
    """Ask for a payout; it is paid once another person has approved it."""
    require_uuid(accountId)
    asked = await account_life.request_payout(
        ports_of(request), scope, accountId, new.amount, idempotency_key
    )
    return _payout(taken(scope, asked, response))


@router.post("/reset", status_code=201, responses=_AGAIN)
async def post_reset(
    request: Request,
    response: Response,
    scope: Manager,
    accountId: str,  # noqa: N803
    new: NewReset,
    idempotency_key: IdempotencyKey = None,
) -> ApprovalOut:
    """Ask that the account end and another attempt at its phase begin, as a new account."""
    require_uuid(accountId)
    asked = await account_life.request_reset(
        ports_of(request), scope, accountId, new.reason, idempotency_key
    )
    return shown_approval(taken(scope, asked, response))


@router.post("/override", status_code=201, responses=_AGAIN)
async def post_override(
    request: Request,
    response: Response,
    scope: Manager,
    accountId: str,  # noqa: N803
    new: NewOverride,
    idempotency_key: IdempotencyKey = None,
) -> ApprovalOut:
    """Ask that a disabled account be enabled again."""
    require_uuid(accountId)
    asked = await account_life.request_override(
        ports_of(request), scope, accountId, reason=new.reason, evidence=new.evidence,
        adjustment=new.adjustment, high_water=new.high_water, key=idempotency_key,
    )  # fmt: skip
    return shown_approval(taken(scope, asked, response))


@router.get("/snapshots")
async def get_snapshots(
    request: Request,
    scope: Reader,
    accountId: str,  # noqa: N803
    limit: Limit = 100,
    cursor: Cursor = None,
) -> SnapshotPage:
    """List what the account was at the turns of its life, newest first."""
    require_uuid(accountId)
    after = decode_cursor(cursor, int)
    before = None if after is None else after[0]
    rows = await account_life.read_snapshots(ports_of(request), scope, accountId, before, limit + 1)
    kept, following = page(rows, limit, lambda row: (row["event_seq"],))
    items = [
        SnapshotOut(
            event_seq=row["event_seq"],
            snapshot_id=row["snapshot_id"],
            cause=row["cause"],
            digest=row["digest"],
            at=format_rfc3339(row["at_ns"]),
            document=row["document"],
        )
        for row in kept
    ]
    return SnapshotPage(items=items, next_cursor=following)


@router.post("/config-version", response_model=ConfigMoved, responses=_PENDING)
async def post_config_version(
    request: Request,
    scope: Manager,
    accountId: str,  # noqa: N803
    idempotency_key: IdempotencyKey = None,
) -> ConfigMoved | Response:
    """Put the account under the tenant's current configuration, and judge it by that at once."""
    require_uuid(accountId)
    ports = ports_of(request)
    delivery = settled(await move_config(ports, scope, accountId, idempotency_key))
    if not delivery.settled:
        pending = Pending(signal_id=delivery.signal_id)
        return JSONResponse(pending.model_dump(by_alias=True), status_code=202)
    return ConfigMoved(
        config_version=delivery.payload["version"], moved=bool((delivery.result or {})["moved"])
    )


@router.get("/links")
async def get_links(request: Request, scope: Reader, accountId: str) -> Links:  # noqa: N803
    """Return the accounts that rules compare this one with."""
    require_uuid(accountId)
    return Links(account_ids=list(await linked_accounts(ports_of(request), scope, accountId)))


def _payout(approval: Approval) -> PayoutOut:
    subject, paid = approval.subject, approval.paid
    return PayoutOut.model_validate(
        {
            "payout_id": approval.approval_id,
            "state": approval.state,
            "amount": subject["amount"],
            "trader_share": subject["traderShare"],
            "firm_share": subject["firmShare"],
            "split_ppm": subject["splitPpm"],
            "requested_by": approval.requested_by,
            "requested_at": format_rfc3339(approval.requested_ns),
            "expires_at": format_rfc3339(approval.expires_ns),
            "decided_by": approval.decided_by,
            "decided_at": at(approval.decided_ns),
            "ended_at": at(approval.ended_ns),
            "ended_reason": approval.ended_reason,
            "date": None if paid is None else paid["date"],
            "event_seq": None if paid is None else approval.event_seq,
        }
    )
