"""Requests that take two people, as the API shows them, and the problems of their refusals."""

from typing import Any, Literal

from starlette.responses import Response

from quantlab.kernel.instants import format_rfc3339
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.approvals import Approval
from quantlab_app.use_cases.approvals import Asked, Refused, RefusedBecause
from quantlab_edge.http import ApiModel
from quantlab_edge.problems import FieldError, ProblemError

Kind = Literal["payout", "override", "reset", "correction"]
State = Literal["pending", "approved", "rejected", "expired", "executed", "refused"]


class ApprovalOut(ApiModel):
    """A request. subject is what would be, or was, carried out; endedReason why it was not."""

    approval_id: str
    kind: Kind
    account_id: str
    state: State
    subject: dict[str, Any]
    requested_by: str
    requested_at: str
    expires_at: str
    decided_by: str | None
    decided_at: str | None
    decision_reason: str | None
    ended_at: str | None
    ended_reason: str | None
    event_seq: int | None


class ApprovalPage(ApiModel):
    """A page of requests, newest first."""

    items: list[ApprovalOut]
    next_cursor: str | None


def shown_approval(approval: Approval) -> ApprovalOut:
    """Return a request as the API shows it."""
    return ApprovalOut.model_validate(
        {
            "approval_id": approval.approval_id,
            "kind": approval.kind,
            "account_id": approval.account_id,
            "state": approval.state,
            "subject": dict(approval.subject),
            "requested_by": approval.requested_by,
            "requested_at": format_rfc3339(approval.requested_ns),
            "expires_at": format_rfc3339(approval.expires_ns),
            "decided_by": approval.decided_by,
            "decided_at": at(approval.decided_ns),
            "decision_reason": approval.decision_reason,
            "ended_at": at(approval.ended_ns),
            "ended_reason": approval.ended_reason,
            "event_seq": approval.event_seq,
        }
    )


def at(moment_ns: int | None) -> str | None:
    """Write a moment that may not have come."""
    return None if moment_ns is None else format_rfc3339(moment_ns)


def taken(scope: Scope, asked: Asked | Refused, response: Response) -> Approval:
    """Return the request, with 200 for one that was taken before; raise the problem of a no."""
    if isinstance(asked, Refused):
        raise refusal_problem(asked)
    response.status_code = 201 if asked.new else 200
    place = f"/tenants/{scope.tenant_id}/approvals/{asked.approval.approval_id}"
    response.headers["location"] = place
    return asked.approval


def refusal_problem(refused: Refused) -> ProblemError:
    """Word a refusal; the gates of a payout that are shut are its errors."""
    if refused.because is RefusedBecause.INVALID_FIELD:
        error = FieldError(refused.pointer, refused.detail, "another value")
        return ProblemError("invalid_fields", "1 field(s) do not hold.", [error])
    shut = [gate for gate in refused.gates if not gate.met]
    errors = [FieldError(f"gate/{gate.slug}", "an open gate", gate.words) for gate in shut]
    return ProblemError(str(refused.because), refused.detail, errors)
