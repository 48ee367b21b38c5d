"""Tick streams on one time line, handed out when they are due.

A stream is lazy and endless or not; the pace belongs to the feed, so it is the same for all of
its streams.
"""

import asyncio
import heapq
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from quantlab.market.quote import PPM, FeedClock, Quote
from quantlab_app.ports.clock import Clock
from quantlab_app.ports.errors import Misconfigured

BATCH_MAX = 2000
# Ticks that come within this time share a batch: one commit and one pipeline. Where handling a
# batch takes longer, as on a busy machine, ticks are gathered so much longer that it stays within
# its share of the time: quotes must not take the core from the orders that wait for them.
COALESCE_S = 0.025
COALESCE_MAX_S = 0.1
HANDLING_SHARE = 0.1
NEWEST_WEIGHT = 0.1
SECOND_NS = 1_000_000_000


class TickStream(Protocol):
    """Quotes of some symbols in the order of time, made or read as they are taken."""

    def quotes(self, start_ns: int, last: Mapping[str, Quote]) -> Iterator[Quote]:
        """Yield quotes whose first is due at start_ns."""
        ...


def gathering_s(handling_s: float) -> float:
    """Return for how long ticks are gathered where handling a batch takes so long, in seconds."""
    return min(COALESCE_MAX_S, max(COALESCE_S, handling_s / HANDLING_SHARE))


class PacedSource:
    """TickSource port over streams; speed_ppm None hands out ticks as fast as they are taken."""

    def __init__(
        self,
        streams: Sequence[TickStream],
        speed_ppm: int | None,
        clock: Clock,
        *,
        keeps_hours: bool = False,
    ) -> None:
        self.keeps_hours = keeps_hours
        self._streams = streams
        self._paced = speed_ppm is not None
        self.speed_ppm = PPM if speed_ppm is None else speed_ppm
        self._clock = clock
        self._merged: Iterator[Quote] = iter(())
        self._head: Quote | None = None
        self._anchor = FeedClock(0, 0, self.speed_ppm)
        self._returned_at: float | None = None
        self._handling_s = 0.0

    async def open(self, start_ns: int, last: Mapping[str, Quote]) -> None:
        self._merged = heapq.merge(
            *(stream.quotes(start_ns, last) for stream in self._streams),
            key=lambda quote: quote.ts_ns,
        )
        self._head = next(self._merged, None)
        if self._head is None:
            raise Misconfigured("feed: expected at least one tick, got none")
        self._anchor = FeedClock(start_ns, self._clock.now_ns(), self.speed_ppm)

    def now_ns(self) -> int:
        return self._anchor.at(self._clock.now_ns())

    async def next_batch(self, timeout_s: float) -> Sequence[Quote] | None:
        if self._head is None:
            return None
        if not self._paced:
            return await self._next_unpaced()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        await self._gather(loop.time())
        while not (batch := self._take(self.now_ns())):
            left_s = deadline - loop.time()
            if self._head is None or left_s <= 0:
                break
            await asyncio.sleep(min(left_s, self._due_in_s(self._head)))
        self._returned_at = loop.time()
        return batch

    async def _gather(self, now: float) -> None:
        """Wait until enough time has passed since the last batch was handed out."""
        if self._returned_at is None:
            return
        spent_s = now - self._returned_at
        self._handling_s += NEWEST_WEIGHT * (spent_s - self._handling_s)
        await asyncio.sleep(max(0.0, gathering_s(self._handling_s) - spent_s))

    async def _next_unpaced(self) -> Sequence[Quote]:
        batch = self._take(None)
        newest_ns = batch[-1].ts_ns
        self._anchor = FeedClock(newest_ns, self._clock.now_ns(), self.speed_ppm)
        await asyncio.sleep(0)
        return batch

    def _take(self, until_ns: int | None) -> list[Quote]:
        batch: list[Quote] = []
        head = self._head
        while head is not None and len(batch) < BATCH_MAX:
            if until_ns is not None and head.ts_ns > until_ns:
                break
            batch.append(head)
            head = next(self._merged, None)
        self._head = head
        return batch

    def _due_in_s(self, quote: Quote) -> float:
        return max(0.001, (quote.ts_ns - self.now_ns()) / SECOND_NS * PPM / self.speed_ppm)
