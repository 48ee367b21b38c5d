"""Events as committed: the sequence of each account, readable again from any point."""

from collections.abc import Mapping, Sequence

from quantlab.tenancy.scope import Scope
from quantlab_adapters.postgres.database import Database
from quantlab_app.ports.sockets import LoggedEvent, StreamHead

_HEADS = """
select account_id::text, user_id::text, event_seq from account
where tenant_id = %s and account_id = any (%s::uuid[])
"""
_EVENTS_AFTER = """
select seq, event_type, occurred_ns, payload from event
where tenant_id = %s and stream_id = %s::uuid and seq > %s order by seq limit %s
"""


class PostgresEventLog:
    """EventLog port on the tables account and event."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def heads(self, scope: Scope, account_ids: Sequence[str]) -> Mapping[str, StreamHead]:
        async with self._database.tenant(scope.tenant_id) as connection:
            cursor = await connection.execute(_HEADS, (scope.tenant_id, list(account_ids)))
            rows = await cursor.fetchall()
        return {
            row["account_id"]: StreamHead(row["account_id"], row["user_id"], row["event_seq"])
            for row in rows
        }

    async def events_after(
        self, scope: Scope, account_id: str, after_seq: int, limit: int
    ) -> Sequence[LoggedEvent]:
        arguments = (scope.tenant_id, account_id, after_seq, limit)
        async with self._database.tenant(scope.tenant_id) as connection:
            cursor = await connection.execute(_EVENTS_AFTER, arguments)
            rows = await cursor.fetchall()
        return [
            LoggedEvent(row["seq"], row["event_type"], row["occurred_ns"], row["payload"])
            for row in rows
        ]
