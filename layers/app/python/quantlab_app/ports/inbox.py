"""The inbox: commands accepted durably, once per idempotency key."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from quantlab.engine.commands import Event
from quantlab.kernel.records import dataclass
from quantlab.tenancy.scope import Scope


@dataclass(frozen=True, slots=True)
class NewCommand:
    """A command to be accepted. account_id None and an outcome mark a refused signal's record."""

    signal_id: str
    account_id: str | None
    source_kind: str
    source_id: str
    idempotency_key: bytes
    body_digest: bytes
    name: str
    payload: dict[str, Any]
    received_ns: int
    outcome: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The command that holds the key: ours when it is new, else the one that was first."""

    signal_id: str
    new: bool
    same_body: bool


@dataclass(frozen=True, slots=True)
class Delivery:
    """One row of the inbox as it is shown; times in nanoseconds.

    from_seq and to_seq span the events it led to, on its account's stream or the tenant's.
    """

    inbox_id: int
    signal_id: str
    account_id: str | None
    source_kind: str
    source_id: str
    name: str
    payload: dict[str, Any]
    received_ns: int
    status: str
    reason: str | None
    result: dict[str, Any] | None
    attempts: int
    duplicates: int
    done_ns: int | None
    from_seq: int | None
    to_seq: int | None

    @property
    def settled(self) -> bool:
        """Say whether nothing more will happen to it by itself."""
        return self.status != "accepted"


class Inbox(Protocol):
    """Where commands wait for their account's writer."""

    async def accept(self, scope: Scope, command: NewCommand) -> Accepted:
        """Insert the command unless its key is taken; return after the commit."""
        ...

    async def find(
        self, scope: Scope, source_kind: str, source_id: str, key: bytes, body_digest: bytes
    ) -> Accepted | None:
        """Return the command that holds the key and count the duplicate, or None."""
        ...

    async def delivery(self, scope: Scope, signal_id: str) -> Delivery | None:
        """Return one command by its public identifier."""
        ...

    async def deliveries(
        self,
        scope: Scope,
        *,
        source_kind: str | None,
        account_ids: Sequence[str] | None,
        status: str | None,
        before: int | None,
        limit: int,
    ) -> Sequence[Delivery]:
        """Return commands newest first; account_ids None means every account of the tenant."""
        ...

    async def histories(
        self, scope: Scope, deliveries: Sequence[Delivery]
    ) -> Mapping[str, Sequence[Event]]:
        """Return the events each delivery led to, by its signal_id."""
        ...

    async def redrive(self, scope: Scope, signal_id: str) -> bool:
        """Put a dead command back in its place; False when there is no such dead command."""
        ...

    async def forget_before(
        self, tenant_id: str, before_ns: int, source_kinds: Sequence[str]
    ) -> int:
        """Delete commands done before the moment; return how many."""
        ...
