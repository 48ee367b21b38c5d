"""The audit log and the outbox it is filled from."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from quantlab.audit.chain import Entry
from quantlab.engine.commands import Event
from quantlab.kernel.records import dataclass
from quantlab.tenancy.scope import Scope


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a stream's chain: the last seq and its hash.

    due_seq is the last event that must be in it: those after that are on their way.
    """

    stream_id: str
    seq: int
    hash: bytes
    due_seq: int = 0


Link = Callable[[str, Head, Sequence[Event]], Sequence[Entry]]


@dataclass(frozen=True, slots=True)
class Appended:
    """What one turn did: entries added, and whether the outbound webhooks have got something."""

    entries: int
    handed_on: bool = False


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which entries: streams (None for every stream of the tenant), times, type, page."""

    streams: Sequence[str] | None
    start_ns: int | None
    end_ns: int | None
    event_type: str | None
    after: tuple[int, str, int] | None
    limit: int


class AuditLog(Protocol):
    """Append-only chains, one per account and one per tenant."""

    async def append_pending(self, tenant_id: str, limit: int, link: Link) -> Appended:
        """Chain the events that outbox rows name, exactly once.

        Where the tenant has an active endpoint, the rows are handed on to its webhooks in the same
        transaction.
        """
        ...

    async def page(self, scope: Scope, query: AuditQuery) -> Sequence[Entry]:
        """Return entries by time, then stream, then seq."""
        ...

    async def chain(
        self, scope: Scope, stream_id: str, after_seq: int, limit: int
    ) -> Sequence[Entry]:
        """Return a stream's entries in order of seq."""
        ...

    async def heads(self, scope: Scope) -> Sequence[Head]:
        """Return a head for each stream with events, all of one moment; seq 0 where it has none."""
        ...

    async def erase_payloads(self, tenant_id: str, stream_id: str, before_ns: int) -> int:
        """Erase payloads older than the moment; the chain stays. Return how many."""
        ...


@dataclass(frozen=True, slots=True)
class Unpublished:
    """Events of one stream that may not have reached the sockets."""

    stream_id: str
    events: Sequence[Event]


class Outbox(Protocol):
    """Rows written with every command, until their events have been handled."""

    async def tenants_waiting(self, topic: str, older_than_s: float) -> Sequence[str]:
        """Return tenants with rows of the topic (audit or publish) older than that."""
        ...

    async def unpublished(
        self, tenant_id: str, older_than_s: float, limit: int
    ) -> tuple[Sequence[int], Sequence[Unpublished]]:
        """Return rows of topic publish and the events they name."""
        ...

    async def drop(self, tenant_id: str, outbox_ids: Sequence[int]) -> None:
        """Delete rows of topic publish whose events have been sent."""
        ...


class Wakes(Protocol):
    """Hints that work has come; lost ones are made good by a sweep."""

    async def wake(self, queue: str, tenant_id: str, account_id: str | None = None) -> None:
        """Hint that a tenant, or one account of it, has work; never fails what was done before."""
        ...

    def listen(self, queue: str) -> AsyncIterator[str]:
        """Yield the tenant of every wake of a queue, for as long as it is iterated."""
        ...
