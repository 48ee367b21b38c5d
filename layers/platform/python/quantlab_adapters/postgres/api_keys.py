"""API keys in PostgreSQL."""

from typing import Any

from quantlab.tenancy.permissions import Permission, Role
from quantlab.tenancy.scope import Scope
from quantlab_adapters.postgres.database import Database
from quantlab_app.ports.identity import ApiKey

_COLUMNS = "api_key_id::text, name, role, scopes, created_by, created_ns, expires_ns, revoked_ns"
_FIRST = (-1, "00000000-0000-0000-0000-000000000000")


class PostgresApiKeys:
    """ApiKeys port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, scope: Scope, key: ApiKey, key_hash: bytes) -> None:
        async with self._database.tenant(scope.tenant_id) as connection:
            await connection.execute(
                "insert into api_key (tenant_id, api_key_id, key_hash, name, role, scopes,"
                " created_by, created_ns, expires_ns) values (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
                (
                    scope.tenant_id,
                    key.api_key_id,
                    key_hash,
                    key.name,
                    key.role.value,
                    sorted(key.scopes),
                    key.created_by,
                    key.created_ns,
                    key.expires_ns,
                ),
            )
            await connection.execute(
                "insert into directory (tenant_id, kind, lookup_hash, object_id)"
                " values (%s, 'api_key', %s, %s)",
                (scope.tenant_id, key_hash, key.api_key_id),
            )

    async def page(self, scope: Scope, limit: int, after: tuple[int, str] | None) -> list[ApiKey]:
        ns, last_id = after or _FIRST
        async with self._database.tenant(scope.tenant_id) as connection:
            cursor = await connection.execute(
                f"select {_COLUMNS} from api_key where tenant_id = %s"  # noqa: S608 - constants
                " and (created_ns, api_key_id) > (%s, %s::uuid)"
                " order by created_ns, api_key_id limit %s",
                (scope.tenant_id, ns, last_id, limit),
            )
            return [_api_key(row) for row in await cursor.fetchall()]

    async def find(self, scope: Scope, api_key_id: str) -> ApiKey | None:
        async with self._database.tenant(scope.tenant_id) as connection:
            cursor = await connection.execute(
                f"select {_COLUMNS} from api_key"  # noqa: S608 - constants of this file
                " where tenant_id = %s and api_key_id = %s"
                " and exists (select 1 from tenant t"
                "  where t.tenant_id = api_key.tenant_id and t.status = 'active')",
                (scope.tenant_id, api_key_id),
            )
            row = await cursor.fetchone()
        return None if row is None else _api_key(row)

    async def revoke(self, scope: Scope, api_key_id: str, now_ns: int) -> bytes | None:
        async with self._database.tenant(scope.tenant_id) as connection:
            cursor = await connection.execute(
                "update api_key set revoked_ns = coalesce(revoked_ns, %s)"
                " where tenant_id = %s and api_key_id = %s returning key_hash",
                (now_ns, scope.tenant_id, api_key_id),
            )
            row = await cursor.fetchone()
            if row is None:
                return None
            await connection.execute(
                "delete from directory where tenant_id = %s and kind = 'api_key'"
                " and lookup_hash = %s",
                (scope.tenant_id, row["key_hash"]),
            )
        return bytes(row["key_hash"])


def _api_key(row: dict[str, Any]) -> ApiKey:
    scopes = frozenset(Permission(scope) for scope in row["scopes"])
    return ApiKey(**{**row, "role": Role(row["role"]), "scopes": scopes})
