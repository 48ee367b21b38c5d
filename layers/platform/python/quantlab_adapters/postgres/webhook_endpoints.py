"""Endpoints of outbound webhooks in PostgreSQL."""

from collections.abc import Sequence
from typing import Any

from quantlab.tenancy.scope import Scope
from quantlab_adapters.postgres.database import Connection, Database
from quantlab_app.ports.outbound import Endpoint, EndpointChange

_ENDPOINT = """
select endpoint_id::text, url, description, event_types, status, disabled_reason,
  failing_since_ns, paused_until_ns, created_ns
from webhook_endpoint where tenant_id = %(tenant)s
"""
# What was handed on for endpoints that are gone is not for the first new one.
_DROP_SPANS = """
delete from outbox where tenant_id = %(tenant)s and topic = 3
  and not exists (select from webhook_endpoint where tenant_id = %(tenant)s and status = 'active')
"""
_ADD = """
insert into webhook_endpoint (tenant_id, endpoint_id, url, description, event_types, status,
  secret_cipher, created_ns)
select %(tenant)s, %(endpoint)s, %(url)s, %(description)s, %(types)s::text[], 'active',
  %(cipher)s, %(created)s
where (select count(*) from webhook_endpoint where tenant_id = %(tenant)s) < %(limit)s
"""
_CHANGE = """
update webhook_endpoint set url = coalesce(%(url)s, url),
  description = coalesce(%(description)s, description),
  event_types = coalesce(%(types)s::text[], event_types)
where tenant_id = %(tenant)s and endpoint_id = %(endpoint)s
"""
_DISABLE = """
update webhook_endpoint set status = 'disabled', disabled_reason = 'by_request'
where tenant_id = %(tenant)s and endpoint_id = %(endpoint)s and status = 'active'
"""
_ENABLE = """
update webhook_endpoint set status = 'active', disabled_reason = null, failing_since_ns = null,
  slow_answers = 0, paused_until_ns = 0
where tenant_id = %(tenant)s and endpoint_id = %(endpoint)s
"""
_ROTATE = """
update webhook_endpoint set previous_secret_cipher = secret_cipher, secret_cipher = %s,
  previous_until_ns = %s
where tenant_id = %s and endpoint_id = %s
"""
_REMOVE = "delete from webhook_endpoint where tenant_id = %(tenant)s and endpoint_id = %(endpoint)s"
END_PENDING = """
update webhook_delivery set status = 'failed'
where tenant_id = %(tenant)s and endpoint_id = %(endpoint)s and status = 'pending'
"""


class PostgresWebhookEndpoints:
    """WebhookEndpoints port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, scope: Scope, endpoint: Endpoint, secret_cipher: bytes, limit: int) -> bool:
        values = {
            "tenant": scope.tenant_id,
            "endpoint": endpoint.endpoint_id,
            "url": endpoint.url,
            "description": endpoint.description,
            "types": list(endpoint.event_types),
            "cipher": secret_cipher,
            "created": endpoint.created_ns,
            "limit": limit,
        }
        async with self._database.tenant(scope.tenant_id) as connection:
            await connection.execute(
                "select from tenant where tenant_id = %(tenant)s for update", values
            )
            await connection.execute(_DROP_SPANS, values)
            return (await connection.execute(_ADD, values)).rowcount == 1

    async def page(self, scope: Scope, *, after: str | None, limit: int) -> Sequence[Endpoint]:
        return await self._found(
            scope,
            " and (%(after)s::uuid is null or endpoint_id > %(after)s)"
            " order by endpoint_id limit %(limit)s",
            after=after,
            limit=limit,
        )

    async def find(self, scope: Scope, endpoint_id: str) -> Endpoint | None:
        found = await self._found(scope, " and endpoint_id = %(endpoint)s", endpoint=endpoint_id)
        return found[0] if found else None

    async def _found(self, scope: Scope, condition: str, **values: Any) -> list[Endpoint]:
        async with self._database.tenant(scope.tenant_id) as connection:
            return await endpoints(connection, scope.tenant_id, condition, **values)

    async def change(self, scope: Scope, endpoint_id: str, change: EndpointChange) -> bool:
        values = {
            "tenant": scope.tenant_id,
            "endpoint": endpoint_id,
            "url": change.url,
            "description": change.description,
            "types": None if change.event_types is None else list(change.event_types),
        }
        async with self._database.tenant(scope.tenant_id) as connection:
            if (await connection.execute(_CHANGE, values)).rowcount != 1:
                return False
            if change.status == "active":
                await connection.execute(_ENABLE, values)
            elif change.status == "disabled":
                await connection.execute(_DISABLE, values)
                await connection.execute(END_PENDING, values)
            return True

    async def rotate(
        self, scope: Scope, endpoint_id: str, secret_cipher: bytes, old_until_ns: int
    ) -> bool:
        async with self._database.tenant(scope.tenant_id) as connection:
            cursor = await connection.execute(
                _ROTATE, (secret_cipher, old_until_ns, scope.tenant_id, endpoint_id)
            )
            return cursor.rowcount == 1

    async def remove(self, scope: Scope, endpoint_id: str) -> bool:
        values = {"tenant": scope.tenant_id, "endpoint": endpoint_id}
        async with self._database.tenant(scope.tenant_id) as connection:
            if (await connection.execute(_REMOVE, values)).rowcount != 1:
                return False
            await connection.execute(END_PENDING, values)
            await connection.execute(_DROP_SPANS, values)
            return True


async def endpoints(
    connection: Connection, tenant_id: str, condition: str, **values: Any
) -> list[Endpoint]:
    """Read endpoints of a tenant in the tenant's transaction."""
    cursor = await connection.execute(_ENDPOINT + condition, {"tenant": tenant_id, **values})
    return [
        Endpoint(**{**row, "event_types": tuple(row["event_types"])})
        for row in await cursor.fetchall()
    ]
