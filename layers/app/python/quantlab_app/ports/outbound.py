"""Webhooks to tenants' systems: endpoints, the queue and log of deliveries, and what sends them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Literal, Protocol

from quantlab.engine.commands import Event
from quantlab.kernel.canonical import Json
from quantlab.kernel.records import dataclass
from quantlab.tenancy.scope import Scope
from quantlab.webhooks.outbound import Answer, Health, Verdict

DeliveryStatus = Literal["pending", "delivered", "failed"]
DisabledReason = Literal["by_request", "gone", "failing"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a tenant wants its events; its secret is never part of it.

    event_types are patterns as `quantlab.webhooks.outbound.selects` reads them.
    """

    endpoint_id: str
    url: str
    description: str
    event_types: tuple[str, ...]
    status: Literal["active", "disabled"]
    disabled_reason: DisabledReason | None
    failing_since_ns: int | None
    paused_until_ns: int
    created_ns: int


@dataclass(frozen=True, slots=True)
class EndpointChange:
    """What to change of an endpoint; None leaves a value as it is."""

    url: str | None = None
    description: str | None = None
    event_types: tuple[str, ...] | None = None
    status: Literal["active", "disabled"] | None = None


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """An event to be delivered to an endpoint. payload is None where the event log has it."""

    delivery_id: str
    endpoint_id: str
    message_id: str
    stream_id: str
    seq: int
    event_type: str
    occurred_ns: int
    payload: Mapping[str, Json] | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt as it is logged. status is None when no answer came; error says why."""

    started_ns: int
    duration_ms: int
    status: int | None
    error: str | None
    answer: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event for an endpoint with its attempts, the first one first.

    next_attempt_ns holds while the delivery is pending.
    """

    delivery_id: str
    message_id: str
    stream_id: str
    seq: int
    event_type: str
    occurred_ns: int
    status: DeliveryStatus
    next_attempt_ns: int
    created_ns: int
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """A delivery whose time has come; attempts counts those before."""

    delivery_id: str
    message_id: str
    stream_id: str
    event: Event
    attempts: int


@dataclass(frozen=True, slots=True)
class Lease:
    """An endpoint that nobody else sends to until the lease ends, and what is due there.

    ciphers are its sealed secrets that sign: the newest first, an older one in its grace.
    """

    lease_id: str
    endpoint_id: str
    url: str
    ciphers: tuple[bytes, ...] = field(repr=False)
    health: Health
    due: tuple[DueDelivery, ...]


Choose = Callable[[Sequence[Endpoint], str, Sequence[Event]], Sequence[NewDelivery]]


class WebhookEndpoints(Protocol):
    """The administration of endpoints."""

    async def add(self, scope: Scope, endpoint: Endpoint, secret_cipher: bytes, limit: int) -> bool:
        """Store a new endpoint; False when the tenant has as many as the limit allows."""
        ...

    async def page(self, scope: Scope, *, after: str | None, limit: int) -> Sequence[Endpoint]:
        """Return endpoints by identifier."""
        ...

    async def find(self, scope: Scope, endpoint_id: str) -> Endpoint | None:
        """Return one endpoint."""
        ...

    async def change(self, scope: Scope, endpoint_id: str, change: EndpointChange) -> bool:
        """Change an endpoint; False when there is none.

        Disabling ends what is pending as failed; enabling forgets the failures.
        """
        ...

    async def rotate(
        self, scope: Scope, endpoint_id: str, secret_cipher: bytes, old_until_ns: int
    ) -> bool:
        """Replace the secret; the one before signs as well until then. False when there is none."""
        ...

    async def remove(self, scope: Scope, endpoint_id: str) -> bool:
        """Delete an endpoint and what is pending for it; False when there is none."""
        ...


class WebhookDeliveries(Protocol):
    """What each endpoint is to get, and every attempt to give it."""

    async def waiting_tenants(self, now_ns: int) -> Sequence[str]:
        """Return tenants with events to fan out, or deliveries that are due."""
        ...

    async def fan_out(self, tenant_id: str, limit: int, now_ns: int, choose: Choose) -> int:
        """Turn up to limit handed-on spans of events into deliveries; return how many spans.

        choose gets the active endpoints, a stream and events of it, oldest first. In one
        transaction: each event comes to each endpoint once.
        """
        ...

    async def lease(
        self,
        tenant_id: str,
        lease_id: str,
        now_ns: int,
        until_ns: int,
        limit: int,
    ) -> Lease | None:
        """Take an active endpoint that has something due and that nobody holds.

        None when there is no such endpoint. What is due comes oldest first, by stream and seq.
        """
        ...

    async def record(
        self,
        tenant_id: str,
        lease: Lease,
        delivery: DueDelivery,
        started_ns: int,
        answer: Answer,
        verdict: Verdict,
    ) -> bool:
        """Log an attempt and what it means for delivery and endpoint, in one transaction.

        An endpoint found ill is disabled, and what is pending for it fails. False when the lease
        has ended or the endpoint was disabled meanwhile: send no more.
        """
        ...

    async def release(self, tenant_id: str, lease: Lease) -> None:
        """Give an endpoint back."""
        ...

    async def page(
        self,
        scope: Scope,
        endpoint_id: str,
        *,
        status: DeliveryStatus | None,
        before: tuple[int, str] | None,
        limit: int,
    ) -> Sequence[Delivery]:
        """Return deliveries with their attempts, the newest first."""
        ...

    async def find(self, scope: Scope, endpoint_id: str, delivery_id: str) -> Delivery | None:
        """Return one delivery with its attempts."""
        ...

    async def request(self, scope: Scope, deliveries: Sequence[NewDelivery], now_ns: int) -> None:
        """Make deliveries pending and due at once, those that are known with a fresh schedule."""
        ...

    async def forget_before(self, tenant_id: str, before_ns: int) -> int:
        """Delete attempts and settled deliveries older than that; return how many."""
        ...


class WebhookSender(Protocol):
    """What sends to the open internet, and to nothing else."""

    def refusal(self, url: str) -> str | None:
        """Say why no webhook may go to an address; None when it may, as far as can be seen."""
        ...

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Post once, following no redirect; whatever goes wrong is an answer, not a fault."""
        ...
