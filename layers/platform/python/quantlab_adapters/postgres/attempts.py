"""Unauthenticated attempts in PostgreSQL: one upsert for all that waited, never a row each."""

import asyncio
from collections import Counter
from collections.abc import Sequence

from quantlab_adapters.postgres.database import Database
from quantlab_app.ports.errors import StoreUnavailable
from quantlab_app.ports.signals import AttemptCount

MINUTE_NS = 60_000_000_000
SOURCES_PER_MINUTE_MAX = 1000
OTHER_SOURCES = "other"

_Key = tuple[int, str, str]


class PostgresUnauthenticatedAttempts:
    """UnauthenticatedAttempts port. Beyond a number of sources a minute they share one row."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: Counter[_Key] = Counter()
        self._done: asyncio.Future[None] | None = None
        self._flusher: asyncio.Task[None] | None = None
        self._minute = 0
        self._sources: set[str] = set()

    async def count(self, now_ns: int, source: str, reason: str) -> None:
        minute_ns = now_ns // MINUTE_NS * MINUTE_NS
        self._waiting[minute_ns, self._named(minute_ns, source), reason] += 1
        if self._done is None:
            self._done = asyncio.get_running_loop().create_future()
        done = self._done
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush())
        await asyncio.shield(done)

    def _named(self, minute_ns: int, source: str) -> str:
        if minute_ns != self._minute:
            self._minute, self._sources = minute_ns, set()
        if source not in self._sources and len(self._sources) >= SOURCES_PER_MINUTE_MAX:
            return OTHER_SOURCES
        self._sources.add(source)
        return source

    async def _flush(self) -> None:
        while self._done is not None:
            counts, self._waiting = self._waiting, Counter()
            done, self._done = self._done, None
            try:
                async with self._database.plain() as connection, connection.pipeline():
                    for (minute_ns, source, reason), attempts in sorted(counts.items()):
                        await connection.execute(
                            "select count_unauthenticated(to_timestamp(%s), %s, %s, %s)",
                            (minute_ns // 1_000_000_000, source, reason, attempts),
                        )
            except StoreUnavailable as fault:
                done.set_exception(fault)
            except BaseException as bug:
                # Nobody may wait for an answer that will never come.
                done.set_exception(bug)
                raise
            else:
                done.set_result(None)

    async def since(self, since_ns: int) -> Sequence[AttemptCount]:
        async with self._database.plain() as connection:
            cursor = await connection.execute(
                "select extract(epoch from minute)::bigint as minute_s, source, reason, attempts"
                " from unauthenticated_attempts(to_timestamp(%s))",
                (since_ns // 1_000_000_000,),
            )
            return [
                AttemptCount(
                    row["minute_s"] * 1_000_000_000, row["source"], row["reason"], row["attempts"]
                )
                for row in await cursor.fetchall()
            ]

    async def forget_before(self, before_ns: int) -> int:
        async with self._database.plain() as connection:
            cursor = await connection.execute(
                "select drop_unauthenticated_before(to_timestamp(%s)) as gone",
                (before_ns // 1_000_000_000,),
            )
            row = await cursor.fetchone()
            return 0 if row is None else int(row["gone"])
