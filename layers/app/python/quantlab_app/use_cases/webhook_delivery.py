"""Delivering outbound webhooks: fanned out, sent endpoint by endpoint, every attempt recorded.

At least once: a process that ends between sending and recording sends again under the same
`webhook-id`. An account's events go in order, as long as its endpoint takes them; one that fails is
tried again later and holds up no other.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final

from quantlab.engine.commands import Event
from quantlab.kernel.instants import SECOND_NS
from quantlab.tenancy.scope import system_scope
from quantlab.webhooks import outbound
from quantlab.webhooks.signature import sign_standard
from quantlab_app.ports.container import Ports
from quantlab_app.ports.outbound import DueDelivery, Endpoint, Lease, NewDelivery
from quantlab_app.use_cases.audit import WEBHOOK_QUEUE
from quantlab_app.use_cases.tenant_events import note
from quantlab_app.use_cases.waiting import end_all

SECRET_PURPOSE: Final = "webhook_secret"  # noqa: S105 - the name of a purpose
SPANS_MAX: Final = 64
DUE_MAX: Final = 200
SIDE_BY_SIDE: Final = 16
TURN_NS: Final = 20 * SECOND_NS
# A turn, an attempt that begins at its end, and time to write it down.
LEASE_NS: Final = 60 * SECOND_NS
LOOK_EVERY_S: Final = 0.25


async def deliver(ports: Ports, tenant_id: str) -> int:
    """Take a turn for a tenant; return how many attempts were made.

    It ends when nothing is due or its time is up. A slow endpoint keeps none of the others waiting
    before that.
    """
    until_ns = ports.clock.now_ns() + TURN_NS
    lanes: set[asyncio.Task[int]] = set()
    attempts = 0
    try:
        while True:
            in_time = ports.clock.now_ns() < until_ns
            if in_time:
                lanes |= await _begun(ports, tenant_id, until_ns)
            if not lanes:
                break
            done, lanes = await asyncio.wait(
                lanes,
                timeout=LOOK_EVERY_S if in_time else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            attempts += sum(lane.result() for lane in done)
    finally:
        await end_all(lanes)
    if not in_time:
        await ports.wakes.wake(WEBHOOK_QUEUE, tenant_id)
    return attempts


async def _begun(ports: Ports, tenant_id: str, until_ns: int) -> set[asyncio.Task[int]]:
    """Fan out what has come, and begin with every endpoint that has something due."""

    def choose(
        endpoints: Sequence[Endpoint], stream_id: str, events: Sequence[Event]
    ) -> list[NewDelivery]:
        return [
            delivery_of(tenant_id, endpoint.endpoint_id, stream_id, event)
            for endpoint in endpoints
            for event in events
            if outbound.selects(endpoint.event_types, event.event_type)
        ]

    deliveries = ports.webhook_deliveries
    now_ns = ports.clock.now_ns()
    while await deliveries.fan_out(tenant_id, SPANS_MAX, now_ns, choose) >= SPANS_MAX:
        continue
    lanes: set[asyncio.Task[int]] = set()
    while True:
        lease = await deliveries.lease(
            tenant_id, ports.ids.new_id(), now_ns, now_ns + LEASE_NS, DUE_MAX
        )
        if lease is None:
            return lanes
        lanes.add(asyncio.create_task(_served(ports, tenant_id, lease, until_ns)))


def delivery_of(tenant_id: str, endpoint_id: str, stream_id: str, event: Event) -> NewDelivery:
    """Return the one delivery of an event to an endpoint; its payload stays in the event log."""
    return NewDelivery(
        outbound.delivery_id(tenant_id, endpoint_id, stream_id, event.seq),
        endpoint_id,
        outbound.message_id(tenant_id, stream_id, event.seq),
        stream_id,
        event.seq,
        event.event_type,
        event.occurred_ns,
    )


async def _served(ports: Ports, tenant_id: str, lease: Lease, until_ns: int) -> int:
    """Send what is due at an endpoint and give it back."""
    try:
        secrets = [
            (await ports.keys.decrypt(tenant_id, SECRET_PURPOSE, cipher)).decode()
            for cipher in lease.ciphers
        ]
        return await _Lane(ports, tenant_id, lease, secrets, until_ns).run()
    finally:
        await ports.webhook_deliveries.release(tenant_id, lease)


class _Lane:
    """One endpoint in one turn: accounts side by side, each account's events one by one."""

    def __init__(
        self, ports: Ports, tenant_id: str, lease: Lease, secrets: Sequence[str], until_ns: int
    ) -> None:
        self._ports = ports
        self._tenant_id = tenant_id
        self._lease = lease
        self._secrets = secrets
        self._until_ns = until_ns
        self._health = lease.health
        self._held = True
        self._attempts = 0

    async def run(self) -> int:
        streams: dict[str, list[DueDelivery]] = {}
        for delivery in self._lease.due:
            streams.setdefault(delivery.stream_id, []).append(delivery)
        # An endpoint that fails is asked one thing at a time.
        hands = SIDE_BY_SIDE if self._health.failing_since_ns is None else 1
        left = iter(streams.values())
        workers = (self._work(left) for _ in range(min(hands, len(streams))))
        for ended in await asyncio.gather(*workers, return_exceptions=True):
            if ended is not None:
                raise ended
        return self._attempts

    async def _work(self, left: Iterator[Sequence[DueDelivery]]) -> None:
        for stream in left:
            for delivery in stream:
                now_ns = self._ports.clock.now_ns()
                paused = self._health.paused_until_ns > now_ns
                if paused or not self._held or now_ns >= self._until_ns:
                    return
                await self._send(delivery, now_ns)

    async def _send(self, delivery: DueDelivery, now_ns: int) -> None:
        ports, event = self._ports, delivery.event
        body = outbound.message(
            self._tenant_id,
            delivery.stream_id,
            event.seq,
            event.event_type,
            event.occurred_ns,
            event.payload,
        )
        message_id = delivery.message_id
        headers = sign_standard(self._secrets, message_id, now_ns // SECOND_NS, body)
        answer = await ports.webhook_sender.send(self._lease.url, headers, body)
        self._attempts += 1
        jitter_ppm = int.from_bytes(ports.ids.random_bytes(4), "big") % (outbound.JITTER_PPM + 1)
        verdict = outbound.judge(
            answer, delivery.attempts + 1, self._health, ports.clock.now_ns(), jitter_ppm
        )
        self._health = verdict.health
        held = await ports.webhook_deliveries.record(
            self._tenant_id, self._lease, delivery, now_ns, answer, verdict
        )
        if held and verdict.ill is not None:
            await self._tell(verdict.ill)
        self._held = self._held and held and verdict.ill is None

    async def _tell(self, ill: str) -> None:
        """Record on the tenant's stream that nothing is sent to the endpoint any more."""
        ports = self._ports
        await note(
            ports.inbox,
            ports.ids,
            system_scope(self._tenant_id, "webhook_deliver", self._lease.lease_id),
            "webhook_endpoint.disabled",
            {"endpointId": self._lease.endpoint_id, "reason": ill},
            now_ns=ports.clock.now_ns(),
            key=self._lease.lease_id,
        )
