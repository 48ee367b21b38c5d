"""The order path's transaction: claim, load, decide, write; two round trips to the store."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from psycopg import AsyncRawCursor
from psycopg.rows import tuple_row

from quantlab.audit.chain import TENANT_STREAM
from quantlab.engine.commands import Command, Event, Outcome
from quantlab.ledger.state import Account, ClosedDay, Day, Position, read_tally
from quantlab_adapters.postgres import execution_writes as writes
from quantlab_adapters.postgres.columns import int8s, texts, uuids
from quantlab_adapters.postgres.database import Connection, Database, is_lost, translated
from quantlab_adapters.postgres.exchange import (
    BEGIN,
    COMMIT,
    ROLLBACK,
    Statement,
    exchange,
    set_tenant,
)
from quantlab_adapters.postgres.life_writes import open_accounts, opened_in
from quantlab_adapters.postgres.links import read_linked
from quantlab_adapters.postgres.order_rows import order_of
from quantlab_adapters.postgres.rows import row_types
from quantlab_adapters.together import Faults, Together
from quantlab_app.ports.errors import Fault, StoreUnavailable
from quantlab_app.ports.execution import Batch, BatchFailed, Decide, Notes, Ran, Record

_CLAIM = "select * from claim_batches($1, $2)"
_CLAIM_THESE = "select * from claim_batches($1, $2, $3)"
_NOTES = """
select inbox_id, signal_id::text, null, source_kind, source_id, command, payload, received_ns,
  reason
from inbox where tenant_id = current_tenant() and state = 0 and account_id is null
order by inbox_id limit %s
"""
_NOTED = """
update inbox i set state = 1, done_ns = x.done_ns, from_seq = x.from_seq, to_seq = x.to_seq
from unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])
  x(inbox_id, done_ns, from_seq, to_seq)
where i.tenant_id = current_tenant() and i.inbox_id = x.inbox_id
"""
_UNHURRIED: Statement = ("set local synchronous_commit = off", ())
_DROP_SENT = """
delete from outbox where tenant_id = current_tenant() and topic = 2 and outbox_id = any($1)
"""
# Of an account that took over from another one nobody knows the row of its first event.
_DROP_SPANS = """
delete from outbox o using unnest($1::span_row[]) x
where o.tenant_id = current_tenant() and o.topic = 2 and o.stream_id = x.stream_id
  and o.from_seq >= x.from_seq and o.to_seq <= x.to_seq
"""
_LOCK_TENANT = "select event_seq from tenant where tenant_id = current_tenant() for update"
DROP_AFTER_S = 1.0
CLOSE_S_MAX = 2.0

Span = tuple[str, int, int]
Claims = dict[str, tuple[Batch | None, bool]]


class PostgresExecution:
    """Execution port. Lanes keep their own connections, so that statements stay prepared."""

    def __init__(self, database: Database, *, drop_after_s: float = DROP_AFTER_S) -> None:
        self._database = database
        self._drop_after_s = drop_after_s
        self._idle: list[Connection] = []
        self._written: dict[str, writes.Outbox] = {}
        self._sent: dict[str, list[int]] = {}
        self._sent_spans: dict[str, list[Span]] = {}
        self._dropping: dict[str, asyncio.Task[None]] = {}
        self._drops: Together[str] = Together(self._drop)

    async def close(self) -> None:
        """Close the lanes' connections; what was sent and not dropped is sent again by a sweep."""
        for task in self._dropping.values():
            task.cancel()
        await asyncio.gather(*self._dropping.values(), return_exceptions=True)
        await self._drops.finish(CLOSE_S_MAX)
        while self._idle:
            await self._idle.pop().close()

    async def _claim(
        self, tenant_ids: Sequence[str], limit: int, account_ids: Sequence[str] | None
    ) -> tuple[Connection, Claims]:
        """Claim on an idle lane; where its connection turns out to be lost, on a new one."""
        if self._idle:
            connection = self._idle.pop()
            try:
                return connection, await _claim(connection, tenant_ids, limit, account_ids)
            except BaseException as error:
                await connection.close()
                if not is_lost(error):
                    raise
        connection = await self._connected()
        try:
            return connection, await _claim(connection, tenant_ids, limit, account_ids)
        except BaseException:
            await connection.close()
            raise

    async def run(
        self,
        tenant_ids: Sequence[str],
        limit: int,
        decide: Decide,
        account_ids: Sequence[str] | None = None,
    ) -> Sequence[Ran]:
        with translated():
            connection, claims = await self._claim(tenant_ids, limit, account_ids)
        batches = [batch for _, (batch, _) in sorted(claims.items()) if batch is not None]
        outcomes: dict[str, Sequence[Outcome]] = {}
        try:
            with translated():
                if batches:
                    decided = await decide(batches, partial(read_linked, connection))
                    outcomes = {
                        batch.tenant_id: found
                        for batch, found in zip(batches, decided, strict=True)
                    }
                    await self._write(connection, batches, outcomes)
                else:
                    await exchange(connection, ROLLBACK)
        except BaseException as error:
            await connection.close()
            if not batches or isinstance(error, (Fault, asyncio.CancelledError)):
                raise
            commands = (command for batch in batches for command in batch.commands)
            raise BatchFailed(tuple(c.inbox_id for c in commands), error) from error
        self._idle.append(connection)
        return [
            Ran(tenant_id, outcomes.get(tenant_id, ()), notes)
            for tenant_id, (_, notes) in claims.items()
        ]

    async def _write(
        self,
        connection: Connection,
        batches: Sequence[Batch],
        outcomes: Mapping[str, Sequence[Outcome]],
    ) -> None:
        types = await row_types(connection)
        statements: list[Statement] = []
        answered_at: dict[str, int] = {}
        for batch in batches:
            sent = self._sent.pop(batch.tenant_id, [])
            statements.append(set_tenant(batch.tenant_id))
            statements += writes.written(types, batch, outcomes[batch.tenant_id], sent)
            answered_at[batch.tenant_id] = len(statements) - 1
        opening = {one: opened for one, found in outcomes.items() if (opened := opened_in(found))}
        if opening:
            answers = await exchange(connection, *statements)
            for tenant_id, opened in opening.items():
                await exchange(connection, set_tenant(tenant_id))
                await open_accounts(connection, opened)
            await exchange(connection, COMMIT)
        else:
            answers = await exchange(connection, *statements, COMMIT)
        for tenant_id, place in answered_at.items():
            self._written[tenant_id] = writes.outbox(answers[place])

    async def run_notes(self, tenant_id: str, limit: int, record: Record) -> Sequence[Event]:
        async with self._database.tenant(tenant_id) as connection:
            cursor = connection.cursor(row_factory=tuple_row)
            locked = await (await cursor.execute(_LOCK_TENANT)).fetchone()
            rows = await (await cursor.execute(_NOTES, (limit,))).fetchall()
            if locked is None or not rows:
                return ()
            commands = tuple(Command(*row[:8]) for row in rows)
            reasons = tuple(row[8] for row in rows)
            events = record(Notes(tenant_id, locked[0], commands, reasons))
            types = await row_types(connection)
            writing = AsyncRawCursor(connection, row_factory=tuple_row)
            await writing.execute(*writes.events_written(types, [(TENANT_STREAM, events)]))
            written = await writing.fetchall()
            await connection.execute(
                "update tenant set event_seq = %s where tenant_id = %s",
                (events[-1].seq, tenant_id),
            )
            await connection.execute(_NOTED, _spans(commands, events))
        self._written[tenant_id] = writes.outbox(written)
        return events

    async def bury(self, tenant_id: str, inbox_id: int, reason: str, attempts_max: int) -> bool:
        async with self._database.tenant(tenant_id) as connection:
            cursor = await connection.execute(
                "update inbox set attempts = attempts + 1,"
                " state = case when attempts + 1 >= %(most)s then 2 else state end,"
                " outcome = case when attempts + 1 >= %(most)s then 'dead' else outcome end,"
                " reason = %(reason)s"
                " where tenant_id = %(tenant)s and inbox_id = %(inbox)s and state = 0"
                " returning state",
                {
                    "most": attempts_max,
                    "reason": reason[:500],
                    "tenant": tenant_id,
                    "inbox": inbox_id,
                },
            )
            row = await cursor.fetchone()
            return row is not None and row["state"] == 2

    async def pending_tenants(self) -> Sequence[str]:
        async with self._database.plain() as connection:
            cursor = await connection.execute("select t from pending_tenants() t")
            return [row["t"] for row in await cursor.fetchall()]

    async def published(self, tenant_id: str, spans: Sequence[Span]) -> None:
        """Remember what was sent; the tenant's next transaction drops its outbox rows.

        Where none follows within a second, they are dropped before the sweep would send again.
        """
        written = self._written.pop(tenant_id, {})
        for span in spans:
            row = written.get(span[:2])
            if row is not None:
                self._sent.setdefault(tenant_id, []).append(row)
            else:
                self._sent_spans.setdefault(tenant_id, []).append(span)
        if self._drop_after_s == 0:
            await self._drops.do(tenant_id)
        elif tenant_id not in self._dropping:
            self._dropping[tenant_id] = asyncio.create_task(self._drop_later(tenant_id))

    async def _drop_later(self, tenant_id: str) -> None:
        await asyncio.sleep(self._drop_after_s)
        del self._dropping[tenant_id]
        await self._drops.do(tenant_id)

    async def _drop(self, tenant_ids: Sequence[str]) -> Faults:
        """Drop what was sent, in one round trip; what a crash brings back is sent once more."""
        sent = {one: self._sent.pop(one, []) for one in tenant_ids}
        spans = {one: self._sent_spans.pop(one, []) for one in tenant_ids}
        if not any((*sent.values(), *spans.values())):
            return [None] * len(tenant_ids)
        with contextlib.suppress(StoreUnavailable), translated():
            connection = self._idle.pop() if self._idle else await self._connected()
            try:
                types = await row_types(connection)
                statements: list[Statement] = [BEGIN, _UNHURRIED]
                for tenant_id, rows in sent.items():
                    statements.append(set_tenant(tenant_id))
                    statements.append((_DROP_SENT, (int8s(rows),)))
                    if spans[tenant_id]:
                        unknown = types["span_row"].rows(spans[tenant_id])
                        statements.append((_DROP_SPANS, (unknown,)))
                await exchange(connection, *statements, COMMIT)
            except BaseException:
                await connection.close()
                raise
            self._idle.append(connection)
        return [None] * len(tenant_ids)

    async def _connected(self) -> Connection:
        connection = await self._database.connect(row_factory=tuple_row, prepare_threshold=0)
        try:
            await row_types(connection)  # here, where it holds up no pipeline
        except BaseException:
            await connection.close()
            raise
        return connection


def _spans(commands: Sequence[Command], events: Sequence[Event]) -> list[list[int | None]]:
    """Name the events that carry a command's signal id; notes of other kinds have none."""
    seqs: dict[Any, list[int]] = {}
    for event in events:
        seqs.setdefault(event.payload.get("signalId"), []).append(event.seq)
    rows = [
        (command.inbox_id, events[-1].occurred_ns, *_ends(seqs.get(command.signal_id)))
        for command in commands
    ]
    return [list(column) for column in zip(*rows, strict=True)]


def _ends(seqs: list[int] | None) -> tuple[int | None, int | None]:
    return (seqs[0], seqs[-1]) if seqs else (None, None)


async def _claim(
    connection: Connection,
    tenant_ids: Sequence[str],
    limit: int,
    account_ids: Sequence[str] | None,
) -> Claims:
    """Claim what nobody holds; with accounts named, wait for those, tenants in one order."""
    claim: Statement = (_CLAIM, (texts(tenant_ids), limit))
    if account_ids is not None:
        claim = (_CLAIM_THESE, (texts(sorted(tenant_ids)), limit, uuids(account_ids)))
    _, claimed = await exchange(connection, BEGIN, claim)
    return {row[0]: _claimed(*row) for row in claimed}


def _claimed(
    tenant_id: str,
    notes: bool,
    accounts: Sequence[list[Any]] | None,
    commands: Sequence[list[Any]] | None,
    halts: Sequence[tuple[str, str]] | None,
) -> tuple[Batch | None, bool]:
    if not commands:
        return None, notes
    loaded = {values[0]: _account(tenant_id, values) for values in accounts or ()}
    decided = tuple(Command(*values) for values in commands)
    return Batch(tenant_id, loaded, decided, dict(halts or ())), notes


def _account(tenant_id: str, row: list[Any]) -> Account:
    positions = [Position(*values) for values in row[21] or ()]
    working = [order_of(values) for values in row[22] or ()]
    return Account(
        *(
            row[0],
            tenant_id,
            *row[1:12],
            Day(*row[12:19]),
            tuple(ClosedDay(*values) for values in row[20] or ()),
            tuple(row[19]),
            {position.key: position for position in positions},
            {order.order_id: order for order in working},
            read_tally(row[23]),
        )
    )
