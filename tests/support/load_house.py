"""A platform on replayed ticks with two tenants' bots, and the reading of what became of a run."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import psycopg

from quantlab.market.catalog import Catalog, parse_catalog
from quantlab_app.ports.errors import StoreUnavailable
from tests.support.invariants import (
    Ends,
    Findings,
    Judged,
    check,
    disabled_positions,
    read_ends,
    unsettled,
)
from tests.support.market_data import after_weekend_file
from tests.support.running_platform import Adjust, Document, Platform, change_json, platform
from tests.support.signals_load import LoadBot, Log, Senders, Traffic, make_bots, poll

ALPHA, BETA = "northwind-capital", "blue-harbor"
TICKS = "eurusd_oanda_20140501_20140509_quotes.csv.gz"
# A day of market takes five minutes: prices move, and no weekend comes for twenty.
SPEED = 300
ALPHA_TYPES = ["demo-100k", "eur-100k", "demo-100k", "tight-2k", "demo-100k"]
BETA_TYPES = ["demo-100k", "one-step-50k"]
STRICT = {"tight-2k", "one-step-50k"}
BOTS_EACH = 25
# A wake that a cloud gave up, its executors having died, is sent again by the minute's schedule.
SETTLE_S = 240


def load_configs(configs: Path) -> None:
    """Raise the limits of one tenant, add account types, and make EURUSD cost something."""

    def tenant(document: Document) -> None:
        raised = {"perMinute": 60_000, "burst": 10_000}
        document["rateLimits"] = {"account": raised, "bot": raised, "tenant": raised}
        document["accountTypes"] += [
            {
                "id": "eur-100k",
                "name": "Euro 100K",
                "currency": "EUR",
                "initialBalance": "100000.00",
                "profile": "demo-open",
                "instruments": ["EURUSD", "XAUUSD"],
            },
            {
                "id": "tight-2k",
                "name": "Tight 2K",
                "currency": "USD",
                "initialBalance": "2000.00",
                "profile": "two-step-evaluation",
            },
        ]

    def instruments(document: Document) -> None:
        eurusd = next(one for one in document["instruments"] if one["symbol"] == "EURUSD")
        eurusd["fees"] = {"commissionMinorPerLot": "351.7"}
        eurusd["slippageTicks"] = 1

    change_json(configs / "tenants" / f"{ALPHA}.json", tenant)
    change_json(configs / "instruments.json", instruments)


def limiting_configs(configs: Path) -> None:
    """Besides, make the other tenant's limits so low that bots meet them however slow it goes."""

    def tenant(document: Document) -> None:
        document["rateLimits"] = {"account": {"perMinute": 1, "burst": 4}}

    load_configs(configs)
    change_json(configs / "tenants" / f"{BETA}.json", tenant)


@contextmanager
def load_platform(
    kind: type[Platform] = Platform, adjust: Adjust = load_configs
) -> Iterator[Platform]:
    """Start a platform on replayed ticks of EURUSD; no other symbol has a quote."""
    feed = f"replay:{after_weekend_file(TICKS)}:speed={SPEED}:loop=1"
    with platform(feed, adjust, kind) as made:
        yield made


def catalog_of(made: Platform) -> Catalog:
    return parse_catalog(json.loads((made.configs / "instruments.json").read_text("utf-8")))


def ends_of(made: Platform) -> Ends:
    with made.database() as connection:
        return read_ends(connection)


async def fifty_bots(made: Platform) -> list[LoadBot]:
    """Open 25 accounts of each tenant with a bot on each; the second tenant's are limited."""
    async with made.ports() as ports:
        alpha = await make_bots(ports, ALPHA, BOTS_EACH, ALPHA_TYPES, limited=False, strict=STRICT)
        beta = await make_bots(ports, BETA, BOTS_EACH, BETA_TYPES, limited=True, strict=STRICT)
    return alpha + beta


@asynccontextmanager
async def senders(
    made: Platform, bots: list[LoadBot], log: Log, seed: int
) -> AsyncIterator[Senders]:
    """Make the bots' side of a run; protective prices come from the latest quote."""
    price: list[float] = []

    async with made.ports() as ports:

        async def look() -> None:
            try:
                quote = (await ports.quotes.latest(("EURUSD",))).get("EURUSD")
            except StoreUnavailable:
                return
            if quote is not None:
                price[:] = [quote.bid_ticks / 100_000]

        await look()
        # The unlimited bots send most, the limited ones still more than they may.
        weighted = [bot for bot in bots for _ in range(1 if bot.limited else 3)]
        traffic = Traffic(
            weighted, seed, lambda: price[0] if price else None, keeps_bytes=made.keeps_bytes
        )
        sending = Senders(made.url, traffic, log, look)
        try:
            yield sending
        finally:
            await sending.close()


async def settled(made: Platform) -> None:
    """Wait until everything accepted is carried out and everything that happened is chained."""
    waits: Mapping[str, object] = {"connection": "none"}

    async def done() -> bool:
        nonlocal waits
        try:
            with made.database() as connection:
                waits = unsettled(connection)
        except psycopg.OperationalError:
            return False
        return not any(waits.values())

    assert await poll(done, SETTLE_S), f"still waiting: {waits}\n{made.last_words()}"


async def triggered(made: Platform) -> bool:
    """Wait until the market has touched a stop or a target of some position."""

    async def done() -> bool:
        with made.database() as connection:
            row = connection.execute(
                "select exists (select from event where event_type = 'order.triggered') as holds"
            ).fetchone()
        return row is not None and bool(row["holds"])

    return await poll(done, SETTLE_S)


async def cleared(made: Platform) -> bool:
    """Wait until no account that may not hold a position holds one: the quotes are good."""

    async def done() -> bool:
        with made.database() as connection:
            return not disabled_positions(connection)

    return await poll(done, SETTLE_S)


async def invariants(made: Platform) -> Findings:
    """Check a snapshot in which nothing waits: stops and floors go on moving accounts."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        with made.database() as connection, connection.transaction():
            connection.execute("set transaction isolation level repeatable read read only")
            waits = unsettled(connection)
            if not any(waits.values()):
                return check(connection, catalog_of(made))
        assert time.monotonic() < deadline, f"something always waits: {waits}"
        await asyncio.sleep(0.05)


def unnoticed(made: Platform, sabotages: Mapping[str, str]) -> list[str]:
    """Return the kinds of findings that do not appear although the database was damaged so."""
    missed = []
    judged: Judged = {}
    with made.database() as connection:
        for kind, statement in sabotages.items():
            with connection.transaction(force_rollback=True):
                damaged = connection.execute(statement.encode()).rowcount
                if damaged != 1 or kind not in check(connection, catalog_of(made), judged).counts:
                    missed.append(f"{kind} ({damaged} rows damaged)")
    return missed
