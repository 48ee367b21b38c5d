"""Deliveries of outbound webhooks in PostgreSQL: fanned out, leased by endpoint, logged."""

from collections.abc import Sequence
from typing import Any

import orjson
from psycopg import AsyncRawCursor
from psycopg.rows import tuple_row

from quantlab.engine.commands import Event
from quantlab.tenancy.scope import Scope
from quantlab.webhooks.outbound import Answer, Health, Verdict
from quantlab_adapters.postgres.columns import columns, int8s, texts, uuids
from quantlab_adapters.postgres.database import Connection, Database
from quantlab_adapters.postgres.webhook_endpoints import END_PENDING, endpoints
from quantlab_app.ports.outbound import (
    Attempt,
    Choose,
    Delivery,
    DeliveryStatus,
    DueDelivery,
    Lease,
    NewDelivery,
)

ATTEMPTS_SHOWN = 50

_TAKE = """
delete from outbox where tenant_id = current_tenant() and topic = 3 and outbox_id = any(array(
  select outbox_id from outbox where tenant_id = current_tenant() and topic = 3
  order by outbox_id limit $1 for update skip locked))
returning stream_id::text, from_seq, to_seq
"""
_EVENTS = """
select distinct e.stream_id::text, e.seq, e.event_type, e.occurred_ns
from unnest($1::uuid[], $2::bigint[], $3::bigint[]) s(stream_id, from_seq, to_seq)
cross join lateral (
  select * from event e where e.tenant_id = current_tenant() and e.stream_id = s.stream_id
    and e.seq >= s.from_seq and e.seq <= s.to_seq
  offset 0) e
order by 1, 2
"""
_SPAN_SHAPE = (uuids, int8s, int8s)
_INSERT = """
insert into webhook_delivery (tenant_id, delivery_id, endpoint_id, message_id, stream_id, seq,
  event_type, occurred_ns, payload, next_attempt_ns, created_ns)
select current_tenant(), x.*, $9, $9
from unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::bigint[], $6::text[], $7::bigint[],
  $8::text[]::json[]) x
on conflict (tenant_id, delivery_id)
"""
_NEW = _INSERT + " do nothing"
_AGAIN = (
    _INSERT + " do update set status = 'pending', attempts = 0,"
    " next_attempt_ns = excluded.next_attempt_ns"
)
_LEASE = """
with free as (
  select e.endpoint_id from webhook_endpoint e
  where e.tenant_id = current_tenant() and e.status = 'active'
    and e.paused_until_ns <= %(now)s and e.leased_until_ns <= %(now)s
    and exists (select from webhook_delivery d where d.tenant_id = e.tenant_id
      and d.endpoint_id = e.endpoint_id and d.status = 'pending' and d.next_attempt_ns <= %(now)s)
  order by e.endpoint_id limit 1 for update skip locked)
update webhook_endpoint e set lease_id = %(lease)s, leased_until_ns = %(until)s
from free where e.tenant_id = current_tenant() and e.endpoint_id = free.endpoint_id
returning e.endpoint_id::text, e.url, e.secret_cipher,
  case when e.previous_until_ns > %(now)s then e.previous_secret_cipher end,
  e.failing_since_ns, e.slow_answers, e.paused_until_ns
"""
_DUE = """
select d.delivery_id::text, d.message_id, d.stream_id::text, d.attempts, d.seq, d.event_type,
  d.occurred_ns, coalesce(d.payload, e.payload)
from webhook_delivery d
left join event e on e.tenant_id = d.tenant_id and e.stream_id = d.stream_id and e.seq = d.seq
where d.tenant_id = current_tenant() and d.endpoint_id = %s and d.status = 'pending'
  and d.next_attempt_ns <= %s
order by d.next_attempt_ns, d.stream_id, d.seq limit %s
"""
# What another holder has settled meanwhile stays settled; the attempt was made all the same.
_RECORD = """
with logged as (
  insert into webhook_attempt (tenant_id, delivery_id, started_ns, duration_ms, status, error,
    answer)
  values (current_tenant(), %(delivery)s, %(started)s, %(duration)s, %(code)s, %(error)s, %(text)s)
), settled as (
  update webhook_delivery set status = %(status)s, attempts = attempts + 1,
    next_attempt_ns = %(next)s
  where tenant_id = current_tenant() and delivery_id = %(delivery)s and status = 'pending'
)
update webhook_endpoint set failing_since_ns = %(failing)s, slow_answers = %(slow)s,
  paused_until_ns = %(paused)s,
  status = case when %(ill)s::text is null then status else 'disabled' end,
  disabled_reason = coalesce(%(ill)s, disabled_reason)
where tenant_id = current_tenant() and endpoint_id = %(endpoint)s and lease_id = %(lease)s
  and status = 'active'
"""
_RELEASE = """
update webhook_endpoint set leased_until_ns = 0, lease_id = null
where tenant_id = current_tenant() and endpoint_id = %s and lease_id = %s
"""
_DELIVERY = """
select d.delivery_id::text, d.message_id, d.stream_id::text, d.seq, d.event_type, d.occurred_ns,
  d.status, d.next_attempt_ns, d.created_ns, (
    select json_agg(json_build_array(a.started_ns, a.duration_ms, a.status, a.error, a.answer)
      order by a.attempt_id)
    from (select * from webhook_attempt a where a.tenant_id = d.tenant_id
      and a.delivery_id = d.delivery_id order by a.attempt_id desc limit %(shown)s) a)
from webhook_delivery d
where d.tenant_id = %(tenant)s and d.endpoint_id = %(endpoint)s
"""
_FORGET = """
delete from webhook_delivery
where tenant_id = current_tenant() and created_ns < %s and status <> 'pending'
"""


class PostgresWebhookDeliveries:
    """WebhookDeliveries port. Who holds an endpoint's lease is the only one to send to it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def waiting_tenants(self, now_ns: int) -> Sequence[str]:
        async with self._database.plain() as connection:
            cursor = await connection.execute("select t from webhook_tenants(%s) t", (now_ns,))
            return [row["t"] for row in await cursor.fetchall()]

    async def fan_out(self, tenant_id: str, limit: int, now_ns: int, choose: Choose) -> int:
        async with self._database.tenant(tenant_id) as connection:
            cursor = AsyncRawCursor(connection, row_factory=tuple_row)
            await cursor.execute(_TAKE, (limit,))
            spans = await cursor.fetchall()
            active = await endpoints(connection, tenant_id, " and status = 'active'")
            if not spans or not active:
                return len(spans)
            await cursor.execute(_EVENTS, columns(_SPAN_SHAPE, spans))
            streams: dict[str, list[Event]] = {}
            for stream_id, seq, event_type, occurred_ns in await cursor.fetchall():
                event = Event(seq, event_type, occurred_ns, {})
                streams.setdefault(stream_id, []).append(event)
            chosen = [
                new for stream_id, events in streams.items()
                for new in choose(active, stream_id, events)
            ]  # fmt: skip
            await _insert(connection, _NEW, chosen, now_ns)
            return len(spans)

    async def lease(
        self, tenant_id: str, lease_id: str, now_ns: int, until_ns: int, limit: int
    ) -> Lease | None:
        values = {"lease": lease_id, "now": now_ns, "until": until_ns}
        async with self._database.tenant(tenant_id) as connection:
            cursor = connection.cursor(row_factory=tuple_row)
            row = await (await cursor.execute(_LEASE, values)).fetchone()
            if row is None:
                return None
            endpoint_id, url, *ciphers, failing_since_ns, slow, paused_until_ns = row
            await cursor.execute(_DUE, (endpoint_id, now_ns, limit))
            due = tuple(_due(found) for found in await cursor.fetchall())
        return Lease(
            lease_id,
            endpoint_id,
            url,
            tuple(bytes(cipher) for cipher in ciphers if cipher is not None),
            Health(failing_since_ns, slow, paused_until_ns),
            due,
        )

    async def record(
        self,
        tenant_id: str,
        lease: Lease,
        delivery: DueDelivery,
        started_ns: int,
        answer: Answer,
        verdict: Verdict,
    ) -> bool:
        health = verdict.health
        values = {
            "delivery": delivery.delivery_id,
            "started": started_ns,
            "duration": answer.duration_ms,
            "code": answer.status,
            "error": answer.error,
            "text": answer.text,
            "status": verdict.status,
            "next": verdict.next_attempt_ns,
            "failing": health.failing_since_ns,
            "slow": health.slow_answers,
            "paused": health.paused_until_ns,
            "ill": verdict.ill,
            "tenant": tenant_id,
            "endpoint": lease.endpoint_id,
            "lease": lease.lease_id,
        }
        async with self._database.tenant(tenant_id) as connection:
            kept = (await connection.execute(_RECORD, values)).rowcount == 1
            if kept and verdict.ill is not None:
                await connection.execute(END_PENDING, values)
        return kept

    async def release(self, tenant_id: str, lease: Lease) -> None:
        async with self._database.tenant(tenant_id) as connection:
            await connection.execute(_RELEASE, (lease.endpoint_id, lease.lease_id))

    async def page(
        self,
        scope: Scope,
        endpoint_id: str,
        *,
        status: DeliveryStatus | None,
        before: tuple[int, str] | None,
        limit: int,
    ) -> Sequence[Delivery]:
        created_ns, delivery_id = before if before is not None else (None, None)
        return await self._found(
            scope,
            endpoint_id,
            " and (%(status)s::text is null or d.status = %(status)s)"
            " and (%(created)s::bigint is null"
            "  or (d.created_ns, d.delivery_id) < (%(created)s, %(before)s::uuid))"
            " order by d.created_ns desc, d.delivery_id desc limit %(limit)s",
            status=status,
            created=created_ns,
            before=delivery_id,
            limit=limit,
        )

    async def find(self, scope: Scope, endpoint_id: str, delivery_id: str) -> Delivery | None:
        found = await self._found(
            scope, endpoint_id, " and d.delivery_id = %(delivery)s", delivery=delivery_id
        )
        return found[0] if found else None

    async def _found(
        self, scope: Scope, endpoint_id: str, condition: str, **values: Any
    ) -> list[Delivery]:
        values |= {"tenant": scope.tenant_id, "endpoint": endpoint_id, "shown": ATTEMPTS_SHOWN}
        async with self._database.tenant(scope.tenant_id) as connection:
            cursor = connection.cursor(row_factory=tuple_row)
            await cursor.execute(_DELIVERY + condition, values)
            return [_delivery(row) for row in await cursor.fetchall()]

    async def request(self, scope: Scope, deliveries: Sequence[NewDelivery], now_ns: int) -> None:
        async with self._database.tenant(scope.tenant_id) as connection:
            await _insert(connection, _AGAIN, deliveries, now_ns)

    async def forget_before(self, tenant_id: str, before_ns: int) -> int:
        async with self._database.tenant(tenant_id) as connection:
            cursor = connection.cursor(row_factory=tuple_row)
            await cursor.execute("select forget_webhook_attempts(%s)", (before_ns,))
            row = await cursor.fetchone()
            attempts = 0 if row is None else int(row[0])
            return attempts + (await cursor.execute(_FORGET, (before_ns,))).rowcount


async def _insert(
    connection: Connection, statement: str, deliveries: Sequence[NewDelivery], now_ns: int
) -> None:
    rows = [
        (
            new.delivery_id,
            new.endpoint_id,
            new.message_id,
            new.stream_id,
            new.seq,
            new.event_type,
            new.occurred_ns,
            None if new.payload is None else orjson.dumps(new.payload).decode(),
        )
        for new in deliveries
    ]
    shape = (uuids, uuids, texts, uuids, int8s, texts, int8s, texts)
    if rows:
        await AsyncRawCursor(connection).execute(statement, (*columns(shape, rows), now_ns))


def _delivery(row: tuple[Any, ...]) -> Delivery:
    attempts = tuple(Attempt(*attempt) for attempt in row[9] or ())
    return Delivery(*(*row[:9], attempts))


def _due(row: tuple[Any, ...]) -> DueDelivery:
    delivery_id, message_id, stream_id, attempts, *event = row
    return DueDelivery(delivery_id, message_id, stream_id, Event(*event), attempts)
