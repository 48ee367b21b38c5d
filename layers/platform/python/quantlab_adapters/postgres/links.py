"""Linked accounts in PostgreSQL."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from psycopg.rows import tuple_row

from quantlab.rules.surroundings import LinkedAccount, LinkedFill, opening_orders
from quantlab.tenancy.scope import Scope
from quantlab_adapters.postgres.database import Connection, Database
from quantlab_app.ports.errors import NotFound

_PUT = """
insert into account_link (tenant_id, account_id, group_id)
select a.tenant_id, a.account_id, %(group)s from account a
where a.tenant_id = %(tenant)s and a.account_id = any(%(accounts)s::uuid[])
on conflict (tenant_id, account_id) do update set group_id = excluded.group_id
"""
_LINKED = """
with pair as (
  select own.account_id as own_id, other.account_id, true as same_owner
  from account own join account other
    on other.tenant_id = own.tenant_id and other.user_id = own.user_id
  where own.tenant_id = %(tenant)s and own.account_id = any(%(accounts)s::uuid[])
  union
  select own.account_id, other.account_id, false
  from account_link own join account_link other
    on other.tenant_id = own.tenant_id and other.group_id = own.group_id
  where own.tenant_id = %(tenant)s and own.account_id = any(%(accounts)s::uuid[])
), linked as (
  select pair.own_id, pair.account_id, bool_or(pair.same_owner) as same_owner
  from pair join account a on a.tenant_id = %(tenant)s and a.account_id = pair.account_id
  where pair.own_id <> pair.account_id and a.status <> 'closed'
  group by pair.own_id, pair.account_id
)
"""
_IDS = f"{_LINKED} select account_id::text as id from linked order by account_id"  # noqa: S608 - constants only
# An account's fills are in order of time, so those since an instant are those behind the last one
# before it: nothing older is read.
_STANDING = f"""{_LINKED}
select l.own_id::text, l.account_id::text, l.same_owner,
  (select json_agg(json_build_array(p.symbol, p.size_steps, nullif(p.ticket, ''))
      order by p.symbol, p.opened_seq) from position p
    where p.tenant_id = %(tenant)s and p.account_id = l.account_id),
  (select json_agg(json_build_array(f.symbol, f.side, f.size_steps, f.filled_ns, f.ticket)
      order by f.event_seq desc)
    from fill f where f.tenant_id = %(tenant)s and f.account_id = l.account_id
      and f.filled_ns >= %(since)s and f.event_seq > coalesce((
        select e.event_seq from fill e where e.tenant_id = %(tenant)s
          and e.account_id = l.account_id and e.filled_ns < %(since)s
        order by e.event_seq desc limit 1), 0))
from linked l order by l.own_id, l.account_id
"""  # noqa: S608 - constants only
# Whoever reads for an account holds what links it to others, its user and its group, in one order
# for everybody. Taken behind the locks of accounts, by transactions that wait for no account any
# more: so nobody waits in a circle.
_HOLD = """
select pg_advisory_xact_lock(key) from (
  select distinct hashtextextended(link.name, 0) as key
  from account a left join account_link l
    on l.tenant_id = a.tenant_id and l.account_id = a.account_id,
  lateral (values ('linked user ' || a.tenant_id || ' ' || a.user_id),
    ('linked group ' || a.tenant_id || ' ' || l.group_id)) link(name)
  where a.tenant_id = %(tenant)s and a.account_id = any(%(accounts)s::uuid[])
    and link.name is not null
  order by key) held
"""
_SET_TENANT = "select set_config('app.tenant', %(tenant)s, true)"


async def read_linked(
    connection: Connection, tenant_id: str, account_ids: Sequence[str], since_ns: int
) -> Mapping[str, Sequence[LinkedAccount]]:
    """Read what is linked to some accounts and hold it until the connection's transaction ends."""
    values = {"tenant": tenant_id, "accounts": list(account_ids), "since": since_ns}
    cursor = connection.cursor(row_factory=tuple_row)
    async with connection.pipeline():
        await connection.execute(_SET_TENANT, values)
        await connection.execute(_HOLD, values)
        await cursor.execute(_STANDING, values)
    return _by_account(await cursor.fetchall())


def _by_account(rows: Iterable[tuple[Any, ...]]) -> dict[str, list[LinkedAccount]]:
    found: dict[str, list[LinkedAccount]] = {}
    for own_id, account_id, same_owner, held, fills in rows:
        positions = tuple((symbol, steps) for symbol, steps, _ in held or ())
        by_key = {ticket or symbol: steps for symbol, steps, ticket in held or ()}
        orders = opening_orders(by_key, [LinkedFill(*values) for values in fills or ()])
        one = LinkedAccount(account_id, same_owner, positions, orders)
        found.setdefault(own_id, []).append(one)
    return found


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
        return await self._ids(scope, _IDS, accounts=[account_id])

    async def standing(
        self, scope: Scope, account_id: str, since_ns: int
    ) -> Sequence[LinkedAccount]:
        values = {"tenant": scope.tenant_id, "accounts": [account_id], "since": since_ns}
        async with self._database.tenant(scope.tenant_id) as connection:
            cursor = connection.cursor(row_factory=tuple_row)
            await cursor.execute(_STANDING, values)
            return _by_account(await cursor.fetchall()).get(account_id, [])

    async def _ids(self, scope: Scope, statement: str, **values: Any) -> Sequence[str]:
        async with self._database.tenant(scope.tenant_id) as connection:
            cursor = await connection.execute(
                statement.encode(), {"tenant": scope.tenant_id, **values}
            )
            return [row["id"] for row in await cursor.fetchall()]
