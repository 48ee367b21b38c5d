"""Latest quotes, the feed's clock and refusal counters in Redis, and who hears of them.

Hash `quotes`: symbol -> quote; hash `feed_clock`; hash `quote_refusals`: "SYMBOL:reason" -> count.
Channels `quotes`, `suspensions` and `bars` carry one JSON object a message.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import orjson
from redis.asyncio.client import Pipeline

from quantlab.kernel.decimals import format_units
from quantlab.market.bars import Bar
from quantlab.market.quote import FeedClock, Quote
from quantlab_adapters.redis.client import Client, translated
from quantlab_app.ports.market import FeedBatch

QUOTES = "quotes"
SUSPENSIONS = "suspensions"
BARS = "bars"
FEED_CLOCK = "feed_clock"
REFUSALS = "quote_refusals"
LISTEN_TIMEOUT_S = 1.0


class RedisQuoteSink:
    """QuoteSink port: one pipeline a batch. tick_sizes gives the price of a tick by symbol."""

    def __init__(self, client: Client, tick_sizes: Mapping[str, Decimal]) -> None:
        self._client = client
        self._tick_sizes = tick_sizes

    async def publish(self, batch: FeedBatch) -> None:
        with translated():
            async with self._client.pipeline(transaction=False) as pipeline:
                self._queue_quotes(pipeline, batch)
                for bar in (*batch.closed_bars, *batch.open_bars):
                    pipeline.publish(BARS, self._bar_json(bar, bar in batch.closed_bars))
                for (symbol, reason), count in (batch.refusals or {}).items():
                    pipeline.hincrby(REFUSALS, f"{symbol}:{reason}", count)
                clock = batch.clock
                pipeline.hset(
                    FEED_CLOCK,
                    mapping={
                        "feed_ts_ns": clock.feed_ts_ns,
                        "wall_ts_ns": clock.wall_ts_ns,
                        "speed_ppm": clock.speed_ppm,
                        "keeps_hours": int(clock.keeps_hours),
                    },
                )
                await pipeline.execute()

    def _queue_quotes(self, pipeline: "Pipeline", batch: FeedBatch) -> None:
        latest: dict[str, bytes] = {}
        for quote in batch.accepted:
            latest[quote.symbol] = message = self._quote_json(quote)
            pipeline.publish(QUOTES, message)
        for quote in batch.latest:
            latest[quote.symbol] = message = self._quote_json(quote)
            if quote.suspended:
                pipeline.publish(SUSPENSIONS, message)
        if latest:
            pipeline.hset(QUOTES, items=[part for field in latest.items() for part in field])

    def _quote_json(self, quote: Quote) -> bytes:
        tick = self._tick_sizes[quote.symbol]
        return orjson.dumps(
            {
                "symbol": quote.symbol,
                "bid_ticks": quote.bid_ticks,
                "ask_ticks": quote.ask_ticks,
                "ts_ns": quote.ts_ns,
                "seq": quote.seq,
                "suspended": quote.suspended,
                "bid_size_steps": quote.bid_size_steps,
                "ask_size_steps": quote.ask_size_steps,
                "bid": format_units(quote.bid_ticks, tick),
                "ask": format_units(quote.ask_ticks, tick),
            }
        )

    def _bar_json(self, bar: Bar, closed: bool) -> bytes:
        tick = self._tick_sizes[bar.symbol]
        return orjson.dumps(
            {
                "symbol": bar.symbol,
                "start_ns": bar.start_ns,
                "open": format_units(bar.open_ticks, tick),
                "high": format_units(bar.high_ticks, tick),
                "low": format_units(bar.low_ticks, tick),
                "close": format_units(bar.close_ticks, tick),
                "close_ask": format_units(bar.close_ask_ticks, tick),
                "tick_count": bar.tick_count,
                "last_seq": bar.last_seq,
                "closed": closed,
            }
        )


class RedisQuotes:
    """Quotes port."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def latest(self, symbols: Sequence[str]) -> dict[str, Quote]:
        quotes, _ = await self.latest_with_clock(symbols)
        return quotes

    async def feed_clock(self) -> FeedClock | None:
        _, clock = await self.latest_with_clock(())
        return clock

    async def latest_with_clock(
        self, symbols: Sequence[str]
    ) -> tuple[dict[str, Quote], FeedClock | None]:
        with translated():
            async with self._client.pipeline(transaction=False) as pipeline:
                pipeline.hgetall(FEED_CLOCK)
                if symbols:
                    pipeline.hmget(QUOTES, list(symbols))
                answers = await pipeline.execute()
        found = answers[1] if symbols else ()
        quotes = [parse_quote(value) for value in found if value is not None]
        return {quote.symbol: quote for quote in quotes}, _clock(answers[0])

    async def refusals(self) -> dict[tuple[str, str], int]:
        with translated():
            counts: dict[Any, Any] = await self._client.hgetall(REFUSALS)
        parted = {key.decode().rpartition(":"): int(count) for key, count in counts.items()}
        return {(symbol, reason): count for (symbol, _, reason), count in parted.items()}

    async def subscribe(self) -> AsyncIterator[Quote]:
        with translated():
            async with self._client.pubsub(ignore_subscribe_messages=True) as channel:
                await channel.subscribe(QUOTES, SUSPENSIONS)
                while True:
                    message = await channel.get_message(timeout=LISTEN_TIMEOUT_S)
                    if message is not None:
                        yield parse_quote(message["data"])


def parse_quote(message: bytes) -> Quote:
    """Read a quote as the sink writes it, from the hash or from the channel."""
    value = orjson.loads(message)
    return Quote(
        value["symbol"],
        value["bid_ticks"],
        value["ask_ticks"],
        value["ts_ns"],
        value["seq"],
        value["suspended"],
        value.get("bid_size_steps", 0),
        value.get("ask_size_steps", 0),
    )


def _clock(fields: Mapping[bytes, bytes]) -> FeedClock | None:
    if not fields:
        return None
    return FeedClock(
        int(fields[b"feed_ts_ns"]),
        int(fields[b"wall_ts_ns"]),
        int(fields[b"speed_ppm"]),
        fields.get(b"keeps_hours") == b"1",
    )
