"""The feed, its log, bars and archive on real stores."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import psycopg
import pytest
from tests.support.stack import FreshDatabase, Stack, fresh_database

from quantlab.market.bars import MINUTE_NS, Bar, bar_start
from quantlab.market.catalog import parse_catalog
from quantlab.market.quote import FeedClock, Quote
from quantlab_adapters.feeds.archive import FolderTickArchive
from quantlab_adapters.feeds.spec import build_source
from quantlab_adapters.postgres.database import Database
from quantlab_adapters.postgres.market import (
    DAY_NS,
    PostgresBars,
    PostgresTickLog,
    PostgresTickSegments,
)
from quantlab_adapters.redis.client import connect
from quantlab_adapters.redis.quotes import RedisQuotes, RedisQuoteSink
from quantlab_adapters.selfhost.clock import SystemClock
from quantlab_app.ports.errors import Conflict
from quantlab_app.ports.market import FeedBatch, QuoteRefusals
from quantlab_app.use_cases.market_feed import SEQ_GAP, FeedPorts, run_market_feed
from quantlab_app.use_cases.tick_segments import SealPorts, seal_symbol

pytestmark = pytest.mark.stack

CATALOG = parse_catalog(
    json.loads((Path(__file__).parents[2] / "agent/configs/instruments.json").read_text())
)
DAY0 = 20_000 * DAY_NS


@pytest.fixture
def own_database(stack: Stack) -> Iterator[FreshDatabase]:
    with fresh_database(stack) as database:
        yield database


@pytest.fixture
async def database(own_database: FreshDatabase) -> AsyncIterator[Database]:
    opened = Database(own_database.app_dsn)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def log(database: Database) -> AsyncIterator[PostgresTickLog]:
    opened = PostgresTickLog(database)
    await opened.open()
    yield opened
    await opened.close()


def tick(seq: int, ts_ns: int, bid: int = 100, symbol: str = "EURUSD") -> Quote:
    sizes = {"bid_size_steps": seq, "ask_size_steps": 2 * seq}
    return Quote(symbol, bid, bid + 10, ts_ns, seq, **sizes)


async def rows(database: Database, query: str) -> list[tuple[object, ...]]:
    async with database.plain() as connection:
        return [tuple(row.values()) for row in await (await connection.execute(query)).fetchall()]


class Running:
    """A feed of one line of text against the test's stores."""

    def __init__(self, database: Database, redis_url: str, line: str) -> None:
        self.client = connect(redis_url)
        self.quotes = RedisQuotes(self.client)
        self.noted: list[QuoteRefusals] = []
        self.stop = asyncio.Event()
        ticks = {symbol: item.tick for symbol, item in CATALOG.instruments.items()}
        self.ports = FeedPorts(
            source=build_source(line, CATALOG, SystemClock(), seed=5),
            log=PostgresTickLog(database),
            bars=PostgresBars(database),
            sink=RedisQuoteSink(self.client, ticks),
            clock=SystemClock(),
            note_refusals=self._note,
        )
        self.task: asyncio.Task[None] | None = None

    async def _note(self, sums: Sequence[QuoteRefusals]) -> None:
        self.noted += sums

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(run_market_feed(self.ports, CATALOG, self.stop))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop.set()
        assert self.task is not None
        await self.task
        await self.client.aclose()

    async def kill(self) -> None:
        """End it between two steps, as a crash would; asyncio may lose a cancellation."""
        assert self.task is not None
        while not self.task.done():
            self.task.cancel()
            await asyncio.wait([self.task], timeout=1)
        self.stop.set()

    async def until_logged(self, database: Database, count: int) -> None:
        async with asyncio.timeout(20):
            while (await rows(database, "select count(*) from tick"))[0][0] != count:
                assert self.task is not None
                if self.task.done():
                    self.task.result()
                await asyncio.sleep(0.05)


def eurusd_file(folder: Path, prices: Sequence[tuple[int, int, int]]) -> Path:
    path = folder / "eurusd.csv"
    lines = [f"{ms},{bid / 1e5:.5f},{ask / 1e5:.5f}" for ms, bid, ask in prices]
    path.write_text("\n".join(["ts_ms,bid,ask", *lines]) + "\n")
    return path


def calm(count: int, step_ms: int = 1000) -> list[tuple[int, int, int]]:
    return [(n * step_ms, 110_000 + n % 7, 110_010 + n % 7) for n in range(count)]


async def test_the_log_keeps_ticks_once_and_pages_through_them(log: PostgresTickLog) -> None:
    ticks = [tick(seq, DAY0 + seq * MINUTE_NS * 600) for seq in range(1, 8)]
    await log.append(ticks)
    await log.append(ticks[3:])
    assert await log.page("EURUSD", 0, 0, 100) == ticks
    assert await log.page("EURUSD", ticks[2].ts_ns, 3, 2) == ticks[3:5]
    assert await log.last_quotes(("EURUSD", "GBPUSD")) == {"EURUSD": ticks[-1]}
    assert await log.holds("EURUSD", 0, 0, 7)
    assert not await log.holds("EURUSD", 0, 0, 8)
    assert not await log.holds("EURUSD", ticks[0].ts_ns, 1, 7)


async def test_ticks_of_years_apart_find_their_days(log: PostgresTickLog) -> None:
    near, far = tick(1, DAY0), tick(2, DAY0 + 5000 * DAY_NS)
    await log.append([near])
    await log.append([far])
    assert await log.page("EURUSD", 0, 0, 10) == [near, far]


async def test_there_is_one_writer(log: PostgresTickLog, database: Database) -> None:
    second = PostgresTickLog(database)
    with pytest.raises(Conflict, match="another process is writing"):
        await second.open()
    await log.close()
    await second.open()
    await second.close()


async def test_the_application_role_can_neither_change_nor_delete(
    log: PostgresTickLog, database: Database
) -> None:
    await log.append([tick(1, DAY0)])
    partition = str((await rows(database, "select tableoid::regclass::text from tick"))[0][0])
    statements = [
        "update tick set bid_ticks = 1",
        "delete from tick",
        "truncate tick",
        "delete from tick_segment",
        "update tick_segment set rows = 1",
        "delete from bar_1m",
        f"select from {partition}",
        f"drop table {partition}",
        "create table quantlab.mine (n int)",
    ]
    for statement in statements:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            async with database.plain() as connection:
                await connection.execute(statement)


async def test_a_lost_connection_loses_no_tick(
    log: PostgresTickLog, own_database: FreshDatabase
) -> None:
    await log.append([tick(1, DAY0)])
    with psycopg.connect(own_database.superuser_dsn, autocommit=True) as connection:
        # As if the server had crashed before it flushed the commit.
        connection.execute("delete from quantlab.tick")
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where pid in"
            " (select pid from pg_locks where locktype = 'advisory')"
        )
    with pytest.raises(Exception, match="PostgreSQL"):
        await log.append([tick(2, DAY0)])
    await log.append([tick(2, DAY0)])
    assert [q.seq for q in await log.page("EURUSD", 0, 0, 10)] == [1, 2]


async def test_bars_replace_page_and_answer_for_the_past(
    log: PostgresTickLog, database: Database
) -> None:
    bars = PostgresBars(database)
    first = Bar("EURUSD", DAY0, 10, 14, 8, 9, 12, 4, DAY0 + 5, 4)
    later = [replace(first, start_ns=DAY0 + n * MINUTE_NS, last_seq=4 + n) for n in (1, 2)]
    await bars.upsert([first, *later])
    changed = replace(first, close_ticks=11, tick_count=5, last_ts_ns=DAY0 + 9, last_seq=5)
    await bars.upsert([changed])
    assert await bars.page("EURUSD", DAY0, DAY0 + 2 * MINUTE_NS, 10) == [changed, later[0]]
    assert await bars.page("EURUSD", 0, 1 << 62, 2) == [changed, later[0]]
    assert await bars.last_starts(("EURUSD", "ES")) == {"EURUSD": later[1].start_ns}
    assert await bars.last_quote_before("EURUSD", DAY0 + 10) == Quote("EURUSD", 11, 12, DAY0 + 9, 5)
    assert await bars.last_quote_before("EURUSD", DAY0 + 9) is None
    await log.append([tick(3, DAY0 + 8)])
    assert await bars.last_quote_before("EURUSD", DAY0 + 9) == tick(3, DAY0 + 8)


async def test_quotes_bars_clock_and_refusals_become_public(redis_url: str) -> None:
    client = connect(redis_url)
    quotes = RedisQuotes(client)
    sink = RedisQuoteSink(client, {"EURUSD": CATALOG.instruments["EURUSD"].tick})
    assert await quotes.latest_with_clock(("EURUSD",)) == ({}, None)
    heard = aiter(quotes.subscribe())
    waiting = asyncio.ensure_future(anext(heard))
    await asyncio.sleep(0.2)
    clock = FeedClock(7, 8, 1_000_000)
    batch = FeedBatch(
        clock=clock,
        accepted=[tick(1, 5), tick(2, 6)],
        refusals={("EURUSD", "crossed"): 2},
        closed_bars=[Bar("EURUSD", 0, 10, 14, 8, 9, 12, 4, 5, 4)],
    )
    await sink.publish(batch)
    assert await waiting == tick(1, 5)
    assert await anext(heard) == tick(2, 6)
    await heard.aclose()
    assert await quotes.latest_with_clock(("EURUSD", "ES")) == ({"EURUSD": tick(2, 6)}, clock)
    doubted = replace(tick(2, 6), suspended=True)
    await sink.publish(FeedBatch(clock, (), [doubted], {("EURUSD", "crossed"): 1}))
    assert await quotes.latest(("EURUSD",)) == {"EURUSD": doubted}
    assert await quotes.refusals() == {("EURUSD", "crossed"): 3}
    stored = json.loads(await client.hget("quotes", "EURUSD"))
    assert (stored["bid"], stored["ask"]) == ("0.00100", "0.00110")
    await client.aclose()


async def test_a_replay_ends_in_the_log_the_bars_and_redis(
    database: Database, redis_url: str, tmp_path: Path
) -> None:
    prices = calm(400)
    prices[100] = (100_000, 110_010, 110_000)
    prices[200] = (200_000, 150_000, 150_010)
    path = eurusd_file(tmp_path, prices)
    async with Running(database, redis_url, f"replay:{path}:speed=0") as feed:
        await feed.until_logged(database, 400 - 2 - 2)
        await asyncio.sleep(1.2)
        latest, clock = await feed.quotes.latest_with_clock(("EURUSD",))
        assert (latest["EURUSD"].bid_ticks, latest["EURUSD"].seq) == (110_000, 396)
        assert not latest["EURUSD"].suspended
        assert clock is not None
        assert clock.feed_ts_ns >= latest["EURUSD"].ts_ns
    assert {(n.reason, n.count) for n in feed.noted} == {
        ("crossed", 1),
        ("off_market", 1),
        ("unconfirmed", 2),
    }
    aggregate = """select symbol, ts_ns - ts_ns % 60000000000 as start,
        (array_agg(bid_ticks order by seq))[1] as o, max(bid_ticks) as h, min(bid_ticks) as l,
        (array_agg(bid_ticks order by seq desc))[1] as c,
        (array_agg(ask_ticks order by seq desc))[1] as a,
        count(*) as n, max(ts_ns) as t, max(seq) as s from tick group by 1, 2 order by 2"""
    expected = await rows(database, aggregate)
    written = await rows(database, "select * from bar_1m order by start_ns")
    assert written == expected[: len(written)]
    assert len(written) >= len(expected) - 1 >= 6


async def test_a_restart_goes_on_and_rebuilds_the_bars_it_missed(
    database: Database, redis_url: str, tmp_path: Path
) -> None:
    path = eurusd_file(tmp_path, calm(130))
    first = Running(database, redis_url, f"replay:{path}:speed=0")
    await first.__aenter__()
    await first.until_logged(database, 128)
    await first.kill()
    await first.client.aclose()
    before = (await PostgresTickLog(database).last_quotes(("EURUSD",)))["EURUSD"]
    async with database.plain() as connection:
        await connection.execute("update bar_1m set close_ticks = low_ticks")
    async with Running(database, redis_url, f"replay:{path}:speed=0") as second:
        await second.until_logged(database, 128 + 130)
    ticks = await PostgresTickLog(database).page("EURUSD", 0, 0, 1000)
    assert [q.seq for q in ticks] == sorted({q.seq for q in ticks})
    assert [q.ts_ns for q in ticks] == sorted(q.ts_ns for q in ticks)
    assert ticks[128].seq == before.seq + SEQ_GAP
    bars = await PostgresBars(database).page("EURUSD", 0, 1 << 62, 100)
    counted = {bar.start_ns: bar.tick_count for bar in bars}
    closed = [q for q in ticks if bar_start(q.ts_ns) in counted]
    assert sum(counted.values()) == len(closed)
    assert max(counted) >= bar_start(ticks[-1].ts_ns) - MINUTE_NS


async def test_a_feed_outlives_its_connections(
    database: Database, own_database: FreshDatabase, redis_url: str
) -> None:
    async with Running(database, redis_url, "synthetic") as feed:
        for _ in range(3):
            await asyncio.sleep(0.4)
            with psycopg.connect(own_database.superuser_dsn, autocommit=True) as connection:
                connection.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where datname = current_database() and pid <> pg_backend_pid()"
                )
        await asyncio.sleep(1.5)
    logged = await rows(database, "select seq from tick order by seq")
    assert [row[0] for row in logged] == list(range(1, len(logged) + 1))
    client = connect(redis_url)
    latest = await RedisQuotes(client).latest(tuple(CATALOG.instruments))
    await client.aclose()
    assert max(q.seq for q in latest.values()) == len(logged) > 50
    assert feed.task is not None


class FailingSegments:
    """The register, failing once before it writes."""

    def __init__(self, inner: PostgresTickSegments) -> None:
        self.inner = inner
        self.last = inner.last
        self.failures = 1

    async def add(self, segment: object) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("crash")
        await self.inner.add(segment)  # type: ignore[arg-type]


async def test_segments_hold_every_tick_once_even_across_a_crash(
    log: PostgresTickLog, database: Database, tmp_path: Path
) -> None:
    ticks = [tick(seq * 3, DAY0 + seq // 4, 100 + seq) for seq in range(1, 26)]
    await log.append(ticks[:12])
    archive = FolderTickArchive(tmp_path)
    segments = PostgresTickSegments(database)
    ports = SealPorts(log=log, segments=FailingSegments(segments), archive=archive)
    young = {"segment_ticks": 10, "segment_age_ns": DAY_NS}
    with pytest.raises(ConnectionError):
        await seal_symbol(ports, "EURUSD", DAY0, **young)
    await log.append(ticks[12:])
    sealed = []
    while segment := await seal_symbol(ports, "EURUSD", DAY0, **young):
        sealed.append(segment)
    assert [segment.rows for segment in sealed] == [10, 10]
    tail = await seal_symbol(ports, "EURUSD", DAY0 + 2 * DAY_NS, **young)
    assert tail is not None
    assert await seal_symbol(ports, "EURUSD", DAY0 + 2 * DAY_NS, **young) is None
    sealed.append(tail)
    held = [quote for segment in sealed for quote in await archive.load(segment.object_key)]
    assert held == ticks
    for segment in sealed:
        content = (tmp_path / segment.object_key).read_bytes()
        assert hashlib.sha256(content).hexdigest() == segment.digest
    assert await segments.last("EURUSD") == tail
    with pytest.raises(Conflict):
        await segments.add(tail)


async def test_only_archived_days_are_dropped(
    log: PostgresTickLog, database: Database, tmp_path: Path
) -> None:
    ticks = [tick(n, DAY0 + n * DAY_NS // 2) for n in range(1, 7)]
    await log.append(ticks)
    segments = PostgresTickSegments(database)
    ports = SealPorts(log=log, segments=segments, archive=FolderTickArchive(tmp_path))
    assert await log.drop_ticks_before(DAY0 + 2 * DAY_NS) == 0
    await seal_symbol(ports, "EURUSD", DAY0 + 9 * DAY_NS, segment_ticks=2)
    assert await log.drop_ticks_before(DAY0 + 2 * DAY_NS) == 1
    await seal_symbol(ports, "EURUSD", DAY0 + 9 * DAY_NS)
    assert await log.drop_ticks_before(DAY0 + 2 * DAY_NS) == 1
    assert [q.seq for q in await log.page("EURUSD", 0, 0, 10)] == [4, 5, 6]
