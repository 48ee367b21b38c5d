"""Connections, transactions and the tenant of a transaction."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, TypeVar

import orjson
import psycopg
from psycopg import AsyncConnection, sql
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from quantlab_app.ports.errors import Conflict, StoreUnavailable

Connection = AsyncConnection[dict[str, Any]]
Answer = TypeVar("Answer")

set_json_loads(orjson.loads)

CONNECT_S: Final = 5

ONE_MOMENT: Final = sql.SQL("set transaction isolation level repeatable read")
SET_TENANT = "select set_config('app.tenant', %s, true)"


class Unanswered(psycopg.OperationalError):
    """The server took too long over an answer: whether it did what was asked is not known."""


class PatientConnection(AsyncConnection[dict[str, Any]]):
    """A connection that is given up when one answer takes longer than patience_s."""

    patience_s: float | None = None

    async def wait(
        self,
        gen: PQGen[Answer],
        interval: float = 0.1,
        timeout: float | None = None,  # noqa: ASYNC109 - the driver asks so
    ) -> Answer:
        try:
            return await super().wait(
                gen, interval, self.patience_s if timeout is None else timeout
            )
        except psycopg.OperationalError as error:
            if timeout is not None or self.pgconn.transaction_status != TransactionStatus.ACTIVE:
                raise
            self.pgconn.finish()
            raise Unanswered(f"no answer within {self.patience_s} s") from error


class Database:
    """A pool of connections of the application role, which owns nothing and bypasses nothing.

    With patience_s one answer of the server takes at most that long, or the connection is lost.
    """

    def __init__(
        self,
        dsn: str,
        *,
        min_size: int = 1,
        max_size: int = 8,
        session: Mapping[str, str] | None = None,
        patience_s: float | None = None,
    ) -> None:
        self._dsn = dsn
        self._patience_s = patience_s
        self._options = _connect_options(session or {})
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            dsn,
            connection_class=PatientConnection,
            configure=self._make_patient,
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

    async def connect(self, *, patience_s: float | None = None, **options: Any) -> Connection:
        """Open a connection outside the pool, for a listener or a long-lived lane."""
        with translated():
            made = await PatientConnection.connect(self._dsn, **{**self._options, **options})
            made.patience_s = patience_s
            return made

    async def _make_patient(self, connection: Connection) -> None:
        if isinstance(connection, PatientConnection):
            connection.patience_s = self._patience_s

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
        "connect_timeout": CONNECT_S,
        "row_factory": dict_row,
        "options": " ".join(f"-c {name}={value}" for name, value in wanted.items()),
    }


def is_lost(error: BaseException) -> bool:
    """Say whether an error means that the server went away, and a new connection may do."""
    if isinstance(error, PoolTimeout | PoolClosed | TooManyRequests | Unanswered):
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
