"""The feed on stores in memory: what is logged, what is public, and in which order."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest

from quantlab.market.bars import MINUTE_NS, Bar
from quantlab.market.catalog import parse_catalog
from quantlab.market.quote import FeedClock, Quote
from quantlab_app.ports.errors import StoreUnavailable
from quantlab_app.ports.market import FeedBatch, QuoteRefusals, TickSegment
from quantlab_app.use_cases.market_feed import SEQ_GAP, FeedPorts, feed_batch, start_feed
from quantlab_app.use_cases.tick_segments import SealPorts, run_sealer

CATALOG = parse_catalog(
    json.loads((Path(__file__).parents[3] / "agent/configs/instruments.json").read_text())
)
START = 1_700_000_040_000_000_000 - 1_700_000_040_000_000_000 % MINUTE_NS


class World:
    """Every port of the feed, with a journal of what was written where, in order."""

    speed_ppm = 1_000_000
    keeps_hours = False

    def __init__(self) -> None:
        self.now = START
        self.journal: list[str] = []
        self.ticks: list[Quote] = []
        self.bars: dict[tuple[str, int], Bar] = {}
        self.batches: list[FeedBatch] = []
        self.noted: list[QuoteRefusals] = []
        self.opened_at: int | None = None
        self.faults: dict[str, int] = {}
        self.segments: list[TickSegment] = []

    def step(self, name: str) -> None:
        if self.faults.get(name):
            self.faults[name] -= 1
            raise StoreUnavailable(name)
        self.journal.append(name)

    def now_ns(self) -> int:
        return self.now

    async def open(self, start_ns: int, last: Mapping[str, Quote]) -> None:
        self.opened_at = start_ns

    async def append(self, quotes: Sequence[Quote]) -> None:
        self.step("log")
        self.ticks += quotes

    async def last_quotes(self, symbols: Sequence[str]) -> dict[str, Quote]:
        return {quote.symbol: quote for quote in self.ticks}

    async def page(self, symbol: str, from_ts: int, after: int, limit: int) -> Sequence[Quote]:
        found = [q for q in self.ticks if q.symbol == symbol and q.ts_ns >= from_ts]
        return [q for q in found if q.seq > after][:limit]

    async def holds(self, symbol: str, from_ts: int, after: int, rows: int) -> bool:
        return len(await self.page(symbol, from_ts, after, rows)) >= rows

    async def upsert(self, bars: Sequence[Bar]) -> None:
        if bars:
            self.step("bars")
        self.bars.update({(bar.symbol, bar.start_ns): bar for bar in bars})

    async def last_starts(self, symbols: Sequence[str]) -> dict[str, int]:
        return dict(sorted(self.bars))

    async def publish(self, batch: FeedBatch) -> None:
        self.step("publish")
        self.batches.append(batch)

    async def note(self, sums: Sequence[QuoteRefusals]) -> None:
        self.step("note")
        self.noted += sums

    async def feed_clock(self) -> FeedClock | None:
        return FeedClock(self.now, self.now, 1_000_000)

    async def last(self, symbol: str) -> TickSegment | None:
        return next((s for s in reversed(self.segments) if s.symbol == symbol), None)

    async def add(self, segment: TickSegment) -> None:
        self.segments.append(segment)

    async def store(self, object_key: str, quotes: Sequence[Quote]) -> str:
        self.step("store")
        return f"{len(quotes):064x}"


class Feed:
    """A started feed that is given one batch at a time."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.counted: list[tuple[str, str, int]] = []
        self.ports = FeedPorts(
            source=world,  # type: ignore[arg-type]
            log=world,  # type: ignore[arg-type]
            bars=world,  # type: ignore[arg-type]
            sink=world,
            clock=world,
            count_quotes=lambda *counted: self.counted.append(counted),
            note_refusals=world.note,
        )

    async def start(self) -> Self:
        self.state = await start_feed(self.ports, CATALOG)
        return self

    async def give(self, *quotes: Quote, after_ns: int = 0) -> FeedBatch | None:
        self.world.now += after_ns
        before = len(self.world.batches)
        await feed_batch(self.ports, CATALOG, self.state, quotes, asyncio.Event())
        return self.world.batches[-1] if len(self.world.batches) > before else None


def quote(bid: int = 110_000, ask: int | None = None, after_ns: int = 0) -> Quote:
    return Quote("EURUSD", bid, bid + 10 if ask is None else ask, START + after_ns, 0)


async def warm(world: World | None = None) -> Feed:
    """Return a feed whose first quote has been accepted as number 1."""
    feed = await Feed(world or World()).start()
    await feed.give(quote(after_ns=-2), quote(after_ns=-1), quote())
    return feed


async def test_a_tick_is_logged_before_it_is_public() -> None:
    feed = await warm()
    assert feed.world.journal[:2] == ["log", "publish"]
    assert [q.seq for q in feed.world.ticks] == [1]
    assert feed.world.batches[0].accepted == feed.world.ticks
    assert feed.counted == [("EURUSD", "accepted", 1), ("EURUSD", "unconfirmed", 2)]


@pytest.mark.parametrize("store", ["log", "publish", "bars"])
async def test_a_store_that_is_away_is_waited_for(store: str) -> None:
    world = World()
    world.faults = {store: 2}
    feed = await warm(world)
    await feed.give(quote(after_ns=MINUTE_NS), after_ns=MINUTE_NS)
    assert [q.seq for q in world.ticks] == [1, 2]
    assert [q.seq for batch in world.batches for q in batch.accepted] == [1, 2]
    assert list(world.bars) == [("EURUSD", START)]


async def test_a_refused_quote_suspends_the_last_one_until_the_next() -> None:
    feed = await warm()
    refused = await feed.give(quote(110_000, 109_000))
    assert refused is not None
    assert refused.accepted == []
    assert [(q.seq, q.suspended) for q in refused.latest] == [(1, True)]
    assert refused.refusals == {("EURUSD", "crossed"): 1}
    accepted = await feed.give(quote(110_001))
    assert accepted is not None
    assert [(q.seq, q.suspended) for q in accepted.accepted] == [(2, False)]
    assert list(accepted.latest) == []
    assert [q.bid_ticks for q in feed.world.ticks] == [110_000, 110_001]


async def test_a_refusal_and_a_good_quote_in_one_batch_leave_the_good_one() -> None:
    feed = await warm()
    batch = await feed.give(quote(110_000, 109_000), quote(110_002))
    assert batch is not None
    assert [(q.seq, q.suspended) for q in batch.latest] == [(2, False)]


async def test_every_second_the_clock_and_all_latest_quotes_are_stored_again() -> None:
    feed = await warm()
    assert await feed.give(after_ns=500_000_000) is None
    beat = await feed.give(after_ns=500_000_000)
    assert beat is not None
    assert beat.clock == FeedClock(START + 1_000_000_000, START + 1_000_000_000, 1_000_000)
    assert [(q.seq, q.suspended) for q in beat.latest] == [(1, False)]
    assert [bar.tick_count for bar in beat.open_bars] == [1]


async def test_a_bar_closes_by_the_next_quote_or_by_time() -> None:
    feed = await warm()
    batch = await feed.give(quote(110_005, after_ns=MINUTE_NS), after_ns=MINUTE_NS)
    assert batch is not None
    assert [(b.start_ns, b.close_ticks) for b in batch.closed_bars] == [(START, 110_000)]
    silent = await feed.give(after_ns=MINUTE_NS + 1_000_000_000)
    assert silent is not None
    assert [b.start_ns for b in silent.closed_bars] == [START + MINUTE_NS]
    assert list(silent.open_bars) == []
    again = await feed.give(quote(110_009, after_ns=2 * MINUTE_NS + 5), after_ns=1)
    assert again is not None
    assert list(again.closed_bars) == []
    assert sorted(start for _, start in feed.world.bars) == [START, START + MINUTE_NS]


async def test_a_late_quote_of_a_bar_closed_by_time_is_added_to_it() -> None:
    feed = await warm()
    await feed.give(after_ns=MINUTE_NS + 1_000_000_000)
    await feed.give(quote(110_003, after_ns=MINUTE_NS - 1))
    await feed.give(after_ns=1_000_000_000)
    assert feed.world.bars["EURUSD", START].tick_count == 2
    assert feed.world.bars["EURUSD", START].close_ticks == 110_003


async def test_a_restart_draws_new_numbers_and_trusts_no_old_quote() -> None:
    feed = await warm()
    feed.world.now += 3_000_000_000
    again = await Feed(feed.world).start()
    assert feed.world.opened_at == feed.world.now
    first = await again.give()
    assert first is not None
    assert [(q.seq, q.suspended) for q in first.latest] == [(1, True)]
    batch = await again.give(quote(110_001, after_ns=4_000_000_000))
    assert batch is not None
    assert [(q.seq, q.suspended) for q in batch.accepted] == [(1 + SEQ_GAP, False)]


async def test_a_restart_behind_the_log_begins_after_its_last_tick() -> None:
    world = World()
    world.ticks = [replace(quote(after_ns=MINUTE_NS), seq=9)]
    await Feed(world).start()
    assert world.opened_at == START + MINUTE_NS + 1


async def test_a_restart_redoes_the_bars_that_were_not_written() -> None:
    world = World()
    steps = [n * MINUTE_NS // 4 for n in range(10)]
    world.ticks = [replace(quote(110_000 + n, after_ns=t), seq=n + 1) for n, t in enumerate(steps)]
    feed = await Feed(world).start()
    assert {start: bar.tick_count for (_, start), bar in world.bars.items()} == {
        START: 4,
        START + MINUTE_NS: 4,
    }
    assert feed.state.bars["EURUSD"].tick_count == 2
    world.bars[("EURUSD", START + MINUTE_NS)] = world.bars.pop(("EURUSD", START))
    again = await Feed(world).start()
    assert again.state.bars["EURUSD"].tick_count == 2


async def test_refusals_are_noted_once_a_minute_and_kept_when_nobody_takes_them() -> None:
    feed = await warm()
    world = feed.world
    assert [(n.reason, n.count) for n in world.noted] == [("unconfirmed", 2)]
    for _ in range(5):
        await feed.give(quote(110_000, 109_000), after_ns=1_000_000_000)
    assert len(world.noted) == 1
    world.faults = {"note": 1}
    await feed.give(after_ns=MINUTE_NS)
    assert len(world.noted) == 1
    await feed.give(quote(110_000, 109_000), after_ns=MINUTE_NS)
    assert [(n.symbol, n.reason, n.count) for n in world.noted[1:]] == [("EURUSD", "crossed", 6)]


async def test_the_sealer_seals_what_is_due_and_outlives_a_store_that_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("quantlab_app.use_cases.tick_segments.LOOK_EVERY_S", 0.01)
    world = World()
    world.ticks = [replace(quote(after_ns=n), seq=n + 1) for n in range(5)]
    world.now += 601_000_000_000
    world.faults = {"store": 2}
    stop = asyncio.Event()
    ports = SealPorts(log=world, segments=world, archive=world)  # type: ignore[arg-type]
    task = asyncio.create_task(run_sealer(ports, world, ("EURUSD", "ES"), stop))  # type: ignore[arg-type]
    await until(lambda: bool(world.segments))
    stop.set()
    await task
    sealed = world.segments[0]
    assert (sealed.from_seq, sealed.to_seq, sealed.rows) == (1, 5, 5)
    assert len(world.segments) == 1


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)
