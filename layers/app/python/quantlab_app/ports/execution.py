"""The one writer of accounts: claim, load, decide, write, all in one transaction."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import field
from typing import Protocol

from quantlab.engine.commands import Command, Event, Outcome
from quantlab.kernel.records import dataclass
from quantlab.ledger.state import Account
from quantlab.rules.surroundings import LinkedAccount


@dataclass(frozen=True, slots=True)
class Batch:
    """The claimed accounts of one tenant with their pending commands, oldest first.

    halted are the instruments that the tenant has halted, with the reasons.
    """

    tenant_id: str
    accounts: dict[str, Account]
    commands: tuple[Command, ...]
    halted: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Notes:
    """What concerns no account, to be recorded after event event_seq of the tenant's own stream.

    reasons holds why a signal was refused, None for other notes.
    """

    tenant_id: str
    event_seq: int
    commands: tuple[Command, ...]
    reasons: tuple[str | None, ...]


class ReadLinked(Protocol):
    """Reads, within the transaction of the order path, what trades together with some accounts."""

    async def __call__(
        self, tenant_id: str, account_ids: Sequence[str], since_ns: int
    ) -> Mapping[str, Sequence[LinkedAccount]]:
        """Return by account what is linked to it, with the orders since an instant.

        Until the transaction ends nobody else reads it for any account linked to one of these. So
        of two that are decided at once, the later one sees what the earlier one has done. Tenants
        are to be asked for in order of identifier, each once.
        """
        ...


Decide = Callable[[Sequence[Batch], ReadLinked], Awaitable[Sequence[Sequence[Outcome]]]]
Record = Callable[[Notes], Sequence[Event]]


class BatchFailed(Exception):
    """Deciding or writing failed and was rolled back; names the commands of the batches."""

    def __init__(self, inbox_ids: tuple[int, ...], cause: BaseException) -> None:
        super().__init__(f"{len(inbox_ids)} commands: {type(cause).__name__}: {cause}")
        self.inbox_ids = inbox_ids
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Ran:
    """What one transaction did for a tenant; notes_pending says whether notes wait as well."""

    tenant_id: str
    outcomes: Sequence[Outcome]
    notes_pending: bool


class Execution(Protocol):
    """The transaction of the order path; each statement in it is one tenant's."""

    async def run(
        self,
        tenant_ids: Sequence[str],
        limit: int,
        decide: Decide,
        account_ids: Sequence[str] | None = None,
    ) -> Sequence[Ran]:
        """Carry out up to limit pending commands a tenant, of accounts nobody else holds.

        With accounts named only theirs, after waiting for whoever holds those; no notes then.
        decide gets a batch for every tenant that has some, in order of tenant, and answers in the
        same order. Raises
        BatchFailed when a command cannot be decided or written: nothing was written, for nobody.
        """
        ...

    async def run_notes(self, tenant_id: str, limit: int, record: Record) -> Sequence[Event]:
        """Record notes, refused signals among them, on the tenant's own stream."""
        ...

    async def bury(self, tenant_id: str, inbox_id: int, reason: str, attempts_max: int) -> bool:
        """Count a failed attempt; at the limit make the command dead. True when it is dead."""
        ...

    async def pending_tenants(self) -> Sequence[str]:
        """Return tenants with pending commands, the longest waiting first."""
        ...

    async def published(self, tenant_id: str, spans: Sequence[tuple[str, int, int]]) -> None:
        """Note that these spans of events (stream, first and last seq) have reached the sockets."""
        ...
