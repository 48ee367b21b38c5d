"""The audit chains: entries by time, with everything a stranger needs to recompute their hashes."""

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Query
from starlette.requests import Request

from quantlab.audit.chain import TENANT_STREAM, Entry
from quantlab.kernel.instants import format_rfc3339
from quantlab.tenancy.permissions import Permission
from quantlab.tenancy.scope import Scope
from quantlab_app.use_cases.audit_reads import AuditFilter, read_account_audit, read_tenant_audit
from quantlab_edge.http import ApiModel, principal, require_uuid
from quantlab_edge.http import router as new_router
from quantlab_edge.pagination import Cursor, Limit, decode_cursor, page
from quantlab_edge.parameters import Instant, instant_ns
from quantlab_edge.requests import ports_of

router = new_router("audit_logs", prefix="/tenants/{tenantId}")


class Selection:
    """What the query selects."""

    def __init__(
        self,
        startTime: Annotated[  # noqa: N803
            Instant | None, Query(description="Entries at or after this instant.")
        ] = None,
        endTime: Annotated[  # noqa: N803
            Instant | None, Query(description="Entries before this instant.")
        ] = None,
        eventType: Annotated[  # noqa: N803
            str | None, Query(pattern=r"^[a-z_]+(\.[a-z_]+)+$", max_length=64)
        ] = None,
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> None:
        after = decode_cursor(cursor, int, UUID, int)
        self.limit = limit
        self.wanted = AuditFilter(
            start_ns=None if startTime is None else instant_ns(startTime),
            end_ns=None if endTime is None else instant_ns(endTime),
            event_type=eventType,
            after=None if after is None else (after[0], after[1], after[2]),
            limit=limit + 1,
        )


Reader = Annotated[Scope, Depends(principal(Permission.AUDIT_READ))]
Selected = Annotated[Selection, Depends()]


class EntryOut(ApiModel):
    """One link of a chain; digests in hexadecimal. payload and salt are null once erased.

    accountId is null on the tenant's own chain. docs/architecture.md says how hash is made.
    """

    tenant_id: str
    account_id: str | None
    seq: int
    event_type: str
    timestamp: str
    payload: dict[str, Any] | None
    salt: str | None
    payload_digest: str
    prev_hash: str
    hash: str


class EntryPage(ApiModel):
    """A page of entries, by time, then chain, then seq."""

    items: list[EntryOut]
    next_cursor: str | None


@router.get("/accounts/{accountId}/audit-logs")
async def get_account_audit_logs(
    request: Request,
    scope: Reader,
    accountId: str,  # noqa: N803
    selected: Selected,
) -> EntryPage:
    """List the entries of an account's chain."""
    require_uuid(accountId)
    entries = await read_account_audit(ports_of(request), scope, accountId, selected.wanted)
    return _page(entries, selected.limit)


@router.get("/audit-logs")
async def get_tenant_audit_logs(request: Request, scope: Reader, selected: Selected) -> EntryPage:
    """List the entries of every chain of the tenant; to traders, those of their accounts."""
    entries = await read_tenant_audit(ports_of(request), scope, selected.wanted)
    return _page(entries, selected.limit)


def _page(entries: Sequence[Entry], limit: int) -> EntryPage:
    kept, following = page(entries, limit, lambda one: (one.occurred_ns, one.stream_id, one.seq))
    return EntryPage(items=[_entry(entry) for entry in kept], next_cursor=following)


def _entry(entry: Entry) -> EntryOut:
    return EntryOut.model_validate(
        {
            "tenant_id": entry.tenant_id,
            "account_id": None if entry.stream_id == TENANT_STREAM else entry.stream_id,
            "seq": entry.seq,
            "event_type": entry.event_type,
            "timestamp": format_rfc3339(entry.occurred_ns),
            "payload": entry.payload,
            "salt": None if entry.salt is None else entry.salt.hex(),
            "payload_digest": entry.payload_digest.hex(),
            "prev_hash": entry.prev_hash.hex(),
            "hash": entry.hash.hex(),
        }
    )
