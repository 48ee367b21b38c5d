"""Linked accounts in PostgreSQL."""

from collections.abc import Mapping, Sequence

from quantlab.tenancy.scope import Scope
from quantlab_adapters.postgres.database import Database
from quantlab_app.ports.errors import NotFound

_PUT = """
insert into account_link (tenant_id, account_id, group_id)
select a.tenant_id, a.account_id, %(group)s from account a
where a.tenant_id = %(tenant)s and a.account_id = any(%(accounts)s::uuid[])
on conflict (tenant_id, account_id) do update set group_id = excluded.group_id
"""
_LINKED = """
select other.account_id::text as id from account own
join account other on other.tenant_id = own.tenant_id and other.account_id <> own.account_id
  and other.status <> 'closed'
left join account_link l on l.tenant_id = own.tenant_id and l.account_id = own.account_id
left join account_link m on m.tenant_id = other.tenant_id and m.account_id = other.account_id
where own.tenant_id = %(tenant)s and own.account_id = %(account)s
  and (other.user_id = own.user_id or m.group_id = l.group_id)
order by other.account_id
"""


class PostgresAccountLinks:
    """AccountLinks port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def groups(
        self, scope: Scope, after: str | None, limit: int
    ) -> Mapping[str, Sequence[str]]:
        async with self._database.tenant(scope.tenant_id) as connection:
            cursor = await connection.execute(
                "select group_id, array_agg(account_id::text order by account_id) as accounts"
                " from account_link where tenant_id = %(tenant)s"
                " and (%(after)s::text is null or group_id > %(after)s)"
                " group by group_id order by group_id limit %(limit)s",
                {"tenant": scope.tenant_id, "after": after, "limit": limit},
            )
            return {row["group_id"]: row["accounts"] for row in await cursor.fetchall()}

    async def group(self, scope: Scope, group_id: str) -> Sequence[str]:
        return await self._ids(
            scope,
            "select account_id::text as id from account_link where tenant_id = %(tenant)s"
            " and group_id = %(group)s order by account_id",
            group=group_id,
        )

    async def put(self, scope: Scope, group_id: str, account_ids: Sequence[str]) -> None:
        values = {"tenant": scope.tenant_id, "group": group_id, "accounts": list(account_ids)}
        async with self._database.tenant(scope.tenant_id) as connection:
            cursor = await connection.execute(_PUT, values)
            if cursor.rowcount != len(set(account_ids)):
                raise NotFound("account")
            await connection.execute(
                "delete from account_link where tenant_id = %(tenant)s and group_id = %(group)s"
                " and account_id <> all(%(accounts)s::uuid[])",
                values,
            )

    async def linked_to(self, scope: Scope, account_id: str) -> Sequence[str]:
        return await self._ids(scope, _LINKED, account=account_id)

    async def _ids(self, scope: Scope, statement: str, **values: str) -> Sequence[str]:
        async with self._database.tenant(scope.tenant_id) as connection:
            cursor = await connection.execute(
                statement.encode(), {"tenant": scope.tenant_id, **values}
            )
            return [row["id"] for row in await cursor.fetchall()]
