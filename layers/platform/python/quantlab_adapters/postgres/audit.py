"""The audit log in PostgreSQL: chained from the outbox, exactly once; read in pages."""

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import AsyncRawCursor
from psycopg.rows import tuple_row

from quantlab.audit.chain import GENESIS, TENANT_STREAM, Entry
from quantlab.engine.commands import Event
from quantlab.tenancy.scope import Scope
from quantlab_adapters.postgres.columns import uuids
from quantlab_adapters.postgres.database import Connection, Database, is_lost, translated
from quantlab_adapters.postgres.exchange import (
    BEGIN,
    COMMIT,
    ROLLBACK,
    Statement,
    exchange,
    set_tenant,
)
from quantlab_adapters.postgres.rows import Rows, RowTypes, row_types
from quantlab_app.ports.audit import Appended, AuditQuery, Head, Link, Unpublished

# What is taken is handed on to the outbound webhooks (topic 3) where the tenant has an endpoint.
_TAKE = """
with taken as (
  delete from outbox where tenant_id = current_tenant() and topic = 1 and outbox_id = any(array(
    select outbox_id from outbox where tenant_id = current_tenant() and topic = 1
    order by outbox_id limit $1 for update skip locked))
  returning stream_id, from_seq, to_seq
), handed_on as (
  insert into outbox (tenant_id, topic, stream_id, from_seq, to_seq)
  select current_tenant(), 3, stream_id, from_seq, to_seq from taken
  where exists (
    select from webhook_endpoint where tenant_id = current_tenant() and status = 'active')
  returning 1
)
select stream_id::text, to_seq, exists (select from handed_on) from taken
"""
_NEW_HEADS = """
insert into audit_head (tenant_id, stream_id, seq, hash)
select current_tenant(), s, 0, $1 from unnest($2::uuid[]) s on conflict do nothing
"""
_HEADS = """
select stream_id::text, seq, hash from audit_head
where tenant_id = current_tenant() and stream_id = any($1::uuid[]) order by stream_id for update
"""
_EVENTS = """
select e.stream_id::text, e.seq, e.event_type, e.occurred_ns, e.payload
from unnest($1::span_row[]) s
cross join lateral (
  select * from event e where e.tenant_id = current_tenant() and e.stream_id = s.stream_id
    and e.seq >= s.from_seq and e.seq <= s.to_seq
  offset 0) e
order by e.stream_id, e.seq
"""
_APPEND = """
with moved as (
  update audit_head h set seq = x.seq, hash = x.hash
  from unnest($1::head_row[]) x
  where h.tenant_id = current_tenant() and h.stream_id = x.stream_id
)
insert into audit_log (tenant_id, stream_id, seq, event_type, occurred_ns, salt, payload,
  payload_digest, prev_hash, hash)
select current_tenant(), x.* from unnest($2::entry_row[]) x
"""
_ENTRY = """tenant_id, stream_id::text, seq, event_type, occurred_ns, salt, payload,
  payload_digest, prev_hash, hash"""
_PAGE = f"""
select {_ENTRY} from audit_log
where tenant_id = %(tenant)s
  and (%(streams)s::uuid[] is null or stream_id = any(%(streams)s))
  and (%(start)s::bigint is null or occurred_ns >= %(start)s)
  and (%(end)s::bigint is null or occurred_ns < %(end)s)
  and (%(type)s::text is null or event_type = %(type)s)
  and (%(at)s::bigint is null
    or (occurred_ns, stream_id, seq) > (%(at)s, %(stream)s::uuid, %(seq)s))
order by occurred_ns, stream_id, seq limit %(limit)s
"""  # noqa: S608 - constants only
_CHAIN = f"""
select {_ENTRY} from audit_log
where tenant_id = %s and stream_id = %s and seq > %s order by seq limit %s
"""  # noqa: S608 - constants only

_CHAINS = """
with waiting as (
  select stream_id, min(from_seq) - 1 as seq from outbox
  where tenant_id = %(tenant)s and topic = 1 group by stream_id
), stream as (
  select account_id as stream_id from account where tenant_id = %(tenant)s
  union select stream_id from audit_head where tenant_id = %(tenant)s
  union select %(tenants_own)s::uuid
)
select s.stream_id::text, coalesce(h.seq, 0), coalesce(h.hash, %(genesis)s),
  coalesce(w.seq, e.seq, 0)
from stream s
left join audit_head h on h.tenant_id = %(tenant)s and h.stream_id = s.stream_id
left join waiting w on w.stream_id = s.stream_id
left join lateral (
  select max(seq) as seq from event where tenant_id = %(tenant)s and stream_id = s.stream_id) e
  on true
where h.seq is not null or e.seq is not null
order by s.stream_id
"""

Row = tuple[Any, ...]


class PostgresAuditLog:
    """AuditLog port. The rows of the heads are the only lock: one appender a stream."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._idle: list[Connection] = []

    async def close(self) -> None:
        """Close the appenders' connections."""
        while self._idle:
            await self._idle.pop().close()

    async def append_pending(self, tenant_id: str, limit: int, link: Link) -> Appended:
        with translated():
            if self._idle:
                try:
                    return await self._append(self._idle.pop(), tenant_id, limit, link)
                except psycopg.Error as error:
                    # Once more on a new connection: rows that were taken after all are gone.
                    if not is_lost(error):
                        raise
            connection = await self._database.connect(row_factory=tuple_row, prepare_threshold=0)
            return await self._append(connection, tenant_id, limit, link)

    async def _append(
        self, connection: Connection, tenant_id: str, limit: int, link: Link
    ) -> Appended:
        try:
            added = await _append(connection, tenant_id, limit, link)
        except BaseException:
            await connection.close()
            raise
        self._idle.append(connection)
        return added

    async def page(self, scope: Scope, query: AuditQuery) -> Sequence[Entry]:
        at, stream, seq = query.after if query.after is not None else (None, None, None)
        parameters = {
            "tenant": scope.tenant_id,
            "streams": None if query.streams is None else list(query.streams),
            "start": query.start_ns,
            "end": query.end_ns,
            "type": query.event_type,
            "at": at,
            "stream": stream,
            "seq": seq,
            "limit": query.limit,
        }
        async with self._database.tenant(scope.tenant_id) as connection:
            cursor = connection.cursor(row_factory=tuple_row)
            rows = await (await cursor.execute(_PAGE, parameters)).fetchall()
        return [_entry(row) for row in rows]

    async def chain(
        self, scope: Scope, stream_id: str, after_seq: int, limit: int
    ) -> Sequence[Entry]:
        async with self._database.tenant(scope.tenant_id) as connection:
            cursor = connection.cursor(row_factory=tuple_row)
            await cursor.execute(_CHAIN, (scope.tenant_id, stream_id, after_seq, limit))
            return [_entry(row) for row in await cursor.fetchall()]

    async def heads(self, scope: Scope) -> Sequence[Head]:
        async with self._database.tenant(scope.tenant_id) as connection:
            cursor = connection.cursor(row_factory=tuple_row)
            known = {
                "tenant": scope.tenant_id, "tenants_own": TENANT_STREAM, "genesis": GENESIS,
            }  # fmt: skip
            await cursor.execute(_CHAINS, known)
            return [Head(row[0], row[1], bytes(row[2]), row[3]) for row in await cursor.fetchall()]

    async def erase_payloads(self, tenant_id: str, stream_id: str, before_ns: int) -> int:
        async with self._database.tenant(tenant_id) as connection:
            cursor = connection.cursor(row_factory=tuple_row)
            await cursor.execute("select erase_audit_payloads(%s, %s)", (stream_id, before_ns))
            row = await cursor.fetchone()
            return 0 if row is None else int(row[0])


async def _append(connection: Connection, tenant_id: str, limit: int, link: Link) -> Appended:
    take: Statement = (_TAKE, (limit,))
    *_, taken = await exchange(connection, BEGIN, set_tenant(tenant_id), take)
    ends: dict[str, int] = {}
    for stream_id, to_seq, _ in taken:
        ends[stream_id] = max(to_seq, ends.get(stream_id, 0))
    if not ends:
        await exchange(connection, ROLLBACK)
        return Appended(0)
    streams = uuids(ends)
    _, locked = await exchange(connection, (_NEW_HEADS, (GENESIS, streams)), (_HEADS, (streams,)))
    heads = {row[0]: Head(row[0], row[1], bytes(row[2])) for row in locked}
    types = await row_types(connection)
    spans = [(stream_id, heads[stream_id].seq + 1, to_seq) for stream_id, to_seq in ends.items()]
    (found,) = await exchange(connection, (_EVENTS, (types["span_row"].rows(spans),)))
    pending: dict[str, list[Event]] = {}
    for row in found:
        pending.setdefault(row[0], []).append(Event(*row[1:]))
    entries = [
        entry
        for stream_id, events in pending.items()
        for entry in link(tenant_id, heads[stream_id], events)
    ]
    appending: list[Statement] = [(_APPEND, _appended(types, entries))] if entries else []
    await exchange(connection, *appending, COMMIT)
    return Appended(len(entries), taken[0][2])


def _appended(types: RowTypes, entries: Sequence[Entry]) -> tuple[Rows, Rows]:
    last = {entry.stream_id: entry for entry in entries}
    heads = [(e.stream_id, e.seq, e.hash) for e in last.values()]
    rows = [
        (
            e.stream_id,
            e.seq,
            e.event_type,
            e.occurred_ns,
            e.salt,
            e.payload,
            e.payload_digest,
            e.prev_hash,
            e.hash,
        )
        for e in entries
    ]
    return types["head_row"].rows(heads), types["entry_row"].rows(rows)


def _entry(row: Row) -> Entry:
    salt = None if row[5] is None else bytes(row[5])
    digests = (bytes(row[7]), bytes(row[8]), bytes(row[9]))
    return Entry(*(*row[:5], salt, row[6], *digests))


class PostgresOutbox:
    """Outbox port: the rows that the sweep finds when an executor died before it published."""

    _TOPICS = {"audit": 1, "publish": 2}  # noqa: RUF012 - a constant table

    def __init__(self, database: Database) -> None:
        self._database = database

    async def tenants_waiting(self, topic: str, older_than_s: float) -> Sequence[str]:
        async with self._database.plain() as connection:
            cursor = await connection.execute(
                "select t from outbox_tenants(%s::smallint, make_interval(secs => %s)) t",
                (self._TOPICS[topic], older_than_s),
            )
            return [row["t"] for row in await cursor.fetchall()]

    async def unpublished(
        self, tenant_id: str, older_than_s: float, limit: int
    ) -> tuple[Sequence[int], Sequence[Unpublished]]:
        async with self._database.tenant(tenant_id) as connection:
            cursor = AsyncRawCursor(connection, row_factory=tuple_row)
            await cursor.execute(
                "select outbox_id, stream_id::text, from_seq, to_seq from outbox"
                " where tenant_id = $1 and topic = 2"
                " and created_at <= now() - make_interval(secs => $2)"
                " order by outbox_id limit $3",
                (tenant_id, older_than_s, limit),
            )
            rows = await cursor.fetchall()
            if not rows:
                return (), ()
            types = await row_types(connection)
            spans = [(stream, first, last) for _, stream, first, last in rows]
            await cursor.execute(_EVENTS, (types["span_row"].rows(spans),))
            events: dict[str, list[Event]] = {}
            for row in await cursor.fetchall():
                events.setdefault(row[0], []).append(Event(*row[1:]))
        return [row[0] for row in rows], [Unpublished(s, found) for s, found in events.items()]

    async def drop(self, tenant_id: str, outbox_ids: Sequence[int]) -> None:
        async with self._database.tenant(tenant_id) as connection:
            await connection.execute(
                "delete from outbox where tenant_id = %s and topic = 2 and outbox_id = any(%s)",
                (tenant_id, list(outbox_ids)),
            )
