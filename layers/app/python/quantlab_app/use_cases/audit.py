"""The audit log: events become links of a chain; chains are walked and checked."""

from collections.abc import AsyncIterator, Sequence
from typing import Final

from quantlab.audit.chain import SALT_BYTES, Break, Entry, append, first_break
from quantlab.engine.commands import Event
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.audit import Head
from quantlab_app.ports.container import Ports

BATCH_MAX: Final = 256
WEBHOOK_QUEUE: Final = "webhooks"
PAGE: Final = 1000


async def append_pending(ports: Ports, tenant_id: str) -> int:
    """Chain what the outbox names for a tenant; return how many entries were added.

    Where events were handed on to the tenant's webhooks, what delivers them is woken.
    """

    def link(tenant: str, head: Head, events: Sequence[Event]) -> list[Entry]:
        salts = ports.ids.random_bytes(SALT_BYTES * len(events))
        return _linked(tenant, head, events, salts)

    appended = await ports.audit_log.append_pending(tenant_id, BATCH_MAX, link)
    if appended.handed_on:
        await ports.wakes.wake(WEBHOOK_QUEUE, tenant_id)
    return appended.entries


def _linked(tenant_id: str, head: Head, events: Sequence[Event], salts: bytes) -> list[Entry]:
    entries = []
    prev_hash = head.hash
    for number, event in enumerate(events):
        entry = append(
            tenant_id,
            head.stream_id,
            event.seq,
            event.event_type,
            event.occurred_ns,
            event.payload,
            salts[number * SALT_BYTES : (number + 1) * SALT_BYTES],
            prev_hash,
        )
        entries.append(entry)
        prev_hash = entry.hash
    return entries


async def walk(ports: Ports, scope: Scope) -> AsyncIterator[tuple[Head, Break | None]]:
    """Walk every chain of the tenant and yield its head with the first broken link, if any."""
    for head in await ports.audit_log.heads(scope):
        yield head, await _walk_stream(ports, scope, head)


async def _walk_stream(ports: Ports, scope: Scope, head: Head) -> Break | None:
    seq, prev_hash = 0, bytes(32)
    while True:
        entries = await ports.audit_log.chain(scope, head.stream_id, seq, PAGE)
        if not entries:
            break
        broken = first_break(entries, after_seq=seq, prev_hash=prev_hash)
        if broken is not None:
            return broken
        seq, prev_hash = entries[-1].seq, entries[-1].hash
    if seq < head.seq:
        return Break(head.stream_id, seq + 1, f"the chain ends at {seq}, its head is {head.seq}")
    if prev_hash != head.hash and seq == head.seq:
        return Break(head.stream_id, seq, "the last hash is not that of the head")
    if head.seq < head.due_seq:
        reason = f"the head stands at {head.seq}, the events go on to {head.due_seq}"
        return Break(head.stream_id, head.seq + 1, reason)
    return None
