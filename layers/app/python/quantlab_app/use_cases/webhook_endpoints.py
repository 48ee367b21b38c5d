"""Endpoints of outbound webhooks: made, changed, given new secrets, tested; what went is shown."""

import base64
from collections.abc import AsyncIterator, Sequence
from dataclasses import field
from typing import Final

from quantlab.audit.chain import TENANT_STREAM
from quantlab.engine.commands import Event
from quantlab.kernel.canonical import Json
from quantlab.kernel.instants import SECOND_NS
from quantlab.kernel.records import dataclass
from quantlab.tenancy.scope import Scope
from quantlab.webhooks.outbound import TEST_EVENT, is_pattern, selects
from quantlab_app.ports.audit import AuditQuery
from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import NotFound
from quantlab_app.ports.outbound import (
    Delivery,
    DeliveryStatus,
    Endpoint,
    EndpointChange,
    NewDelivery,
)
from quantlab_app.use_cases.audit import WEBHOOK_QUEUE
from quantlab_app.use_cases.tenant_events import note
from quantlab_app.use_cases.webhook_delivery import SECRET_PURPOSE, delivery_of

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what Standard Webhooks secrets begin with
SECRET_BYTES: Final = 32
ENDPOINTS_MAX: Final = 20
GRACE_S: Final = 86_400
REPLAY_MAX: Final = 10_000
PAGE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Refused:
    """What does not hold: a field (None for the present state) and what was expected."""

    field: str | None
    expected: str


@dataclass(frozen=True, slots=True)
class NewSecret:
    """An endpoint with its new secret, which cannot be read again."""

    endpoint: Endpoint
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class OneDelivery:
    """Replay of one delivery."""

    delivery_id: str


@dataclass(frozen=True, slots=True)
class SeqRange:
    """Replay of an account's events from one seq to another, both included."""

    account_id: str
    from_seq: int
    to_seq: int


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Replay of all events at or after one instant and before another."""

    start_ns: int
    end_ns: int


async def create_endpoint(
    ports: Ports, scope: Scope, url: str, description: str, event_types: Sequence[str]
) -> NewSecret | Refused:
    """Make an endpoint; from now on it gets the events its patterns select (none: every one)."""
    change = EndpointChange(url=url, event_types=tuple(event_types))
    if (refused := _refused(ports, change)) is not None:
        return refused
    endpoint = Endpoint(
        endpoint_id=ports.ids.new_id(),
        url=url,
        description=description,
        event_types=tuple(event_types),
        status="active",
        disabled_reason=None,
        failing_since_ns=None,
        paused_until_ns=0,
        created_ns=ports.clock.now_ns(),
    )
    secret, cipher = await _fresh_secret(ports, scope)
    if not await ports.webhook_endpoints.add(scope, endpoint, cipher, ENDPOINTS_MAX):
        return Refused(None, f"expected at most {ENDPOINTS_MAX} endpoints a tenant")
    await _tell(ports, scope, "created", endpoint.endpoint_id, {})
    return NewSecret(endpoint, secret)


async def list_endpoints(
    ports: Ports, scope: Scope, after: str | None, limit: int
) -> Sequence[Endpoint]:
    """Return endpoints by identifier."""
    return await ports.webhook_endpoints.page(scope, after=after, limit=limit)


async def read_endpoint(ports: Ports, scope: Scope, endpoint_id: str) -> Endpoint:
    """Return one endpoint; NotFound when there is none."""
    endpoint = await ports.webhook_endpoints.find(scope, endpoint_id)
    if endpoint is None:
        raise NotFound("webhook endpoint")
    return endpoint


async def change_endpoint(
    ports: Ports, scope: Scope, endpoint_id: str, change: EndpointChange
) -> Endpoint | Refused:
    """Change an endpoint. Disabling ends what is pending; enabling forgets the failures."""
    await read_endpoint(ports, scope, endpoint_id)
    if (refused := _refused(ports, change)) is not None:
        return refused
    if not await ports.webhook_endpoints.change(scope, endpoint_id, change):
        raise NotFound("webhook endpoint")
    # An address may have a secret in it: what is told is that it changed.
    changed = [name for name in change.__slots__ if getattr(change, name) is not None]
    details: dict[str, Json] = {"changed": list(changed)}
    if change.status is not None:
        details["status"] = change.status
    await _tell(ports, scope, "updated", endpoint_id, details)
    return await read_endpoint(ports, scope, endpoint_id)


async def rotate_secret(ports: Ports, scope: Scope, endpoint_id: str) -> NewSecret:
    """Give an endpoint a new secret; the old one signs as well for GRACE_S."""
    endpoint = await read_endpoint(ports, scope, endpoint_id)
    secret, cipher = await _fresh_secret(ports, scope)
    old_until_ns = ports.clock.now_ns() + GRACE_S * SECOND_NS
    if not await ports.webhook_endpoints.rotate(scope, endpoint_id, cipher, old_until_ns):
        raise NotFound("webhook endpoint")
    await _tell(ports, scope, "secret_rotated", endpoint_id, {"graceSeconds": GRACE_S})
    return NewSecret(endpoint, secret)


async def delete_endpoint(ports: Ports, scope: Scope, endpoint_id: str) -> None:
    """Delete an endpoint with what is pending for it; NotFound when there is none."""
    if not await ports.webhook_endpoints.remove(scope, endpoint_id):
        raise NotFound("webhook endpoint")
    await _tell(ports, scope, "deleted", endpoint_id, {})


async def list_deliveries(
    ports: Ports,
    scope: Scope,
    endpoint_id: str,
    status: DeliveryStatus | None,
    before: tuple[int, str] | None,
    limit: int,
) -> Sequence[Delivery]:
    """Return an endpoint's deliveries with their attempts, the newest first."""
    await read_endpoint(ports, scope, endpoint_id)
    return await ports.webhook_deliveries.page(
        scope, endpoint_id, status=status, before=before, limit=limit
    )


async def send_test(ports: Ports, scope: Scope, endpoint_id: str) -> str | Refused:
    """Have a test event delivered whatever the patterns say; return the delivery's identifier."""
    endpoint = await read_endpoint(ports, scope, endpoint_id)
    if endpoint.status != "active":
        return Refused(None, "expected an active endpoint")
    now_ns, delivery_id = ports.clock.now_ns(), ports.ids.new_id()
    payload: dict[str, Json] = {"endpointId": endpoint_id}
    test = NewDelivery(
        delivery_id,
        endpoint_id,
        f"msg_{delivery_id}",
        TENANT_STREAM,
        0,
        TEST_EVENT,
        now_ns,
        payload,
    )
    await ports.webhook_deliveries.request(scope, [test], now_ns)
    await ports.wakes.wake(WEBHOOK_QUEUE, scope.tenant_id)
    return delivery_id


async def replay(
    ports: Ports, scope: Scope, endpoint_id: str, wanted: OneDelivery | SeqRange | TimeRange
) -> int | Refused:
    """Deliver again, or for the first time, what the endpoint's patterns select of a range.

    Return how many deliveries are due now, each under the `webhook-id` its event always has. One
    delivery is repeated whatever the patterns say now; NotFound when there is none.
    """
    endpoint = await read_endpoint(ports, scope, endpoint_id)
    if endpoint.status != "active":
        return Refused(None, "expected an active endpoint")
    if isinstance(wanted, OneDelivery):
        chosen = {wanted.delivery_id: await _known(ports, scope, endpoint_id, wanted)}
    else:
        chosen = {}
        events = (
            _of_account(ports, scope, wanted)
            if isinstance(wanted, SeqRange)
            else _of_time(ports, scope, wanted)
        )
        async for stream_id, event in events:
            if selects(endpoint.event_types, event.event_type):
                new = delivery_of(scope.tenant_id, endpoint_id, stream_id, event)
                chosen[new.delivery_id] = new
            if len(chosen) > REPLAY_MAX:
                return Refused("", f"a range of at most {REPLAY_MAX} events")
    await ports.webhook_deliveries.request(scope, list(chosen.values()), ports.clock.now_ns())
    if chosen:
        await ports.wakes.wake(WEBHOOK_QUEUE, scope.tenant_id)
    return len(chosen)


async def _known(ports: Ports, scope: Scope, endpoint_id: str, wanted: OneDelivery) -> NewDelivery:
    known = await ports.webhook_deliveries.find(scope, endpoint_id, wanted.delivery_id)
    if known is None:
        raise NotFound("webhook delivery")
    return NewDelivery(
        known.delivery_id,
        endpoint_id,
        known.message_id,
        known.stream_id,
        known.seq,
        known.event_type,
        known.occurred_ns,
    )


async def _of_account(
    ports: Ports, scope: Scope, wanted: SeqRange
) -> AsyncIterator[tuple[str, Event]]:
    """Yield an account's events, without payloads: those that are delivered bring their own."""
    seq = wanted.from_seq - 1
    while seq < wanted.to_seq:
        limit = min(PAGE, wanted.to_seq - seq)
        found = await ports.event_log.events_after(scope, wanted.account_id, seq, limit)
        if not found:
            return
        for one in found:
            yield wanted.account_id, Event(one.seq, one.event_type, one.occurred_ns, {})
        seq = found[-1].seq


async def _of_time(
    ports: Ports, scope: Scope, wanted: TimeRange
) -> AsyncIterator[tuple[str, Event]]:
    """Yield the events of every stream, as the audit log has them."""
    after: tuple[int, str, int] | None = None
    while True:
        query = AuditQuery(None, wanted.start_ns, wanted.end_ns, None, after, PAGE)
        entries = await ports.audit_log.page(scope, query)
        if not entries:
            return
        for entry in entries:
            yield entry.stream_id, Event(entry.seq, entry.event_type, entry.occurred_ns, {})
        after = (entries[-1].occurred_ns, entries[-1].stream_id, entries[-1].seq)


def _refused(ports: Ports, change: EndpointChange) -> Refused | None:
    if change.url is not None and (why := ports.webhook_sender.refusal(change.url)) is not None:
        return Refused("url", why.removeprefix("expected "))
    for number, pattern in enumerate(change.event_types or ()):
        if not is_pattern(pattern):
            return Refused(f"eventTypes/{number}", "an event type, or a family such as order.*")
    return None


async def _fresh_secret(ports: Ports, scope: Scope) -> tuple[str, bytes]:
    secret = SECRET_PREFIX + base64.b64encode(ports.ids.random_bytes(SECRET_BYTES)).decode()
    sealed = await ports.keys.encrypt(scope.tenant_id, SECRET_PURPOSE, secret.encode())
    return secret, sealed


async def _tell(
    ports: Ports, scope: Scope, what: str, endpoint_id: str, details: dict[str, Json]
) -> None:
    """Record who changed which endpoint on the tenant's stream."""
    by = f"{scope.actor.kind}:{scope.actor.id}"
    payload: dict[str, Json] = {"endpointId": endpoint_id, "by": by, **details}
    await note(
        ports.inbox,
        ports.ids,
        scope,
        f"webhook_endpoint.{what}",
        payload,
        now_ns=ports.clock.now_ns(),
    )
