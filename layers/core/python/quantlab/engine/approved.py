"""The steps that carrying out an approved request has in common, and how it ends."""

from typing import Any

from quantlab.engine.draft import Draft
from quantlab.engine.life_records import ApprovalEnd, Booking
from quantlab.engine.rejections import Rejection
from quantlab.kernel.canonical import Json
from quantlab.ledger.fills import LedgerEntry


def approved(draft: Draft, payload: dict[str, Any], *more: str) -> None:
    """Say who asked and who approved before anything of it is carried out."""
    known: dict[str, Json] = {
        key: payload[key] for key in ("approvalId", "kind", "requestedBy", "approvedBy")
    }
    for event_type in ("approval.approved", *more):
        draft.emit(event_type, {**known, "reason": payload["decisionReason"]})


def refuse(draft: Draft, payload: dict[str, Any], rejection: Rejection, step: str) -> Rejection:
    """End an approved request that cannot be carried out any more."""
    refused: dict[str, Json] = {
        "approvalId": payload["approvalId"],
        "reason": str(rejection.reason),
        "detail": rejection.detail,
    }
    event_type = "payout.rejected" if step == "payout" else "approval.refused"
    seq = draft.emit(event_type, refused)
    reason = f"{rejection.reason}: {rejection.detail}"
    draft.life.approval_ends.append(ApprovalEnd(payload["approvalId"], "refused", reason, seq))
    return rejection


def carried_out(
    draft: Draft, payload: dict[str, Any], event_type: str, said: dict[str, Json]
) -> None:
    """Record what was carried out by an event, and the request as executed."""
    draft.emit(event_type, said)
    draft.life.approval_ends.append(executed(draft, payload))


def executed(draft: Draft, payload: dict[str, Any]) -> ApprovalEnd:
    """End a request as carried out by the last event."""
    return ApprovalEnd(payload["approvalId"], "executed", None, draft.account.event_seq)


def book(draft: Draft, kind: str, amount_minor: int) -> None:
    """Record a whole amount that stands in the balance already; the carry stays as it is.

    It belongs to the event that comes next.
    """
    account = draft.account
    entry = LedgerEntry(kind, amount_minor, account.carry_micro, account.balance_minor)
    draft.life.bookings.append(Booking(draft.next_seq, entry))
