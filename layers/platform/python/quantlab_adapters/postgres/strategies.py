"""Strategies and their versions in PostgreSQL."""

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg.types.json import Json

from quantlab.tenancy.scope import Scope
from quantlab_adapters.postgres.database import Connection, Database
from quantlab_app.ports.strategies import SavedVersion, Strategy, VersionLine

_STRATEGY = """
select strategy_id::text, user_id::text, name, latest_version, created_ns, updated_ns, archived_ns
from strategy where tenant_id = %(tenant)s
"""
_ADD = """
insert into strategy (tenant_id, strategy_id, user_id, name, latest_version, created_ns, updated_ns)
select %(tenant)s, %(strategy)s, %(user)s, %(name)s, %(version)s, %(now)s, %(now)s
where (select count(*) from strategy where tenant_id = %(tenant)s
  and user_id is not distinct from %(user)s::uuid and archived_ns is null) < %(limit)s
"""
_ADD_VERSION = """
insert into strategy_version (tenant_id, strategy_id, version, source_hash, source, facts,
  created_by, created_ns)
values (%(tenant)s, %(strategy)s, %(version)s, %(hash)s, %(source)s, %(facts)s, %(by)s, %(created)s)
"""
_VERSION = """
select version, source_hash, source, facts, created_by, created_ns from strategy_version
where tenant_id = %(tenant)s and strategy_id = %(strategy)s and version = %(version)s
"""
_VERSIONS = """
select version, source_hash, created_by, created_ns from strategy_version
where tenant_id = %(tenant)s and strategy_id = %(strategy)s
  and (%(before)s::integer is null or version < %(before)s) order by version desc limit %(limit)s
"""
_SAVE = """
update strategy set name = %(name)s, updated_ns = %(now)s,
  latest_version = coalesce(%(version)s, latest_version)
where tenant_id = %(tenant)s and strategy_id = %(strategy)s and archived_ns is null
  and (%(version)s::integer is null or latest_version = %(version)s - 1)
"""
_ARCHIVE = """
update strategy set archived_ns = %(now)s, updated_ns = %(now)s
where tenant_id = %(tenant)s and strategy_id = %(strategy)s and archived_ns is null
"""


class PostgresStrategies:
    """Strategies port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self, scope: Scope, strategy: Strategy, first: SavedVersion, per_owner_max: int
    ) -> bool:
        values = {
            "tenant": scope.tenant_id,
            "strategy": strategy.strategy_id,
            "user": strategy.user_id,
            "name": strategy.name,
            "now": strategy.created_ns,
            "limit": per_owner_max,
            **_values(first),
        }
        async with self._database.tenant(scope.tenant_id) as connection:
            if (await connection.execute(_ADD, values)).rowcount != 1:
                return False
            await connection.execute(_ADD_VERSION, values)
            return True

    async def page(
        self, scope: Scope, *, user_id: str | None, archived: bool, after: str | None, limit: int
    ) -> Sequence[Strategy]:
        return await self._found(
            scope,
            " and (%(user)s::uuid is null or user_id = %(user)s)"
            " and (archived_ns is not null) = %(archived)s"
            " and (%(after)s::uuid is null or strategy_id > %(after)s)"
            " order by strategy_id limit %(limit)s",
            user=user_id,
            archived=archived,
            after=after,
            limit=limit,
        )

    async def find(self, scope: Scope, strategy_id: str) -> Strategy | None:
        found = await self._found(scope, " and strategy_id = %(strategy)s", strategy=strategy_id)
        return found[0] if found else None

    async def _found(self, scope: Scope, condition: str, **values: Any) -> list[Strategy]:
        rows = await self._rows(scope, _STRATEGY + condition, **values)
        return [Strategy(**row) for row in rows]

    async def version(self, scope: Scope, strategy_id: str, version: int) -> SavedVersion | None:
        rows = await self._rows(scope, _VERSION, strategy=strategy_id, version=version)
        return SavedVersion(**rows[0]) if rows else None

    async def versions(
        self, scope: Scope, strategy_id: str, *, before: int | None, limit: int
    ) -> Sequence[VersionLine]:
        rows = await self._rows(scope, _VERSIONS, strategy=strategy_id, before=before, limit=limit)
        return [VersionLine(**row) for row in rows]

    async def save(
        self, scope: Scope, strategy_id: str, name: str, new: SavedVersion | None, now_ns: int
    ) -> bool:
        values = {"tenant": scope.tenant_id, "strategy": strategy_id, "name": name, "now": now_ns}
        values |= {"version": None} if new is None else _values(new)
        async with self._database.tenant(scope.tenant_id) as connection:
            if (await connection.execute(_SAVE, values)).rowcount != 1:
                return False
            if new is not None:
                await connection.execute(_ADD_VERSION, values)
            return True

    async def archive(self, scope: Scope, strategy_id: str, now_ns: int) -> bool:
        async with self._database.tenant(scope.tenant_id) as connection:
            done = await connection.execute(
                _ARCHIVE, {"tenant": scope.tenant_id, "strategy": strategy_id, "now": now_ns}
            )
            return done.rowcount == 1

    async def _rows(self, scope: Scope, statement: str, **values: Any) -> list[dict[str, Any]]:
        async with self._database.tenant(scope.tenant_id) as connection:
            return await _fetched(connection, statement, {"tenant": scope.tenant_id, **values})


async def _fetched(
    connection: Connection, statement: str, values: Mapping[str, Any]
) -> list[dict[str, Any]]:
    return await (await connection.execute(statement.encode(), values)).fetchall()


def _values(new: SavedVersion) -> dict[str, Any]:
    return {
        "version": new.version,
        "hash": new.source_hash,
        "source": new.source,
        "facts": Json(new.facts),
        "by": new.created_by,
        "created": new.created_ns,
    }
