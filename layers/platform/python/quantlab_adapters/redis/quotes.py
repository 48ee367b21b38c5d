"""Latest quotes, the feed's clock and refusal counters in Redis, and who hears of them.

Hash `quotes`: symbol -> quote; hash `feed_clock`; hash `quote_refusals`: "SYMBOL:reason" -> count.
Channels `quotes`, `suspensions` and `bars` carry one JSON object a message.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import orjson

from quantlab.kernel.decimals import format_units
from quantlab.market.bars import Bar
from quantlab.market.quote import FeedClock, Quote
from quantlab_adapters.redis.client import Client, translated
from quantlab_adapters.redis.exchange import Command, Exchanges, subscribed
from quantlab_app.ports.market import FeedBatch

QUOTES = "quotes"
SUSPENSIONS = "suspensions"
BARS = "bars"
FEED_CLOCK = "feed_clock"
CLOCK_FIELDS = ("feed_ts_ns", "wall_ts_ns", "speed_ppm", "keeps_hours")
REFUSALS = "quote_refusals"
LISTEN_TIMEOUT_S = 1.0


class RedisQuoteSink:
    """QuoteSink port: one round trip a batch. tick_sizes gives the price of a tick by symbol."""

    def __init__(self, client: Client, tick_sizes: Mapping[str, Decimal]) -> None:
        self._exchanges = Exchanges(client)
        self._tick_sizes = tick_sizes

    async def publish(self, batch: FeedBatch) -> None:
        commands = self._quotes(batch)
        for bar in (*batch.closed_bars, *batch.open_bars):
            commands.append(("PUBLISH", BARS, self._bar_json(bar, bar in batch.closed_bars)))
        for (symbol, reason), count in (batch.refusals or {}).items():
            commands.append(("HINCRBY", REFUSALS, f"{symbol}:{reason}", count))
        clock = batch.clock
        told = (clock.feed_ts_ns, clock.wall_ts_ns, clock.speed_ppm, int(clock.keeps_hours))
        fields = (part for field in zip(CLOCK_FIELDS, told, strict=True) for part in field)
        commands.append(("HSET", FEED_CLOCK, *fields))
        with translated():
            await self._exchanges.do(commands)

    def _quotes(self, batch: FeedBatch) -> list[Command]:
        commands: list[Command] = []
        latest: dict[str, bytes] = {}
        for quote in batch.accepted:
            latest[quote.symbol] = message = self._quote_json(quote)
            commands.append(("PUBLISH", QUOTES, message))
        for quote in batch.latest:
            latest[quote.symbol] = message = self._quote_json(quote)
            if quote.suspended:
                commands.append(("PUBLISH", SUSPENSIONS, message))
        if latest:
            commands.append(("HSET", QUOTES, *(part for one in latest.items() for part in one)))
        return commands

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
        self._exchanges = Exchanges(client)

    async def latest(self, symbols: Sequence[str]) -> dict[str, Quote]:
        quotes, _ = await self.latest_with_clock(symbols)
        return quotes

    async def feed_clock(self) -> FeedClock | None:
        _, clock = await self.latest_with_clock(())
        return clock

    async def latest_with_clock(
        self, symbols: Sequence[str]
    ) -> tuple[dict[str, Quote], FeedClock | None]:
        reads: list[Command] = [("HMGET", FEED_CLOCK, *CLOCK_FIELDS)]
        if symbols:
            reads.append(("HMGET", QUOTES, *symbols))
        with translated():
            clock, *found = await self._exchanges.do(reads)
        quotes = [parse_quote(value) for values in found for value in values if value is not None]
        return {quote.symbol: quote for quote in quotes}, _clock(clock)

    async def refusals(self) -> dict[tuple[str, str], int]:
        with translated():
            counts: dict[Any, Any] = await self._client.hgetall(REFUSALS)
        parted = {key.decode().rpartition(":"): int(count) for key, count in counts.items()}
        return {(symbol, reason): count for (symbol, _, reason), count in parted.items()}

    async def subscribe(self) -> AsyncIterator[Quote]:
        with translated():
            async with subscribed(self._client, (QUOTES, SUSPENSIONS)) as subscription:
                while True:
                    told = await subscription.next(LISTEN_TIMEOUT_S)
                    if told is not None and told[0] == b"message":
                        yield parse_quote(told[2])


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


def _clock(values: Sequence[bytes | None]) -> FeedClock | None:
    feed_ts_ns, wall_ts_ns, speed_ppm, keeps_hours = values
    if feed_ts_ns is None or wall_ts_ns is None or speed_ppm is None:
        return None
    return FeedClock(int(feed_ts_ns), int(wall_ts_ns), int(speed_ppm), keeps_hours == b"1")
