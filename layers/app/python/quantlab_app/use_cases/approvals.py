"""Requests that take two people: one asks, another decides, the account's writer carries out.

Each step is one transaction with the command that records it in the account's stream.
"""

import hashlib
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

from quantlab.engine.commands import CORRECT, NOTE, OVERRIDE, PAY_OUT, RESET
from quantlab.engine.payouts import Gate
from quantlab.kernel.canonical import Json, canonical_json
from quantlab.kernel.ids import derive_id
from quantlab.kernel.instants import SECOND_NS, format_rfc3339
from quantlab.kernel.records import dataclass
from quantlab.tenancy.scope import Scope, system_scope
from quantlab_app.ports.approvals import Approval, ApprovalKind, Decision, NewApproval
from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import Conflict, NotFound
from quantlab_app.ports.inbox import NewCommand
from quantlab_app.use_cases.submission import until_settled

LIFETIME_NS: Final = 72 * 3600 * SECOND_NS
ORDERS_QUEUE: Final = "orders"
COMMANDS: Final[Mapping[str, str]] = {
    "payout": PAY_OUT,
    "override": OVERRIDE,
    "reset": RESET,
    "correction": CORRECT,
}


class RefusedBecause(StrEnum):
    """Why a request was not taken or not decided; also the slug of its problem document."""

    ACCOUNT_CLOSED = "account_closed"
    NOT_DISABLED = "not_disabled"
    NOT_FLAT = "not_flat"
    PAYOUT_GATES = "payout_gates"
    INVALID_FIELD = "invalid_fields"
    KEY_TAKEN = "body_conflict"
    NOTHING_TO_CORRECT = "nothing_to_correct"
    NOT_REPLAYABLE = "not_replayable"
    TICKS_WITHDRAWN = "ticks_withdrawn"
    TICKS_CORRECTED = "ticks_corrected"
    APPROVAL_OPEN = "approval_open"
    NEEDS_USER = "approval_needs_user"
    SAME_PERSON = "approval_same_person"
    APPROVAL_EXPIRED = "approval_expired"
    APPROVAL_DECIDED = "approval_decided"


@dataclass(frozen=True, slots=True)
class Refused:
    """An expected no. pointer names the field of an invalid amount; gates those of a payout."""

    because: RefusedBecause
    detail: str
    pointer: str = ""
    gates: tuple[Gate, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was taken; new is False when an earlier one held the key."""

    approval: Approval
    new: bool


async def ask(
    ports: Ports,
    scope: Scope,
    kind: ApprovalKind,
    account_id: str,
    *,
    asked: dict[str, Json],
    subject: dict[str, Json],
    key: str | None = None,
    approval_id: str | None = None,
) -> Asked | Refused:
    """Take a request, once per key or id; an account has at most one that is open."""
    await expire(ports, scope.tenant_id)
    now_ns = ports.clock.now_ns()
    approval_id = approval_id or approval_id_of(ports, scope, key)
    new = NewApproval(
        approval_id=approval_id,
        kind=kind,
        account_id=account_id,
        asked=asked,
        subject=subject,
        requested_by=by_whom(scope),
        requester_id=await _person(ports, scope),
        requested_ns=now_ns,
        expires_ns=now_ns + LIFETIME_NS,
    )
    known: dict[str, Json] = {
        **subject,
        "approvalId": approval_id,
        "kind": kind,
        "requestedBy": new.requested_by,
        "expiresAt": format_rfc3339(new.expires_ns),
    }
    command = _noted(ports, scope, new, "requested", known)
    try:
        approval = await ports.approvals.request(scope, new, command)
    except Conflict:
        return Refused(RefusedBecause.APPROVAL_OPEN, "The account has an open request already.")
    if approval is None:
        return await asked_before(ports, scope, approval_id, kind, account_id, asked)
    await ports.wakes.wake(ORDERS_QUEUE, scope.tenant_id, account_id)
    return Asked(approval, new=True)


def approval_id_of(ports: Ports, scope: Scope, key: str | None) -> str:
    """Name a request: by its key where it has one, so that it is found again."""
    if key is None:
        return ports.ids.new_id()
    return derive_id("approval", scope.tenant_id, scope.actor.id, key)


async def asked_before(
    ports: Ports,
    scope: Scope,
    approval_id: str,
    kind: ApprovalKind,
    account_id: str,
    asked: Mapping[str, Json],
) -> Asked | Refused:
    """Return the request of that id if it asked for the same."""
    first = await ports.approvals.find(scope, approval_id)
    if first is None or (first.kind, first.account_id, first.asked) != (kind, account_id, asked):
        return Refused(RefusedBecause.KEY_TAKEN, "The key was used before for another request.")
    return Asked(first, new=False)


async def decide(
    ports: Ports, scope: Scope, approval_id: str, decision: Decision, reason: str
) -> Approval | Refused:
    """Approve or reject a request, once; then wait a moment for what follows from it."""
    approval = await read_approval(ports, scope, approval_id)
    refused = await _may_not_decide(ports, scope, approval)
    if refused is not None:
        return refused
    command = _decided(ports, scope, approval, decision, reason)
    now_ns = ports.clock.now_ns()
    if not await ports.approvals.decide(
        scope, approval_id, decision, reason=reason, now_ns=now_ns, command=command
    ):
        return await _missed(ports, scope, approval_id)
    await ports.wakes.wake(ORDERS_QUEUE, scope.tenant_id, approval.account_id)
    await until_settled(ports, scope, command.signal_id)
    return await read_approval(ports, scope, approval_id)


async def read_approval(ports: Ports, scope: Scope, approval_id: str) -> Approval:
    """Return a request; NotFound when the tenant has none of that id."""
    approval = await ports.approvals.find(scope, approval_id)
    if approval is None:
        raise NotFound("approval")
    return approval


async def list_approvals(
    ports: Ports,
    scope: Scope,
    *,
    account_id: str | None = None,
    kind: str | None = None,
    state: str | None = None,
    before: tuple[int, str] | None = None,
    limit: int,
) -> Sequence[Approval]:
    """Return requests, newest first, with those whose time has passed as expired."""
    await expire(ports, scope.tenant_id)
    return await ports.approvals.page(
        scope, account_id=account_id, kind=kind, state=state, before=before, limit=limit
    )


async def expire(ports: Ports, tenant_id: str) -> int:
    """End what nobody decided in time, and record it; return how many."""
    scope = system_scope(tenant_id, "approvals", "")

    def record(approval: Approval) -> NewCommand:
        known: dict[str, Json] = {
            "approvalId": approval.approval_id,
            "kind": approval.kind,
            "reason": "nobody decided in time",
        }
        return _noted(ports, scope, approval, "expired", known)

    ended = await ports.approvals.expire(tenant_id, ports.clock.now_ns(), record)
    for approval in ended:
        await ports.wakes.wake(ORDERS_QUEUE, tenant_id, approval.account_id)
    return len(ended)


async def _may_not_decide(ports: Ports, scope: Scope, approval: Approval) -> Refused | None:
    """Refuse programs, whoever asked, and whoever the account belongs to."""
    if scope.actor.kind != "user":
        return Refused(RefusedBecause.NEEDS_USER, "Only a user may decide, no API key.")
    owner_id = await ports.account_owners.owner_of(scope, approval.account_id)
    if scope.actor.id in (approval.requester_id, owner_id):
        words = "Whoever asked, or owns the account, may not decide."
        return Refused(RefusedBecause.SAME_PERSON, words)
    if approval.state != "pending" or approval.expires_ns <= ports.clock.now_ns():
        return await _missed(ports, scope, approval.approval_id)
    return None


async def _missed(ports: Ports, scope: Scope, approval_id: str) -> Refused:
    await expire(ports, scope.tenant_id)
    approval = await read_approval(ports, scope, approval_id)
    if approval.state == "expired":
        return Refused(RefusedBecause.APPROVAL_EXPIRED, "Its time to be decided has passed.")
    words = f"It is {approval.state}, decided by {approval.decided_by}."
    return Refused(RefusedBecause.APPROVAL_DECIDED, words)


def _decided(
    ports: Ports, scope: Scope, approval: Approval, decision: Decision, reason: str
) -> NewCommand:
    """Return the command that carries out what was approved, or records what was rejected."""
    if decision == "rejected":
        known: dict[str, Json] = {
            "approvalId": approval.approval_id,
            "kind": approval.kind,
            "rejectedBy": by_whom(scope),
            "reason": reason,
        }
        return _noted(ports, scope, approval, "rejected", known)
    payload = {
        **approval.subject,
        "approvalId": approval.approval_id,
        "kind": approval.kind,
        "requestedBy": approval.requested_by,
        "approvedBy": by_whom(scope),
        "decisionReason": reason,
    }
    return _command(ports, scope, approval, COMMANDS[approval.kind], payload, "carry out")


def _noted(
    ports: Ports, scope: Scope, approval: NewApproval, step: str, known: dict[str, Json]
) -> NewCommand:
    """Return the command that records a step; a payout's is an event of payouts as well."""
    types = [f"approval.{step}"]
    if approval.kind == "payout":
        types.append("payout.requested" if step == "requested" else "payout.rejected")
    payload = {"events": [{"type": event_type, "payload": known} for event_type in types]}
    return _command(ports, scope, approval, NOTE, payload, step)


def _command(
    ports: Ports,
    scope: Scope,
    approval: NewApproval,
    name: str,
    payload: dict[str, Any],
    step: str,
) -> NewCommand:
    key = f"approval\x00{approval.approval_id}\x00{step}"
    return NewCommand(
        signal_id=ports.ids.new_id(),
        account_id=approval.account_id,
        source_kind="schedule" if scope.actor.kind == "system" else "operator",
        source_id=scope.actor.id,
        idempotency_key=hashlib.sha256(key.encode()).digest(),
        body_digest=hashlib.sha256(canonical_json(payload)).digest(),
        name=name,
        payload=payload,
        received_ns=ports.clock.now_ns(),
    )


def by_whom(scope: Scope) -> str:
    return f"{scope.actor.kind}:{scope.actor.id}"


async def _person(ports: Ports, scope: Scope) -> str:
    """Name the person who asks: of an API key whoever made it."""
    if scope.actor.kind != "api_key":
        return scope.actor.id
    key = await ports.api_keys.find(scope, scope.actor.id)
    return scope.actor.id if key is None else key.created_by
