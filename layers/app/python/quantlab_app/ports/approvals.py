"""Requests that take two people, and what was paid by them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from quantlab.tenancy.scope import Scope
from quantlab_app.ports.inbox import NewCommand

ApprovalKind = Literal["payout", "override", "reset", "correction"]
Decision = Literal["approved", "rejected"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewApproval:
    """A request. asked is what the client sent, subject what would be carried out.

    requester_id is the person behind requested_by: of an API key whoever made the key.
    """

    approval_id: str
    kind: ApprovalKind
    account_id: str
    asked: Mapping[str, Any]
    subject: Mapping[str, Any]
    requested_by: str
    requester_id: str
    requested_ns: int
    expires_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval(NewApproval):
    """A request as it stands.

    state is pending, then approved, rejected or expired; what is approved ends as executed or
    refused. paid is what a payout came to, as its row says.
    """

    state: str
    decided_by: str | None
    decided_ns: int | None
    decision_reason: str | None
    ended_ns: int | None
    ended_reason: str | None
    event_seq: int | None
    paid: Mapping[str, Any] | None


class Approvals(Protocol):
    """Requests, their decisions, and payouts. A command given is queued in the same transaction."""

    async def request(self, scope: Scope, new: NewApproval, command: NewCommand) -> Approval | None:
        """Store a request with the command that records it; None when the id is taken.

        Conflict when the account has an open request already.
        """
        ...

    async def find(self, scope: Scope, approval_id: str) -> Approval | None:
        """Return one request."""
        ...

    async def page(
        self,
        scope: Scope,
        *,
        account_id: str | None,
        kind: str | None,
        state: str | None,
        before: tuple[int, str] | None,
        limit: int,
    ) -> Sequence[Approval]:
        """Return requests, newest first, before one of that moment and id."""
        ...

    async def decide(
        self,
        scope: Scope,
        approval_id: str,
        decision: Decision,
        *,
        reason: str,
        now_ns: int,
        command: NewCommand,
    ) -> bool:
        """Decide a request that is pending and has not expired; False when it is neither.

        Of many decisions at once exactly one finds it pending.
        """
        ...

    async def expire(
        self, tenant_id: str, now_ns: int, record: Callable[[Approval], NewCommand]
    ) -> Sequence[Approval]:
        """End the pending requests whose time has passed, each with the command that records it."""
        ...

    async def last_payout_date(self, scope: Scope, account_id: str) -> str | None:
        """Return the trading day of the account's last payout."""
        ...
