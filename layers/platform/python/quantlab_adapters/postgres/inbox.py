"""The inbox in PostgreSQL: accepting commits in groups, reading in pages."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import psycopg
from psycopg import AsyncRawCursor
from psycopg.rows import tuple_row

from quantlab.audit.chain import TENANT_STREAM
from quantlab.engine.commands import Event
from quantlab.tenancy.scope import Scope
from quantlab_adapters.postgres.database import Connection, Database, is_lost, translated
from quantlab_adapters.postgres.exchange import exchange
from quantlab_adapters.postgres.rows import Rows, RowTypes, row_types
from quantlab_app.ports.errors import StoreUnavailable
from quantlab_app.ports.inbox import Accepted, Delivery, NewCommand

GROUP_MAX = 200
ANSWER_S: Final = 5

_ACCEPT = "select accept_commands($1::command_row[])::text as signal_id"
_FIND = """
update inbox set duplicates = duplicates
  + (body_digest = %(digest)s and signal_id is distinct from %(own)s::uuid)::int
where tenant_id = %(tenant)s and source_kind = %(kind)s and source_id = %(source)s
  and idempotency_key = %(key)s
returning signal_id::text, body_digest = %(digest)s as same_body
"""
_STATUS = """case when outcome = 'refused' then 'refused' when state = 0 then 'accepted'
  when state = 2 then 'dead' else outcome end"""
_COLUMNS = f"""inbox_id, signal_id::text, account_id::text, source_kind, source_id, command,
  payload, received_ns, {_STATUS} as status, reason, result, attempts, duplicates, done_ns,
  from_seq, to_seq"""
_PAGE = f"""
select {_COLUMNS} from inbox
where tenant_id = %(tenant)s and (%(kind)s::text is null or source_kind = %(kind)s)
  and (%(before)s::bigint is null or inbox_id < %(before)s)
  and (%(accounts)s::uuid[] is null or account_id = any(%(accounts)s))
  and (%(status)s::text is null or {_STATUS} = %(status)s)
order by inbox_id desc limit %(limit)s
"""  # noqa: S608 - constants only

_HISTORIES = """
select s.signal_id, e.seq, e.event_type, e.occurred_ns, e.payload
from unnest(%(signals)s::text[], %(streams)s::uuid[], %(firsts)s::bigint[], %(lasts)s::bigint[])
  s(signal_id, stream_id, from_seq, to_seq)
join event e on e.tenant_id = %(tenant)s and e.stream_id = s.stream_id
  and e.seq between s.from_seq and s.to_seq
order by s.signal_id, e.seq
"""
# What was decided goes where it stays.
_FORGET = """
with gone as (
  delete from inbox where tenant_id = %s and state = 1 and done_ns < %s and source_kind = any(%s)
  returning *
), kept as (
  insert into decided_command (tenant_id, account_id, decision, inbox_id, signal_id, source_kind,
    source_id, command, payload, received_ns, outcome, reason, result, done_ns, inputs)
  select tenant_id, account_id, decision, inbox_id, signal_id, source_kind, source_id, command,
    payload, received_ns, outcome, reason, result, done_ns, inputs
  from gone where decision is not null
)
select count(*) as gone from gone
"""

_Waiting = tuple[str, NewCommand, asyncio.Future[bool]]


class PostgresInbox:
    """Inbox port. What arrives while one group commits is the next group: one fsync for all."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[_Waiting] = []
        self._flusher: asyncio.Task[None] | None = None
        self._connection: Connection | None = None

    async def accept(self, scope: Scope, command: NewCommand) -> Accepted:
        if await self._is_inserted(scope.tenant_id, command):
            return Accepted(command.signal_id, new=True, same_body=True)
        first = await self._find(
            scope,
            command.source_kind,
            command.source_id,
            command.idempotency_key,
            command.body_digest,
            command.signal_id,
        )
        if first is None:
            raise StoreUnavailable("PostgreSQL: a command's key is taken by a row that is gone")
        if first.signal_id == command.signal_id:  # an attempt whose answer was lost inserted it
            return Accepted(command.signal_id, new=True, same_body=True)
        return first

    async def _is_inserted(self, tenant_id: str, command: NewCommand) -> bool:
        """Say whether a command was inserted; its key may be taken.

        One given up before its group is sent is not sent any more. After that nobody knows until
        PostgreSQL answers: who asks again finds what became of it by its key.
        """
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        entry = (tenant_id, command, future)
        self._waiting.append(entry)
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush())
        try:
            async with asyncio.timeout(ANSWER_S):
                return await future
        except TimeoutError:
            raise StoreUnavailable("PostgreSQL: no answer in time") from None
        finally:
            if future.cancelled():
                with suppress(ValueError):
                    self._waiting.remove(entry)

    async def close(self) -> None:
        """End the group writer and its connection."""
        if self._flusher is not None and not self._flusher.done():
            await self._flusher
        if self._connection is not None:
            await self._connection.close()

    async def _flush(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting[:GROUP_MAX], self._waiting[GROUP_MAX:]
            try:
                await self._settle(group)
            except BaseException as bug:
                # Nobody may wait for an answer that will never come.
                stranded, self._waiting = [*group, *self._waiting], []
                for _, _, future in stranded:
                    if not future.done():
                        future.set_exception(bug)
                raise

    async def _settle(self, group: list[_Waiting]) -> None:
        try:
            inserted = await self._insert(group)
        except (StoreUnavailable, psycopg.Error, TypeError, ValueError) as fault:
            # The last two say that a command cannot be written as JSON or text.
            if len(group) > 1 and not isinstance(fault, StoreUnavailable):
                for one in group:
                    await self._settle([one])
                return
            for _, _, future in group:
                if not future.done():
                    future.set_exception(fault)
            return
        for _, command, future in group:
            if not future.done():
                future.set_result(command.signal_id in inserted)

    async def _insert(self, group: list[_Waiting]) -> set[str]:
        """Insert a group in one transaction, each tenant's rows under that tenant."""
        with translated():
            if self._connection is not None:
                try:
                    return await self._accept(self._connection, group)
                except psycopg.Error as error:
                    # Once more on a new connection: what was inserted after all keeps its key.
                    if not is_lost(error):
                        raise
            self._connection = await self._database.connect(
                patience_s=ANSWER_S, prepare_threshold=0
            )
            return await self._accept(self._connection, group)

    async def _accept(self, connection: Connection, group: list[_Waiting]) -> set[str]:
        """Insert what somebody still waits for."""
        waiting = [(tenant, one) for tenant, one, future in group if not future.done()]
        if not waiting:
            return set()
        try:
            rows = _command_rows(await row_types(connection), waiting)
            return _signals(*await exchange(connection, (_ACCEPT, (rows,))))
        except BaseException:
            self._connection = None
            await connection.close()
            raise

    async def find(
        self, scope: Scope, source_kind: str, source_id: str, key: bytes, body_digest: bytes
    ) -> Accepted | None:
        return await self._find(scope, source_kind, source_id, key, body_digest, None)

    async def _find(
        self,
        scope: Scope,
        source_kind: str,
        source_id: str,
        key: bytes,
        body_digest: bytes,
        own_signal_id: str | None,
    ) -> Accepted | None:
        """Find who holds a key; a row of our own that we meet again is no duplicate."""
        async with self._database.tenant(scope.tenant_id) as connection:
            cursor = await connection.execute(
                _FIND,
                {
                    "tenant": scope.tenant_id,
                    "kind": source_kind,
                    "source": source_id,
                    "key": key,
                    "digest": body_digest,
                    "own": own_signal_id,
                },
            )
            row = await cursor.fetchone()
        if row is None:
            return None
        return Accepted(row["signal_id"], new=False, same_body=row["same_body"])

    async def delivery(self, scope: Scope, signal_id: str) -> Delivery | None:
        async with self._database.tenant(scope.tenant_id) as connection:
            cursor = await connection.execute(
                f"select {_COLUMNS} from inbox where tenant_id = %s and signal_id = %s",  # noqa: S608
                (scope.tenant_id, signal_id),
            )
            row = await cursor.fetchone()
        return None if row is None else _delivery(row)

    async def deliveries(
        self,
        scope: Scope,
        *,
        source_kind: str | None,
        account_ids: Sequence[str] | None,
        status: str | None,
        before: int | None,
        limit: int,
    ) -> Sequence[Delivery]:
        async with self._database.tenant(scope.tenant_id) as connection:
            cursor = await connection.execute(
                _PAGE,
                {
                    "tenant": scope.tenant_id,
                    "kind": source_kind,
                    "before": before,
                    "accounts": None if account_ids is None else list(account_ids),
                    "status": status,
                    "limit": limit,
                },
            )
            return [_delivery(row) for row in await cursor.fetchall()]

    async def histories(
        self, scope: Scope, deliveries: Sequence[Delivery]
    ) -> Mapping[str, Sequence[Event]]:
        spanning = [one for one in deliveries if one.from_seq is not None]
        if not spanning:
            return {}
        async with self._database.tenant(scope.tenant_id) as connection:
            cursor = await connection.execute(
                _HISTORIES,
                {
                    "tenant": scope.tenant_id,
                    "signals": [one.signal_id for one in spanning],
                    "streams": [one.account_id or TENANT_STREAM for one in spanning],
                    "firsts": [one.from_seq for one in spanning],
                    "lasts": [one.to_seq for one in spanning],
                },
            )
            rows = await cursor.fetchall()
        found: dict[str, list[Event]] = {}
        for row in rows:
            signal_id = row.pop("signal_id")
            found.setdefault(signal_id, []).append(Event(**row))
        return found

    async def redrive(self, scope: Scope, signal_id: str) -> bool:
        async with self._database.tenant(scope.tenant_id) as connection:
            cursor = await connection.execute(
                "update inbox set state = 0, outcome = null, reason = null, attempts = 0,"
                " done_ns = null where tenant_id = %s and signal_id = %s and state = 2",
                (scope.tenant_id, signal_id),
            )
            await connection.execute("select pg_notify('orders', %s)", (scope.tenant_id,))
            return cursor.rowcount == 1

    async def forget_before(
        self, tenant_id: str, before_ns: int, source_kinds: Sequence[str]
    ) -> int:
        async with self._database.tenant(tenant_id) as connection:
            values = (tenant_id, before_ns, list(source_kinds))
            row = await (await connection.execute(_FORGET, values)).fetchone()
            return 0 if row is None else int(row["gone"])


async def insert_commands(
    connection: Connection, commands: Iterable[tuple[str, NewCommand]]
) -> set[str]:
    """Insert commands of tenants whose keys are free; return the signals of those."""
    rows = _command_rows(await row_types(connection), commands)
    cursor = AsyncRawCursor(connection, row_factory=tuple_row)
    await cursor.execute(_ACCEPT, (rows,))
    return _signals(await cursor.fetchall())


def _command_rows(types: RowTypes, commands: Iterable[tuple[str, NewCommand]]) -> Rows:
    return types["command_row"].rows(
        [
            (
                tenant_id,
                command.account_id,
                command.source_kind,
                command.source_id,
                command.idempotency_key,
                command.body_digest,
                command.signal_id,
                command.name,
                command.payload,
                command.received_ns,
                command.outcome,
                command.reason,
            )
            for tenant_id, command in commands
        ]
    )


def _signals(rows: Iterable[tuple[Any, ...]]) -> set[str]:
    return {signal_id for (signal_id,) in rows}


def _delivery(row: dict[str, Any]) -> Delivery:
    row["name"] = row.pop("command")
    return Delivery(**row)
