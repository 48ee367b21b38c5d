"""Connections, transactions and the tenant of a transaction."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson
import psycopg
from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from quantlab_app.ports.errors import Conflict, StoreUnavailable

Connection = AsyncConnection[dict[str, Any]]

CHECK_INTERVAL_S = 1.0
set_json_loads(orjson.loads)

SET_TENANT = "select set_config('app.tenant', %s, true)"


class Database:
    """A pool of connections of the application role, which owns nothing and bypasses nothing."""

    def __init__(
        self,
        dsn: str,
        *,
        min_size: int = 1,
        max_size: int = 8,
        session: Mapping[str, str] | None = None,
    ) -> None:
        self._dsn = dsn
        self._options = _connect_options(session or {})
        self._checked_at = 0.0
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            dsn,
            min_size=min_size,
            max_size=max_size,
            open=False,
            timeout=5,
            reconnect_timeout=5,
            kwargs=self._options,
            check=self._check,
        )

    @property
    def dsn(self) -> str:
        return self._dsn

    async def _check(self, connection: Connection) -> None:
        """Ping a pooled connection, at most once a second for the pool: a restart shows there."""
        now = time.monotonic()
        if now - self._checked_at > CHECK_INTERVAL_S:
            await AsyncConnectionPool.check_connection(connection)
            self._checked_at = now

    async def open(self) -> None:
        await self._pool.open()

    async def close(self) -> None:
        await self._pool.close()

    async def connect(self, **options: Any) -> Connection:
        """Open a connection outside the pool, for a listener or a long-lived lane."""
        with translated():
            return await AsyncConnection.connect(self._dsn, **{**self._options, **options})

    @asynccontextmanager
    async def tenant(self, tenant_id: str) -> AsyncIterator[Connection]:
        """Run one transaction that sees and writes this tenant's rows only."""
        with translated():
            async with self._pool.connection() as connection, connection.transaction():
                await connection.execute(SET_TENANT, (tenant_id,))
                yield connection

    @asynccontextmanager
    async def plain(self) -> AsyncIterator[Connection]:
        """Run one transaction without a tenant: global tables and look-up functions only."""
        with translated():
            async with self._pool.connection() as connection, connection.transaction():
                yield connection


def _connect_options(session: Mapping[str, str]) -> dict[str, Any]:
    wanted = {"search_path": "quantlab", "application_name": "quantlab", **session}
    return {
        "autocommit": True,
        "prepare_threshold": 1,
        "row_factory": dict_row,
        "options": " ".join(f"-c {name}={value}" for name, value in wanted.items()),
    }


class translated:  # noqa: N801 - reads as a verb where it is used
    """Turn the driver's errors into faults."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, psycopg.errors.UniqueViolation):
            raise Conflict(error.diag.constraint_name or "unique") from error
        if isinstance(
            error,
            psycopg.OperationalError
            | psycopg.InterfaceError
            | PoolTimeout
            | PoolClosed
            | TooManyRequests
            | OSError,
        ):
            raise StoreUnavailable(f"PostgreSQL: {type(error).__name__}") from error
