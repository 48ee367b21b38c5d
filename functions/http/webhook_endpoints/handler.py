"""Endpoints of outbound webhooks: where a tenant's events go, what went, and sending it again."""

from typing import Annotated, Any, Literal, Self, TypeVar, cast
from uuid import UUID

from fastapi import Depends
from pydantic import Field, model_validator
from starlette.requests import Request
from starlette.responses import Response

from quantlab.audit.chain import TENANT_STREAM
from quantlab.kernel.check import check
from quantlab.kernel.instants import format_rfc3339
from quantlab.tenancy.permissions import Permission
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.outbound import Delivery, Endpoint, EndpointChange
from quantlab_app.use_cases import webhook_endpoints as use_cases
from quantlab_edge.http import ApiModel, principal, require_account, require_uuid
from quantlab_edge.http import router as new_router
from quantlab_edge.pagination import Cursor, Limit, decode_cursor, page
from quantlab_edge.parameters import Instant, UuidText, instant_ns
from quantlab_edge.problems import FieldError, ProblemError, shown
from quantlab_edge.requests import ports_of

TYPES_MAX = 100
SEQ_MAX = (1 << 63) - 1

router = new_router("webhook endpoints", prefix="/tenants/{tenantId}/webhook-endpoints")

Reader = Annotated[Scope, Depends(principal(Permission.WEBHOOKS_READ))]
Manager = Annotated[Scope, Depends(principal(Permission.WEBHOOKS_MANAGE))]
Url = Annotated[str, Field(max_length=2048, description="An https address without credentials.")]
Description = Annotated[str, Field(max_length=100)]
EventTypes = Annotated[
    tuple[Annotated[str, Field(max_length=64)], ...],
    Field(
        max_length=TYPES_MAX,
        description="Event types such as order.filled, or families such as order.*; none: every.",
    ),
]
Seq = Annotated[int, Field(ge=1, le=SEQ_MAX)]
Selection = use_cases.OneDelivery | use_cases.SeqRange | use_cases.TimeRange
Done = TypeVar("Done")


class NewEndpoint(ApiModel):
    """An endpoint to be made."""

    url: Url
    description: Description = ""
    event_types: EventTypes = ()


class EndpointPatch(ApiModel):
    """What to change; what is absent stays. Enabling forgets the failures so far."""

    url: Url | None = None
    description: Description | None = None
    event_types: EventTypes | None = None
    status: Literal["active", "disabled"] | None = None


class EndpointOut(ApiModel):
    """An endpoint; its secret cannot be read again.

    failingSince is the first failure after the last success. Nothing is sent before pausedUntil.
    """

    endpoint_id: str
    url: str
    description: str
    event_types: list[str]
    status: Literal["active", "disabled"]
    disabled_reason: Literal["by_request", "gone", "failing"] | None
    failing_since: str | None
    paused_until: str | None
    created_at: str


class EndpointWithSecret(ApiModel):
    """A new endpoint with the secret that signs, shown this once."""

    endpoint: EndpointOut
    secret: str


class RotatedEndpointSecret(ApiModel):
    """The new secret, shown this once; the old one signs as well for graceSeconds more."""

    endpoint_id: str
    secret: str
    grace_seconds: int


class EndpointPage(ApiModel):
    """A page of endpoints."""

    items: list[EndpointOut]
    next_cursor: str | None


class WebhookAttemptOut(ApiModel):
    """One attempt. status is null when no answer came, and error says why; answer is its start."""

    at: str
    duration_ms: int
    status: int | None
    error: str | None
    answer: str


class WebhookDeliveryOut(ApiModel):
    """An event for the endpoint. messageId is the `webhook-id`; accountId is null for a tenant's.

    The attempts are the latest fifty, the first one first.
    """

    delivery_id: str
    message_id: str
    account_id: str | None
    seq: int
    event_type: str
    timestamp: str
    status: Literal["pending", "delivered", "failed"]
    next_attempt_at: str | None
    created_at: str
    attempts: list[WebhookAttemptOut]


class WebhookDeliveryPage(ApiModel):
    """A page of deliveries, the newest first."""

    items: list[WebhookDeliveryOut]
    next_cursor: str | None


class WebhookReplay(ApiModel):
    """What to deliver again: one delivery, a range of an account's events, or a range of time.

    deliveryId; or accountId, fromSeq and toSeq, both included; or startTime and, excluded, endTime.
    """

    delivery_id: UuidText | None = None
    account_id: UuidText | None = None
    from_seq: Seq | None = None
    to_seq: Seq | None = None
    start_time: Instant | None = None
    end_time: Instant | None = None

    @property
    def selection(self) -> Selection | None:
        """What is selected; None when it is not exactly one of the three."""
        match [name for name in type(self).model_fields if getattr(self, name) is not None]:
            case ["delivery_id"]:
                return use_cases.OneDelivery(self.delivery_id or "")
            case ["account_id", "from_seq", "to_seq"]:
                return use_cases.SeqRange(
                    self.account_id or "", self.from_seq or 0, self.to_seq or 0
                )
            case ["start_time", "end_time"]:
                return use_cases.TimeRange(
                    instant_ns(self.start_time or ""), instant_ns(self.end_time or "")
                )
        return None

    @model_validator(mode="after")
    def _selects(self) -> Self:
        if self.selection is None:
            raise ValueError(
                "either deliveryId, or accountId, fromSeq and toSeq, or startTime and endTime"
            )
        return self


class WebhookReplayed(ApiModel):
    """How many deliveries are due now."""

    deliveries: int


class WebhookTest(ApiModel):
    """The delivery that shows what becomes of the test event."""

    delivery_id: str


@router.get("")
async def get_endpoints(
    request: Request, scope: Reader, limit: Limit = 100, cursor: Cursor = None
) -> EndpointPage:
    """List endpoints by identifier."""
    after = decode_cursor(cursor, UUID)
    rows = await use_cases.list_endpoints(
        ports_of(request), scope, None if after is None else after[0], limit + 1
    )
    kept, following = page(rows, limit, lambda one: (one.endpoint_id,))
    return EndpointPage(items=[_endpoint(one) for one in kept], next_cursor=following)


@router.post("", status_code=201)
async def post_endpoint(
    request: Request, response: Response, scope: Manager, new: NewEndpoint
) -> EndpointWithSecret:
    """Make an endpoint; it gets the events that happen from now on."""
    made = await use_cases.create_endpoint(
        ports_of(request), scope, new.url, new.description, new.event_types
    )
    made = _held(made, new)
    endpoint = made.endpoint
    response.headers["cache-control"] = "no-store"
    response.headers["location"] = (
        f"/tenants/{scope.tenant_id}/webhook-endpoints/{endpoint.endpoint_id}"
    )
    return EndpointWithSecret(endpoint=_endpoint(endpoint), secret=made.secret)


@router.get("/{endpointId}")
async def get_endpoint(request: Request, scope: Reader, endpointId: str) -> EndpointOut:  # noqa: N803
    """Return one endpoint."""
    require_uuid(endpointId)
    return _endpoint(await use_cases.read_endpoint(ports_of(request), scope, endpointId))


@router.patch("/{endpointId}")
async def patch_endpoint(
    request: Request,
    scope: Manager,
    endpointId: str,  # noqa: N803
    patch: EndpointPatch,
) -> EndpointOut:
    """Change an endpoint. Disabling ends what is pending for it as failed."""
    require_uuid(endpointId)
    change = EndpointChange(patch.url, patch.description, patch.event_types, patch.status)
    changed = await use_cases.change_endpoint(ports_of(request), scope, endpointId, change)
    return _endpoint(_held(changed, patch))


@router.delete("/{endpointId}", status_code=204)
async def delete_endpoint(request: Request, scope: Manager, endpointId: str) -> None:  # noqa: N803
    """Delete an endpoint; its deliveries can no longer be seen."""
    require_uuid(endpointId)
    await use_cases.delete_endpoint(ports_of(request), scope, endpointId)


@router.post("/{endpointId}/rotate-secret")
async def post_rotation(
    request: Request,
    response: Response,
    scope: Manager,
    endpointId: str,  # noqa: N803
) -> RotatedEndpointSecret:
    """Give an endpoint a new secret; for a grace period both sign."""
    require_uuid(endpointId)
    fresh = await use_cases.rotate_secret(ports_of(request), scope, endpointId)
    response.headers["cache-control"] = "no-store"
    return RotatedEndpointSecret(
        endpoint_id=endpointId, secret=fresh.secret, grace_seconds=use_cases.GRACE_S
    )


@router.get("/{endpointId}/deliveries")
async def get_deliveries(
    request: Request,
    scope: Reader,
    endpointId: str,  # noqa: N803
    status: Literal["pending", "delivered", "failed"] | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> WebhookDeliveryPage:
    """List an endpoint's deliveries of the last thirty days with every attempt."""
    require_uuid(endpointId)
    after = decode_cursor(cursor, int, UUID)
    rows = await use_cases.list_deliveries(
        ports_of(request),
        scope,
        endpointId,
        status,
        None if after is None else (after[0], after[1]),
        limit + 1,
    )
    kept, following = page(rows, limit, lambda one: (one.created_ns, one.delivery_id))
    return WebhookDeliveryPage(items=[_delivery(one) for one in kept], next_cursor=following)


@router.post("/{endpointId}/replay", status_code=202)
async def post_replay(
    request: Request,
    scope: Manager,
    endpointId: str,  # noqa: N803
    wanted: WebhookReplay,
) -> WebhookReplayed:
    """Deliver events again, each under the `webhook-id` it always has."""
    require_uuid(endpointId)
    ports, selection = ports_of(request), wanted.selection
    if isinstance(selection, use_cases.SeqRange):
        await require_account(ports, scope, selection.account_id)
    check(selection is not None, "a replay was validated")
    made = await use_cases.replay(ports, scope, endpointId, cast(Selection, selection))
    return WebhookReplayed(deliveries=_held(made, wanted))


@router.post("/{endpointId}/test", status_code=202)
async def post_test(request: Request, scope: Manager, endpointId: str) -> WebhookTest:  # noqa: N803
    """Have a test event delivered, whatever event types the endpoint has asked for."""
    require_uuid(endpointId)
    sent = await use_cases.send_test(ports_of(request), scope, endpointId)
    return WebhookTest(delivery_id=_held(sent, None))


def _held(result: Done | use_cases.Refused, sent: ApiModel | None) -> Done:
    """Return a result; word the problem of a refusal, with what was sent in its field."""
    if not isinstance(result, use_cases.Refused):
        return result
    if result.field is None or sent is None:
        raise ProblemError("conflict", f"Refused: {result.expected}.")
    got: Any = sent.model_dump(by_alias=True)
    for name in filter(None, result.field.split("/")):
        got = got[int(name) if name.isdigit() else name]
    pointer = f"/{result.field}" if result.field else ""
    error = FieldError(pointer, result.expected, shown(got))
    raise ProblemError("invalid_fields", "1 field(s) do not hold.", [error])


def _endpoint(one: Endpoint) -> EndpointOut:
    since_ns, until_ns = one.failing_since_ns, one.paused_until_ns
    return EndpointOut(
        endpoint_id=one.endpoint_id,
        url=one.url,
        description=one.description,
        event_types=list(one.event_types),
        status=one.status,
        disabled_reason=one.disabled_reason,
        failing_since=None if since_ns is None else format_rfc3339(since_ns),
        paused_until=format_rfc3339(until_ns) if until_ns else None,
        created_at=format_rfc3339(one.created_ns),
    )


def _delivery(one: Delivery) -> WebhookDeliveryOut:
    pending = one.status == "pending"
    return WebhookDeliveryOut(
        delivery_id=one.delivery_id,
        message_id=one.message_id,
        account_id=None if one.stream_id == TENANT_STREAM else one.stream_id,
        seq=one.seq,
        event_type=one.event_type,
        timestamp=format_rfc3339(one.occurred_ns),
        status=one.status,
        next_attempt_at=format_rfc3339(one.next_attempt_ns) if pending else None,
        created_at=format_rfc3339(one.created_ns),
        attempts=[
            WebhookAttemptOut(
                at=format_rfc3339(attempt.started_ns),
                duration_ms=attempt.duration_ms,
                status=attempt.status,
                error=attempt.error,
                answer=attempt.answer,
            )
            for attempt in one.attempts
        ],
    )
