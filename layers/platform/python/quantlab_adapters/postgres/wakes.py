"""Wakes by NOTIFY: the payload is a tenant, never content."""

import asyncio
import logging
from collections.abc import AsyncIterator

import psycopg
from psycopg import sql

from quantlab_adapters.postgres.database import Database
from quantlab_app.ports.errors import StoreUnavailable

RETRY_S = 0.5

_log = logging.getLogger(__name__)


class PostgresWakes:
    """Wakes port. A listener that loses its connection comes back; the sweep covers the gap."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def wake(self, queue: str, tenant_id: str, account_id: str | None = None) -> None:
        """Do nothing: accepting notifies in its own transaction, the other queues are swept."""

    async def listen(self, queue: str) -> AsyncIterator[str]:
        """Yield the tenant of every wake of a queue, for as long as it is iterated."""
        while True:
            try:
                connection = await self._database.connect()
                async with connection:
                    await connection.execute(sql.SQL("listen {}").format(sql.Identifier(queue)))
                    async for notice in connection.notifies():
                        yield notice.payload
            except (psycopg.OperationalError, StoreUnavailable) as error:
                _log.warning("listening for %s: %s; again in %s s", queue, error, RETRY_S)
                await asyncio.sleep(RETRY_S)
