"""Signals: what became of each, with its timeline, and how many ended in which way."""

from typing import Annotated, Any, Literal

from fastapi import Depends, Query
from starlette.requests import Request

from quantlab.kernel.instants import format_rfc3339
from quantlab.tenancy.permissions import Permission
from quantlab.tenancy.scope import Scope
from quantlab_app.use_cases.deliveries import (
    DeliveryFilter,
    Step,
    Tracked,
    read_deliveries,
    read_delivery,
    read_totals,
)
from quantlab_edge.http import ApiModel, principal, require_uuid
from quantlab_edge.http import router as new_router
from quantlab_edge.pagination import Cursor, Limit, decode_cursor, page
from quantlab_edge.requests import ports_of

router = new_router("signals", prefix="/tenants/{tenantId}/signals")

Reader = Annotated[Scope, Depends(principal(Permission.SIGNALS_READ))]
Status = Literal["accepted", "executed", "rejected", "refused", "dead"]


class StepOut(ApiModel):
    """One point of a timeline; at is null where no moment was recorded."""

    event: str
    at: str | None
    reason: str | None


class SignalOut(ApiModel):
    """A delivery. A refused one has no account; result says what was done, or why it was not."""

    signal_id: str
    source: Literal["bot", "user", "watch", "schedule", "operator", "strategy"]
    bot_id: str | None
    account_id: str | None
    status: Status
    reason: str | None
    received_at: str
    done_at: str | None
    attempts: int
    duplicates: int
    signal: dict[str, Any]
    result: dict[str, Any] | None
    timeline: list[StepOut]


class SignalPage(ApiModel):
    """A page of signals, newest first."""

    items: list[SignalOut]
    next_cursor: str | None


class AcceptedTotals(ApiModel):
    """Where accepted signals are."""

    executed: int
    rejected: int
    dead: int
    pending: int


class Totals(ApiModel):
    """The ends of every authenticated attempt of the tenant's bots.

    Together with the unauthenticated ones, which belong to no tenant, they sum to the attempts.
    """

    accepted: AcceptedTotals
    duplicates: int
    refused: int


@router.get("")
async def get_signals(
    request: Request,
    scope: Reader,
    status: Annotated[Status | None, Query()] = None,
    accountId: Annotated[str | None, Query()] = None,  # noqa: N803
    limit: Limit = 100,
    cursor: Cursor = None,
) -> SignalPage:
    """List bots' signals; traders see those of their accounts, refused ones need all accounts."""
    if accountId is not None:
        require_uuid(accountId)
    after = decode_cursor(cursor, int)
    wanted = DeliveryFilter(accountId, status, None if after is None else after[0], limit + 1)
    found = await read_deliveries(ports_of(request), scope, wanted)
    kept, following = page(found, limit, lambda one: (one.delivery.inbox_id,))
    return SignalPage(items=[_signal(one) for one in kept], next_cursor=following)


@router.get("/summary")
async def get_summary(request: Request, scope: Reader) -> Totals:
    """Count how the tenant's signals ended; for roles that see every account."""
    totals = await read_totals(ports_of(request), scope)
    return Totals(
        accepted=AcceptedTotals(
            executed=totals["executed"],
            rejected=totals["rejected"],
            dead=totals["dead"],
            pending=totals["pending"],
        ),
        duplicates=totals["duplicates"],
        refused=totals["refused"],
    )


@router.get("/{signalId}")
async def get_signal(request: Request, scope: Reader, signalId: str) -> SignalOut:  # noqa: N803
    """Return what became of one signal, or of an order placed by a person."""
    require_uuid(signalId)
    return _signal(await read_delivery(ports_of(request), scope, signalId))


def _signal(one: Tracked) -> SignalOut:
    delivery = one.delivery
    return SignalOut.model_validate(
        {
            "signal_id": delivery.signal_id,
            "source": delivery.source_kind,
            "bot_id": delivery.source_id if delivery.source_kind == "bot" else None,
            "account_id": delivery.account_id,
            "status": delivery.status,
            "reason": delivery.reason,
            "received_at": format_rfc3339(delivery.received_ns),
            "done_at": None if delivery.done_ns is None else format_rfc3339(delivery.done_ns),
            "attempts": delivery.attempts,
            "duplicates": delivery.duplicates,
            "signal": delivery.payload,
            "result": delivery.result,
            "timeline": [_step(step) for step in one.timeline],
        }
    )


def _step(step: Step) -> StepOut:
    at = None if step.at_ns is None else format_rfc3339(step.at_ns)
    return StepOut(event=step.event, at=at, reason=step.reason)
