"""Approvals: what one person asked for and another decides."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Depends, Query
from pydantic import Discriminator, Field, Tag
from starlette.requests import Request
from starlette.responses import Response

from quantlab.tenancy.permissions import Permission
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.approvals import Decision
from quantlab_app.use_cases import account_life, approvals
from quantlab_app.use_cases.approvals import Refused
from quantlab_edge.approval_answers import (
    ApprovalOut,
    ApprovalPage,
    Kind,
    State,
    refusal_problem,
    shown_approval,
    taken,
)
from quantlab_edge.http import ApiModel, principal, require_uuid
from quantlab_edge.http import router as new_router
from quantlab_edge.pagination import Cursor, Limit, decode_cursor, page
from quantlab_edge.parameters import IdempotencyKey, UuidText, Words
from quantlab_edge.problems import ProblemError
from quantlab_edge.requests import ports_of

router = new_router("approvals", prefix="/tenants/{tenantId}/approvals")

Reader = Annotated[Scope, Depends(principal(Permission.APPROVALS_READ))]
Manager = Annotated[Scope, Depends(principal(Permission.ACCOUNTS_MANAGE))]
Decider = Annotated[Scope, Depends(principal(Permission.APPROVALS_DECIDE))]
Amount = Annotated[str, Field(max_length=40)]


class PayoutRequest(ApiModel):
    """A payout; without an amount of all that is available."""

    kind: Literal["payout"]
    account_id: UuidText
    amount: Amount | None = None


class ResetRequest(ApiModel):
    """Another attempt at the account's phase."""

    kind: Literal["reset"]
    account_id: UuidText
    reason: Words


class OverrideRequest(ApiModel):
    """A disabled account enabled again, with what the evidence corrects."""

    kind: Literal["override"]
    account_id: UuidText
    reason: Words
    evidence: Annotated[str, Field(min_length=1, max_length=4000)]
    adjustment: Amount | None = None
    high_water: Amount | None = None


def _kind(value: Any) -> str | None:
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    return f"|{kind}" if kind in ("payout", "reset", "override") else None


NewRequest = Annotated[
    Annotated[PayoutRequest, Tag("|payout")]
    | Annotated[ResetRequest, Tag("|reset")]
    | Annotated[OverrideRequest, Tag("|override")],
    Discriminator(
        _kind,
        custom_error_type="kind",
        custom_error_message="an object whose kind is payout, reset or override",
    ),
]


class DecisionIn(ApiModel):
    """Why it was decided so."""

    reason: Words


@router.get("")
async def get_approvals(
    request: Request,
    scope: Reader,
    accountId: Annotated[UuidText | None, Query()] = None,  # noqa: N803
    kind: Annotated[Kind | None, Query(description="Only requests of this kind.")] = None,
    status: Annotated[State | None, Query(description="Only requests in this state.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> ApprovalPage:
    """List requests, newest first."""
    after = decode_cursor(cursor, int, UUID)
    before = None if after is None else (after[0], after[1])
    rows = await approvals.list_approvals(
        ports_of(request),
        scope,
        account_id=accountId,
        kind=kind,
        state=status,
        before=before,
        limit=limit + 1,
    )
    kept, following = page(rows, limit, lambda row: (row.requested_ns, row.approval_id))
    return ApprovalPage(items=[shown_approval(row) for row in kept], next_cursor=following)


@router.post("", status_code=201, responses={200: {"model": ApprovalOut}})
async def post_approval(
    request: Request,
    response: Response,
    scope: Manager,
    new: NewRequest,
    idempotency_key: IdempotencyKey = None,
) -> ApprovalOut:
    """Ask for a payout, a reset or an override of any account."""
    ports, account_id, key = ports_of(request), new.account_id, idempotency_key
    if isinstance(new, PayoutRequest):
        if not scope.may(Permission.PAYOUTS_REQUEST):
            raise ProblemError("forbidden", "This needs the permission payouts_request.")
        asked = await account_life.request_payout(ports, scope, account_id, new.amount, key)
    elif isinstance(new, ResetRequest):
        asked = await account_life.request_reset(ports, scope, account_id, new.reason, key)
    else:
        asked = await account_life.request_override(
            ports, scope, account_id, reason=new.reason, evidence=new.evidence,
            adjustment=new.adjustment, high_water=new.high_water, key=key,
        )  # fmt: skip
    return shown_approval(taken(scope, asked, response))


@router.get("/{approvalId}")
async def get_approval(request: Request, scope: Reader, approvalId: str) -> ApprovalOut:  # noqa: N803
    """Return one request."""
    require_uuid(approvalId)
    return shown_approval(await approvals.read_approval(ports_of(request), scope, approvalId))


@router.post("/{approvalId}/approve")
async def post_approve(
    request: Request,
    scope: Decider,
    approvalId: str,  # noqa: N803
    decision: DecisionIn,
) -> ApprovalOut:
    """Approve a request of somebody else; the account's writer then carries it out."""
    return await _decide(request, scope, approvalId, "approved", decision.reason)


@router.post("/{approvalId}/reject")
async def post_reject(
    request: Request,
    scope: Decider,
    approvalId: str,  # noqa: N803
    decision: DecisionIn,
) -> ApprovalOut:
    """Reject a request of somebody else."""
    return await _decide(request, scope, approvalId, "rejected", decision.reason)


async def _decide(
    request: Request, scope: Scope, approval_id: str, decision: Decision, reason: str
) -> ApprovalOut:
    require_uuid(approval_id)
    decided = await approvals.decide(ports_of(request), scope, approval_id, decision, reason)
    if isinstance(decided, Refused):
        raise refusal_problem(decided)
    return shown_approval(decided)
