"""The tick log, the register of sealed segments and the bars in PostgreSQL."""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg

from quantlab.market.bars import Bar
from quantlab.market.quote import Quote
from quantlab_adapters.postgres.database import Connection, Database, translated
from quantlab_app.ports.errors import Conflict
from quantlab_app.ports.market import TickSegment

DAY_NS = 86_400 * 1_000_000_000
PARTITION_DAYS_AHEAD = 2
WRITER_LOCK = 0x51_4C_54_4B
REPEAT_WINDOW_S = 3.0

TICK_COLUMNS = "symbol, ts_ns, seq, bid_ticks, ask_ticks, bid_size_steps, ask_size_steps"
APPEND = f"""insert into tick ({TICK_COLUMNS})
  select * from unnest(%s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[],
    %s::bigint[], %s::bigint[])
  on conflict do nothing"""  # noqa: S608 - the columns are a constant
LAST_QUOTES = f"""select t.* from unnest(%s::text[]) wanted (symbol), lateral (
    select {TICK_COLUMNS} from tick
    where tick.symbol = wanted.symbol order by ts_ns desc, seq desc limit 1) t"""  # noqa: S608 - the columns are a constant
TICK_PAGE = f"""select {TICK_COLUMNS} from tick
  where symbol = %s and ts_ns >= %s and seq > %s
  order by ts_ns, seq limit %s"""  # noqa: S608 - the columns are a constant
HAS_ROWS = """select exists (select from tick
  where symbol = %s and ts_ns >= %s and seq > %s order by ts_ns, seq offset %s limit 1) as found"""
TICK_COUNT = """select count(*) as ticks from (select from tick
  where symbol = %s and ts_ns >= %s and ts_ns < %s and seq > %s limit %s) counted"""
TICK_BEFORE = f"""select {TICK_COLUMNS} from tick
  where symbol = %s and ts_ns < %s
  order by ts_ns desc, seq desc limit 1"""  # noqa: S608 - the columns are a constant

BAR_COLUMNS = (
    "symbol, start_ns, open_ticks, high_ticks, low_ticks, close_ticks, close_ask_ticks,"
    " tick_count, last_ts_ns, last_seq"
)
UPSERT_BARS = f"""insert into bar_1m ({BAR_COLUMNS})
  select * from unnest(%s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[],
    %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])
  on conflict (symbol, start_ns) do update set open_ticks = excluded.open_ticks,
    high_ticks = excluded.high_ticks, low_ticks = excluded.low_ticks,
    close_ticks = excluded.close_ticks, close_ask_ticks = excluded.close_ask_ticks,
    tick_count = excluded.tick_count, last_ts_ns = excluded.last_ts_ns,
    last_seq = excluded.last_seq"""  # noqa: S608 - the columns are a constant
LAST_STARTS = """select wanted.symbol, b.start_ns from unnest(%s::text[]) wanted (symbol), lateral (
    select start_ns from bar_1m where bar_1m.symbol = wanted.symbol
    order by start_ns desc limit 1) b"""
BAR_PAGE = f"""select {BAR_COLUMNS} from bar_1m
  where symbol = %s and start_ns >= %s and start_ns < %s
  order by start_ns limit %s"""  # noqa: S608 - the columns are a constant
BAR_BEFORE = f"""select {BAR_COLUMNS} from bar_1m
  where symbol = %s and last_ts_ns < %s and start_ns < %s
  order by start_ns desc limit 1"""  # noqa: S608 - the columns are a constant

SEGMENTS = """select symbol, from_seq, to_seq, from_ts_ns, to_ts_ns, rows,
  encode(digest, 'hex') as digest, object_key from tick_segment"""
ENSURE_PARTITIONS = "select ensure_market_partitions(%s, %s)"


class PostgresTickLog:
    """TickLog port: one connection of its own, each append one statement and one commit.

    Its commits do not wait for the disk. What a crash of the server may have taken is written
    again, from memory, as soon as there is a connection.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Connection | None = None
        self._partitions = range(0)
        self._recent: deque[tuple[float, Sequence[Quote]]] = deque()

    async def open(self) -> None:
        with translated():
            await self._writer()

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def append(self, quotes: Sequence[Quote]) -> None:
        if not quotes:
            return
        with translated():
            connection = await self._writer()
            try:
                await self._ensure_partitions(connection, quotes)
                await _append(connection, quotes)
            except psycopg.OperationalError:
                await self.close()
                raise
        self._remember(quotes)

    async def last_quotes(self, symbols: Sequence[str]) -> dict[str, Quote]:
        async with self._database.plain() as connection:
            rows = await (await connection.execute(LAST_QUOTES, (list(symbols),))).fetchall()
        return {row["symbol"]: _quote(row) for row in rows}

    async def page(
        self, symbol: str, from_ts_ns: int, after_seq: int, limit: int
    ) -> Sequence[Quote]:
        async with self._database.plain() as connection:
            cursor = await connection.execute(TICK_PAGE, (symbol, from_ts_ns, after_seq, limit))
            return [_quote(row) for row in await cursor.fetchall()]

    async def holds(self, symbol: str, from_ts_ns: int, after_seq: int, rows: int) -> bool:
        async with self._database.plain() as connection:
            values = (symbol, from_ts_ns, after_seq, rows - 1)
            row = await (await connection.execute(HAS_ROWS, values)).fetchone()
        return row is not None and bool(row["found"])

    async def count(
        self, symbol: str, from_ts_ns: int, to_ts_ns: int, after_seq: int, limit: int
    ) -> int:
        async with self._database.plain() as connection:
            values = (symbol, from_ts_ns, to_ts_ns, after_seq, limit)
            row = await (await connection.execute(TICK_COUNT, values)).fetchone()
        return 0 if row is None else int(row["ticks"])

    async def drop_ticks_before(self, ts_ns: int) -> int:
        async with self._database.plain() as connection:
            row = await (
                await connection.execute("select drop_ticks_before(%s) as days", (ts_ns,))
            ).fetchone()
        return 0 if row is None else int(row["days"])

    async def _writer(self) -> Connection:
        if self._connection is not None and not self._connection.closed:
            return self._connection
        connection = await self._database.connect()
        try:
            await connection.execute("set synchronous_commit = off")
            await _take_writer_lock(connection)
            for _, quotes in self._recent:
                await _append(connection, quotes)
        except BaseException:
            await connection.close()
            raise
        self._connection = connection
        return connection

    async def _ensure_partitions(self, connection: Connection, quotes: Sequence[Quote]) -> None:
        times = [quote.ts_ns for quote in quotes]
        oldest, newest = min(times), max(times)
        if oldest in self._partitions and newest + DAY_NS in self._partitions:
            return
        until = newest + PARTITION_DAYS_AHEAD * DAY_NS
        await connection.execute(ENSURE_PARTITIONS, (oldest, until))
        self._partitions = range(oldest - oldest % DAY_NS, until)

    def _remember(self, quotes: Sequence[Quote]) -> None:
        """Keep what the server may not have flushed yet (its WAL writer runs every 0.2 s)."""
        now_s = time.monotonic()
        self._recent.append((now_s, quotes))
        while now_s - self._recent[0][0] > REPEAT_WINDOW_S:
            self._recent.popleft()


class PostgresTickSegments:
    """TickSegments port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def last(self, symbol: str) -> TickSegment | None:
        found = await self._found("where symbol = %s order by to_seq desc limit 1", symbol)
        return found[0] if found else None

    async def between(self, symbol: str, from_ts_ns: int, to_ts_ns: int) -> Sequence[TickSegment]:
        return await self._found(
            "where symbol = %s and to_ts_ns >= %s and from_ts_ns < %s order by from_seq",
            symbol, from_ts_ns, to_ts_ns,
        )  # fmt: skip

    async def _found(self, condition: str, *values: Any) -> list[TickSegment]:
        query = f"{SEGMENTS} {condition}"
        async with self._database.plain() as connection:
            cursor = await connection.execute(query.encode(), values)
            return [TickSegment(**row) for row in await cursor.fetchall()]

    async def add(self, segment: TickSegment) -> None:
        async with self._database.plain() as connection:
            await connection.execute(
                "insert into tick_segment (symbol, from_seq, to_seq, from_ts_ns, to_ts_ns, rows,"
                " digest, object_key) values (%s, %s, %s, %s, %s, %s, %s, %s)",
                (
                    *(segment.symbol, segment.from_seq, segment.to_seq, segment.from_ts_ns),
                    *(segment.to_ts_ns, segment.rows, bytes.fromhex(segment.digest)),
                    segment.object_key,
                ),
            )


class PostgresBars:
    """Bars port."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._partitions = range(0)

    async def upsert(self, bars: Sequence[Bar]) -> None:
        if not bars:
            return
        newest = {(bar.symbol, bar.start_ns): bar for bar in bars}
        starts = [bar.start_ns for bar in bars]
        span = min(starts), max(starts)
        columns = [list(column) for column in zip(*map(_bar_row, newest.values()), strict=True)]
        async with self._database.plain() as connection:
            if span[0] not in self._partitions or span[1] not in self._partitions:
                await connection.execute(ENSURE_PARTITIONS, span)
            await connection.execute(UPSERT_BARS, columns)
        self._partitions = range(span[0], span[1] + DAY_NS)

    async def last_starts(self, symbols: Sequence[str]) -> dict[str, int]:
        async with self._database.plain() as connection:
            rows = await (await connection.execute(LAST_STARTS, (list(symbols),))).fetchall()
        return {row["symbol"]: row["start_ns"] for row in rows}

    async def page(self, symbol: str, from_ns: int, to_ns: int, limit: int) -> Sequence[Bar]:
        async with self._database.plain() as connection:
            values = (symbol, from_ns, to_ns, limit)
            rows = await (await connection.execute(BAR_PAGE, values)).fetchall()
        return [Bar(**row) for row in rows]

    async def last_quote_before(self, symbol: str, ts_ns: int) -> Quote | None:
        async with self._database.plain() as connection:
            row = await (await connection.execute(TICK_BEFORE, (symbol, ts_ns))).fetchone()
            if row is not None:
                return _quote(row)
            values = (symbol, ts_ns, ts_ns)
            row = await (await connection.execute(BAR_BEFORE, values)).fetchone()
        if row is None:
            return None
        bar = Bar(**row)
        return Quote(symbol, bar.close_ticks, bar.close_ask_ticks, bar.last_ts_ns, bar.last_seq)


async def _take_writer_lock(connection: Connection) -> None:
    cursor = await connection.execute("select pg_try_advisory_lock(%s) as mine", (WRITER_LOCK,))
    row = await cursor.fetchone()
    if row is None or not row["mine"]:
        raise Conflict("market feed: another process is writing the tick log")


async def _append(connection: Connection, quotes: Sequence[Quote]) -> None:
    await connection.execute(
        APPEND,
        (
            [quote.symbol for quote in quotes],
            [quote.ts_ns for quote in quotes],
            [quote.seq for quote in quotes],
            [quote.bid_ticks for quote in quotes],
            [quote.ask_ticks for quote in quotes],
            [quote.bid_size_steps for quote in quotes],
            [quote.ask_size_steps for quote in quotes],
        ),
    )


def _quote(row: Mapping[str, Any]) -> Quote:
    return Quote(**row)


def _bar_row(bar: Bar) -> tuple[Any, ...]:
    return (
        *(bar.symbol, bar.start_ns, bar.open_ticks, bar.high_ticks, bar.low_ticks),
        *(bar.close_ticks, bar.close_ask_ticks, bar.tick_count, bar.last_ts_ns, bar.last_seq),
    )
