"""Sealing the tick log: finished pieces become write-once files with a registered digest.

The register is the truth. A piece begins after the last registered tick, so a crash at any step
neither loses nor doubles one; a file that was never registered is written again.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from quantlab.kernel.check import check
from quantlab.kernel.instants import SECOND_NS
from quantlab.market.quote import FeedClock, Quote
from quantlab_app.ports.errors import StoreUnavailable
from quantlab_app.ports.market import Quotes, TickArchive, TickLog, TickSegment, TickSegments
from quantlab_app.use_cases.waiting import wait_at_most

SEGMENT_TICKS = 50_000
SEGMENT_AGE_NS = 600 * SECOND_NS
LOOK_EVERY_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SealPorts:
    """What sealing reaches; the log is only read."""

    log: TickLog
    segments: TickSegments
    archive: TickArchive


async def seal_symbol(
    ports: SealPorts,
    symbol: str,
    feed_now_ns: int,
    *,
    segment_ticks: int = SEGMENT_TICKS,
    segment_age_ns: int = SEGMENT_AGE_NS,
) -> TickSegment | None:
    """Seal the symbol's next segment when it is full or old enough; None when it is neither."""
    last = await ports.segments.last(symbol)
    from_ts_ns, after_seq = (0, 0) if last is None else (last.to_ts_ns, last.to_seq)
    head = await ports.log.page(symbol, from_ts_ns, after_seq, 1)
    if not head:
        return None
    young = feed_now_ns - head[0].ts_ns < segment_age_ns
    if young and not await ports.log.holds(symbol, from_ts_ns, after_seq, segment_ticks):
        return None
    return await _seal(ports, await ports.log.page(symbol, from_ts_ns, after_seq, segment_ticks))


async def _seal(ports: SealPorts, quotes: Sequence[Quote]) -> TickSegment:
    first, final = quotes[0], quotes[-1]
    check(len({quote.symbol for quote in quotes}) == 1, "a segment holds one symbol")
    object_key = f"ticks/{first.symbol}/{first.seq:016d}.parquet"
    digest = await ports.archive.store(object_key, quotes)
    segment = TickSegment(
        symbol=first.symbol,
        from_seq=first.seq,
        to_seq=final.seq,
        from_ts_ns=first.ts_ns,
        to_ts_ns=final.ts_ns,
        rows=len(quotes),
        digest=digest,
        object_key=object_key,
    )
    await ports.segments.add(segment)
    return segment


async def run_sealer(
    ports: SealPorts, quotes: Quotes, symbols: Sequence[str], stop: asyncio.Event
) -> None:
    """Look at every symbol now and then and seal what is due, until told to stop."""
    while not stop.is_set():
        try:
            clock = await quotes.feed_clock()
            if clock is not None:
                await _seal_all(ports, clock, symbols)
        except StoreUnavailable:
            pass
        await wait_at_most(stop, LOOK_EVERY_S)


async def _seal_all(ports: SealPorts, clock: FeedClock, symbols: Sequence[str]) -> None:
    for symbol in symbols:
        while await seal_symbol(ports, symbol, clock.feed_ts_ns) is not None:
            continue
