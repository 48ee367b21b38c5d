"""Bad ticks: ranges that should never have been, what they did to accounts, and corrections."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from quantlab.engine.bad_ticks import BadTicks
from quantlab.kernel.instants import format_rfc3339
from quantlab.tenancy.permissions import Permission
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.bad_ticks import AccountDifference, BadTickRange
from quantlab_app.use_cases import bad_ticks
from quantlab_app.use_cases.approvals import Refused
from quantlab_edge.approval_answers import ApprovalOut, at, refusal_problem, shown_approval, taken
from quantlab_edge.http import ApiModel, principal, require_uuid
from quantlab_edge.http import router as new_router
from quantlab_edge.pagination import Cursor, Limit, decode_cursor, page
from quantlab_edge.parameters import IdempotencyKey, UuidText, Words
from quantlab_edge.requests import ports_of

router = new_router("bad ticks", prefix="/tenants/{tenantId}/bad-ticks")

Reader = Annotated[Scope, Depends(principal(Permission.APPROVALS_READ))]
Manager = Annotated[Scope, Depends(principal(Permission.ACCOUNTS_MANAGE))]
Seq = Annotated[int, Field(ge=1, lt=1 << 53)]
STEP_MAX = 50


class NewRange(ApiModel):
    """A range of a symbol's ticks by the feed's seq, both ends included."""

    symbol: Annotated[str, Field(min_length=1, max_length=40)]
    from_seq: Seq
    to_seq: Seq
    reason: Words


class RangeOut(ApiModel):
    """A range as it was marked; ticks is how many of them the log held then."""

    range_id: str
    symbol: str
    from_seq: int
    to_seq: int
    ticks: int
    reason: str
    marked_by: str
    marked_at: str
    withdrawn_by: str | None
    withdrawn_at: str | None
    withdrawn_reason: str | None


class RangePage(ApiModel):
    """A page of ranges, newest first."""

    items: list[RangeOut]
    next_cursor: str | None


class DifferenceOut(ApiModel):
    """What a range did to an account, as last recomputed at its event eventSeq.

    amount is what a correction would book. problem says why the account could not be recomputed.
    digest is the SHA-256 of the difference's RFC 8785 JSON.
    """

    account_id: str
    event_seq: int
    affected: bool
    amount: str | None
    problem: str | None
    digest: str
    computed_at: str
    difference: dict[str, Any]


class DifferencePage(ApiModel):
    """A page of differences by account."""

    items: list[DifferenceOut]
    next_cursor: str | None


class RecomputeStep(ApiModel):
    """How many accounts to recompute in this call."""

    limit: Annotated[int, Field(ge=1, le=STEP_MAX)] = 10


class Recomputation(ApiModel):
    """The accounts recomputed; call again while more is true."""

    items: list[DifferenceOut]
    more: bool


class Withdrawal(ApiModel):
    """Why the ticks are held to be good again."""

    reason: Words


class CorrectionRequest(ApiModel):
    """The account to be corrected."""

    account_id: UuidText


@router.get("")
async def get_ranges(
    request: Request, scope: Reader, limit: Limit = 100, cursor: Cursor = None
) -> RangePage:
    """List the ranges that were marked bad, newest first."""
    after = decode_cursor(cursor, int, UUID)
    before = None if after is None else (after[0], after[1])
    rows = await ports_of(request).bad_tick_ranges.page(scope, before, limit + 1)
    kept, following = page(list(rows), limit, lambda row: (row.marked_ns, row.range_id))
    return RangePage(items=[_range(row) for row in kept], next_cursor=following)


@router.post("", status_code=201, responses={200: {"model": RangeOut}})
async def post_range(
    request: Request,
    response: Response,
    scope: Manager,
    new: NewRange,
    idempotency_key: IdempotencyKey = None,
) -> RangeOut:
    """Mark a range of ticks as bad; accounts stay as they are until corrections are approved."""
    bad = BadTicks(new.symbol, new.from_seq, new.to_seq)
    found = await bad_ticks.mark(ports_of(request), scope, bad, new.reason, idempotency_key)
    if isinstance(found, Refused):
        raise refusal_problem(found)
    marked, fresh = found
    response.status_code = 201 if fresh else 200
    response.headers["location"] = f"/tenants/{scope.tenant_id}/bad-ticks/{marked.range_id}"
    return _range(marked)


@router.get("/{rangeId}")
async def get_range(request: Request, scope: Reader, rangeId: str) -> RangeOut:  # noqa: N803
    """Return one range."""
    require_uuid(rangeId)
    return _range(await bad_ticks.read_range(ports_of(request), scope, rangeId))


@router.post("/{rangeId}/withdraw")
async def post_withdraw(
    request: Request,
    scope: Manager,
    rangeId: str,  # noqa: N803
    why: Withdrawal,
) -> RangeOut:
    """Hold marked ticks to be good again, while no correction of them was asked for."""
    require_uuid(rangeId)
    found = await bad_ticks.withdraw(ports_of(request), scope, rangeId, why.reason)
    if isinstance(found, Refused):
        raise refusal_problem(found)
    return _range(found)


@router.post("/{rangeId}/recompute")
async def post_recompute(
    request: Request,
    scope: Manager,
    rangeId: str,  # noqa: N803
    step: RecomputeStep,
) -> Recomputation:
    """Replay the next accounts that may have seen the ticks without them; nothing is changed."""
    require_uuid(rangeId)
    ports = ports_of(request)
    found = await bad_ticks.recompute(ports, scope, rangeId, step.limit)
    if isinstance(found, Refused):
        raise refusal_problem(found)
    return Recomputation(items=[_difference(one) for one in found.differences], more=found.more)


@router.get("/{rangeId}/differences")
async def get_differences(
    request: Request,
    scope: Reader,
    rangeId: str,  # noqa: N803
    affected: Annotated[bool | None, Query(description="Only those that are, or are not.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> DifferencePage:
    """List what the range did to the accounts that were recomputed."""
    require_uuid(rangeId)
    ports = ports_of(request)
    await bad_ticks.read_range(ports, scope, rangeId)
    after = decode_cursor(cursor, UUID)
    rows = await ports.bad_tick_ranges.differences(
        scope,
        rangeId,
        after=None if after is None else after[0],
        limit=limit + 1,
        affected=affected,
    )
    kept, following = page(list(rows), limit, lambda row: (row.account_id,))
    return DifferencePage(items=[_difference(row) for row in kept], next_cursor=following)


@router.post("/{rangeId}/corrections", status_code=201, responses={200: {"model": ApprovalOut}})
async def post_correction(
    request: Request,
    response: Response,
    scope: Manager,
    rangeId: str,  # noqa: N803
    new: CorrectionRequest,
) -> ApprovalOut:
    """Ask that an account be corrected; another person decides it at the approvals.

    A range corrects an account once: a request that is open or was carried out is the answer.
    """
    require_uuid(rangeId)
    asked = await bad_ticks.request_correction(ports_of(request), scope, new.account_id, rangeId)
    return shown_approval(taken(scope, asked, response))


def _range(marked: BadTickRange) -> RangeOut:
    return RangeOut(
        range_id=marked.range_id,
        symbol=marked.bad.symbol,
        from_seq=marked.bad.from_seq,
        to_seq=marked.bad.to_seq,
        ticks=marked.ticks,
        reason=marked.reason,
        marked_by=marked.marked_by,
        marked_at=format_rfc3339(marked.marked_ns),
        withdrawn_by=marked.withdrawn_by,
        withdrawn_at=at(marked.withdrawn_ns),
        withdrawn_reason=marked.withdrawn_reason,
    )


def _difference(found: AccountDifference) -> DifferenceOut:
    document = dict(found.document)
    return DifferenceOut(
        account_id=found.account_id,
        event_seq=found.event_seq,
        affected=found.affected,
        amount=document.get("amount"),
        problem=found.problem,
        digest=found.digest,
        computed_at=format_rfc3339(found.computed_ns),
        difference=document,
    )
