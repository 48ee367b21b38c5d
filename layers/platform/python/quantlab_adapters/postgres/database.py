"""Connections, transactions and the tenant of a transaction."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import orjson
import psycopg
from psycopg import AsyncConnection, sql
from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from quantlab_app.ports.errors import Conflict, StoreUnavailable

Connection = AsyncConnection[dict[str, Any]]

set_json_loads(orjson.loads)

ONE_MOMENT: Final = sql.SQL("set transaction isolation level repeatable read")
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
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            dsn,
            min_size=min_size,
            max_size=max_size,
            open=False,
            timeout=5,
            reconnect_timeout=5,
            kwargs=self._options,
        )

    @property
    def dsn(self) -> str:
        return self._dsn

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
            stack, connection = await self._begun(tenant_id)
            async with stack:
                yield connection

    @asynccontextmanager
    async def moment(
        self, tenant_id: str, snapshot: str | None = None
    ) -> AsyncIterator[Connection]:
        """Run one transaction like `tenant` whose every statement sees the same moment.

        It is that of a snapshot another living transaction exported, or of the first statement.
        """
        first: list[sql.SQL | sql.Composed] = [ONE_MOMENT]
        if snapshot is not None:
            first.append(sql.SQL("set transaction snapshot {}").format(snapshot))
        with translated():
            stack, connection = await self._begun(tenant_id, *first)
            async with stack:
                yield connection

    @asynccontextmanager
    async def plain(self) -> AsyncIterator[Connection]:
        """Run one transaction without a tenant: global tables and look-up functions only."""
        with translated():
            stack, connection = await self._begun(None)
            async with stack:
                yield connection

    async def _begun(
        self, tenant_id: str | None, *first: sql.SQL | sql.Composed
    ) -> tuple[AsyncExitStack, Connection]:
        """Begin a transaction; where the connection turns out to be lost, on a new one."""
        try:
            return await self._begin(tenant_id, *first)
        except psycopg.Error as error:
            if not is_lost(error):
                raise
        await self._pool.check()
        return await self._begin(tenant_id, *first)

    async def _begin(
        self, tenant_id: str | None, *first: sql.SQL | sql.Composed
    ) -> tuple[AsyncExitStack, Connection]:
        async with AsyncExitStack() as stack:
            connection = await stack.enter_async_context(self._pool.connection())
            await stack.enter_async_context(connection.transaction())
            for statement in first:
                await connection.execute(statement)
            if tenant_id is not None:
                await connection.execute(SET_TENANT, (tenant_id,))
            return stack.pop_all(), connection


def _connect_options(session: Mapping[str, str]) -> dict[str, Any]:
    wanted = {"search_path": "quantlab", "application_name": "quantlab", **session}
    return {
        "autocommit": True,
        "prepare_threshold": 1,
        "row_factory": dict_row,
        "options": " ".join(f"-c {name}={value}" for name, value in wanted.items()),
    }


def is_lost(error: BaseException) -> bool:
    """Say whether an error means that the server went away, and a new connection may do."""
    if isinstance(error, PoolTimeout | PoolClosed | TooManyRequests):
        return False
    if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return False
    return error.sqlstate is None or error.sqlstate.startswith(("08", "57P"))


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
