"""The live path in lock step: real stores, executor and watch, on a clock that the ticks set.

A tick is logged, published, judged by account_watch, and what that calls for is carried out before
the next one: so the time that machines take is not part of the history.
"""

import asyncio
import csv
import gzip
import random
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import pytest

from quantlab.engine.batch import CHECKPOINT_NS
from quantlab.ledger.state import Account
from quantlab.market.instrument import Instrument
from quantlab.market.quote import FeedClock, Quote
from quantlab_adapters.feeds.replay import ReplayStream
from quantlab_app.ports.container import Ports
from quantlab_app.ports.market import FeedBatch
from quantlab_app.ports.sockets import EventBus
from quantlab_app.use_cases import account_watch
from quantlab_app.use_cases.execution import execute_pending
from quantlab_app.use_cases.publishing import ACCOUNTS_TOPIC
from quantlab_app.use_cases.schedules import checkpoint_rules, roll_days
from tests.support.market_data import DATA, REQUIRED, spread_file, ticks_file
from tests.support.set_clock import SetClock
from tests.support.world import ALPHA, PPM, Bot, World

SECOND = 10**9
COMPILE_S = 200
FILES = {
    "EURUSD": "eurusd_oanda_20140501_20140509_quotes.csv.gz",
    "XAUUSD": "xauusd_oanda_20140501_20140502_quotes.csv.gz",
    "BTCUSD": "btcusdt_binance_quotes.parquet",
}
ES_MINUTES = "es_minute_20131006_20131011_quotes.csv.gz"


def recorded_ticks(symbol: str, instrument: Instrument, count: int) -> list[Quote]:
    """Return that many ticks spread evenly over the symbol's file, at their own times."""
    if symbol == "ES":
        spread = _spread(list(_es_quotes(instrument)), count)
    else:
        rows = _spread(list(_file_rows(symbol, instrument, count)), count)
        spread = [
            Quote(symbol, _ticks(row.bid, instrument), _ticks(row.ask, instrument), row.ts_ns, 0)
            for row in rows
        ]
    rising: dict[int, Quote] = {quote.ts_ns: quote for quote in spread}
    return [replace(quote, seq=seq) for seq, (_, quote) in enumerate(sorted(rising.items()), 1)]


def _spread(found: list[Any], count: int) -> list[Any]:
    return found[:: max(1, len(found) // count)][:count]


def _file_rows(symbol: str, instrument: Instrument, count: int) -> Iterator[Any]:
    """Yield the rows that are quotes; of long files only as many rows are read as are taken."""
    name = FILES[symbol]
    file = spread_file(name, count) if ".csv" in name else ticks_file(name)
    rows = ReplayStream(file, lambda _: instrument, symbol=symbol)._rows()
    return (row for row in rows if instrument.tick < row.bid <= row.ask)


def _es_quotes(instrument: Instrument) -> Iterator[Quote]:
    """Take the closing quotes of the minutes; without the file, a seeded walk of minutes."""
    path = DATA / "futures" / ES_MINUTES
    if not path.is_file():
        assert not REQUIRED, f"QUANTLAB_REQUIRE_DATA=1, but {path} does not exist"
        rng, bid = random.Random(ES_MINUTES), 6726
        for minute in range(6000):
            bid += rng.choice((-2, -1, 0, 0, 1, 2))
            ts_ns = (1_381_086_000 + minute * 60) * SECOND
            sizes = {"bid_size_steps": rng.randint(1, 90), "ask_size_steps": rng.randint(1, 90)}
            yield Quote("ES", bid, bid + 1, ts_ns, 0, **sizes)
        return
    with gzip.open(path, "rt") as lines:
        for row in csv.DictReader(lines):
            if not (row["bid_close"] and row["ask_close"]):
                continue
            moment = datetime.fromisoformat(row["time_utc"]).replace(tzinfo=UTC)
            bid, ask = (
                _ticks(Decimal(row[name]), instrument) for name in ("bid_close", "ask_close")
            )
            if bid <= ask:
                ts_ns = int(moment.timestamp()) * SECOND
                sizes = {f"{side}_size_steps": int(row[f"{side}_size"]) for side in ("bid", "ask")}
                yield Quote("ES", bid, ask, ts_ns, 0, **sizes)


def _ticks(price: Decimal, instrument: Instrument) -> int:
    return int((price / instrument.tick).to_integral_value(ROUND_HALF_EVEN))


class _CountingBus:
    """Counts the account states that were published."""

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus
        self.accounts = 0

    async def publish(self, topic: str, message: bytes) -> None:
        await self._bus.publish(topic, message)
        if topic == ACCOUNTS_TOPIC:
            self.accounts += len(account_watch.read_accounts(message))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)


class _StepWatch(account_watch.AccountWatch):
    puts = 0

    def __init__(self, ports: Ports, loaded: Callable[[], None]) -> None:
        super().__init__(ports, lambda *_: None, lambda *_: loaded())
        self.quickened = asyncio.Event()

    async def _quicken(self) -> None:
        self._crowded.set()
        await super()._quicken()
        self.quickened.set()

    def pulse(self) -> None:
        """Hand on the peaks that the compiled watch keeps until the next pulse."""
        self._demand(self._watch.unstored_peaks(self._ports.clock.now_ns()))

    async def _put(self, account: Account) -> None:
        await super()._put(account)
        self.puts += 1

    def is_calm(self, quote: Quote | None, puts: int) -> bool:
        heard = quote is None or self._watch._heard.get(quote.symbol, 0) >= quote.seq
        return heard and self.puts >= puts and self._demands.empty() and not self._unsent


@dataclass
class LivePath:
    world: World
    clock: SetClock
    bus: _CountingBus
    watch: _StepWatch
    checkpoint_ns: int = 0
    ticks: list[Quote] = field(default_factory=list)

    async def tick(self, quote: Quote) -> None:
        """Feed one tick and carry out all that follows from it and from its time."""
        ports = self.world.ports
        self.clock.at_ns = quote.ts_ns
        self.ticks.append(quote)
        await ports.tick_log.append([quote])
        clock = FeedClock(quote.ts_ns, quote.ts_ns, PPM)
        await ports.quote_sink.publish(FeedBatch(clock, accepted=(quote,)))
        await self._calm(quote)
        self.watch.pulse()
        await self.settle(quote)
        checkpoint_ns = quote.ts_ns // CHECKPOINT_NS * CHECKPOINT_NS
        if checkpoint_ns != self.checkpoint_ns:
            self.checkpoint_ns = checkpoint_ns
            await checkpoint_rules(ports)
            await self.settle()
        if await roll_days(ports):
            await self.settle()

    async def settle(self, quote: Quote | None = None) -> None:
        await self._calm(quote)
        while await execute_pending(self.world.ports, [ALPHA]):
            await self._calm(quote)

    async def _calm(self, quote: Quote | None) -> None:
        async with asyncio.timeout(20):
            while not self.watch.is_calm(quote, self.bus.accounts):
                await asyncio.sleep(0.0005)

    async def send(self, bot: Bot, body: dict[str, Any]) -> None:
        await self.world.send(bot, body)
        await self.settle()


@asynccontextmanager
async def live_path(
    world: World, start_ns: int, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[LivePath]:
    """Run a watch in lock step with the ticks; pulses of the wall clock have no say."""
    for name in ("PULSE_S", "RECONCILE_S"):
        monkeypatch.setattr(account_watch, name, 3600.0)
    clock, bus = SetClock(start_ns), _CountingBus(world.ports.event_bus)
    # A checkpoint of whole tenants asks no account it can clear; a batch run asks each one.
    world.ports = replace(world.ports, clock=clock, event_bus=bus, checkpoints=None)
    loaded = asyncio.Event()
    watch = _StepWatch(world.ports, loaded.set)
    stop = asyncio.Event()
    task = asyncio.create_task(watch.run(stop))
    try:
        await asyncio.wait_for(loaded.wait(), 20)
        await asyncio.wait_for(watch.quickened.wait(), COMPILE_S)
        await asyncio.sleep(0.2)
        yield LivePath(world, clock, bus, watch)
    finally:
        stop.set()
        await asyncio.wait_for(task, 20)
        await world.ports.tick_log.close()


def random_order(
    rng: random.Random, quote: Quote, instrument: Instrument, lots: Sequence[str], reach: int
) -> dict[str, Any]:
    """Return a signal of any type around a quote; reach is in ticks."""

    def at(ticks: int) -> str:
        return str(ticks * instrument.tick)

    away, far = rng.randint(1, reach), rng.randint(reach, 4 * reach)
    side = rng.choice(("buy", "sell"))
    up = 1 if side == "buy" else -1
    base = {"symbol": instrument.symbol, "action": side, "quantity": rng.choice(lots)}
    price = quote.ask_ticks if up > 0 else quote.bid_ticks
    guarded = {"stopLoss": at(price - up * far), "takeProfit": at(price + up * far)}
    trail = at(far)
    return rng.choice(
        (
            base,
            {**base, **guarded},
            {**base, "orderType": "limit", "price": at(price - up * away)},
            {**base, "orderType": "limit", "price": at(price - up * away), "timeInForce": "day"},
            {**base, "orderType": "limit", "price": at(price + up * away), "timeInForce": "ioc"},
            {**base, "orderType": "stop", "triggerPrice": at(price + up * away)},
            {**base, "orderType": "stop_limit", "triggerPrice": at(price + up * away),
             "price": at(price + up * (away + 3))},
            {**base, "orderType": "market_if_touched", "triggerPrice": at(price - up * away)},
            {**base, "orderType": "trailing_stop", "trailDistance": trail},
            {**base, "orderType": "limit", "price": at(price - up * away), "bracket": guarded},
            {**base, "orderType": "limit", "price": at(price - up * away),
             "links": {"type": "oco", "orders": [
                 {"action": side, "orderType": "stop", "triggerPrice": at(price + up * far)}]}},
            {"symbol": instrument.symbol, "action": "close"},
            {"symbol": instrument.symbol, "action": "reverse"},
            {"action": "cancel_all"},
            {"action": "flat"},
        )
    )  # fmt: skip
