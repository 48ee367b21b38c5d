"""Events of an account, readable again from any point: what a socket's `resync` asks for."""

from typing import Annotated, Any

from fastapi import Depends, Query
from starlette.requests import Request

from quantlab.kernel.instants import format_rfc3339
from quantlab.tenancy.permissions import Permission
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.sockets import LoggedEvent
from quantlab_app.use_cases import sockets
from quantlab_edge.http import ApiModel, principal, require_uuid
from quantlab_edge.http import router as new_router
from quantlab_edge.pagination import Cursor, Limit, decode_cursor, page
from quantlab_edge.requests import ports_of

router = new_router("events")

Reader = Annotated[Scope, Depends(principal(Permission.ACCOUNTS_READ))]
AfterSeq = Annotated[
    int, Query(alias="afterSeq", ge=0, lt=1 << 53, description="Events after this one only.")
]


class EventView(ApiModel):
    """One event; seq counts the account's events without gaps."""

    seq: int
    event_type: str
    timestamp: str
    payload: dict[str, Any]


class EventPage(ApiModel):
    """A page of events, oldest first."""

    items: list[EventView]
    next_cursor: str | None


@router.get("/tenants/{tenantId}/accounts/{accountId}/events")
async def list_events(
    request: Request,
    scope: Reader,
    accountId: str,  # noqa: N803
    after_seq: AfterSeq = 0,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> EventPage:
    """List the account's events after `afterSeq`, or after a page's `nextCursor`."""
    require_uuid(accountId)
    after = decode_cursor(cursor, int)
    start = after_seq if after is None else after[0]
    ports = ports_of(request)
    rows = await sockets.account_events(ports, scope, accountId, start, limit + 1)
    kept, following = page(rows, limit, lambda event: (event.seq,))
    return EventPage(items=[_view(event) for event in kept], next_cursor=following)


def _view(event: LoggedEvent) -> EventView:
    return EventView(
        seq=event.seq,
        event_type=event.event_type,
        timestamp=format_rfc3339(event.occurred_ns),
        payload=dict(event.payload),
    )
