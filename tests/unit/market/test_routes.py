"""GET quote and bars, through the application's own edge."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from functions.http.market.handler import router

from quantlab.market.bars import MINUTE_NS, Bar
from quantlab.market.catalog import parse_catalog
from quantlab.market.quote import SILENCE_NS, FeedClock, Quote
from quantlab.tenancy.permissions import Role
from quantlab.tenancy.scope import Actor, Scope
from quantlab_edge.http import credential
from quantlab_server.app import create_app

CATALOG = parse_catalog(
    json.loads((Path(__file__).parents[3] / "agent/configs/instruments.json").read_text())
)
DAY = 1_767_312_000_000_000_000  # 2026-01-02T00:00:00Z
MAX_AGE_NS = CATALOG.instruments["EURUSD"].gate.max_age_ns
PATH = "/tenants/alpha/market"


class Market:
    """Quotes, bars, clock and identifiers in memory."""

    def __init__(self) -> None:
        self.quote = Quote("EURUSD", 108_123, 108_125, DAY, 7)
        self.clock = FeedClock(DAY, 5, 1_000_000)
        self.wall_ns = 5
        self.bars = [
            Bar("EURUSD", DAY + n * MINUTE_NS, 1, 4, 1, 3, 5, 9, DAY + n * MINUTE_NS, n + 1)
            for n in range(10)
        ]

    async def latest_with_clock(self, symbols: Sequence[str]) -> tuple[dict[str, Quote], FeedClock]:
        return {s: self.quote for s in symbols if s == self.quote.symbol}, self.clock

    async def feed_clock(self) -> FeedClock:
        return self.clock

    async def page(self, symbol: str, from_ns: int, to_ns: int, limit: int) -> Sequence[Bar]:
        held = [b for b in self.bars if b.symbol == symbol and from_ns <= b.start_ns < to_ns]
        return held[:limit]

    def now_ns(self) -> int:
        return self.wall_ns

    def new_id(self) -> str:
        return "correlation"


@pytest.fixture
def market() -> Market:
    return Market()


@pytest.fixture
async def client(market: Market) -> AsyncIterator[httpx.AsyncClient]:
    ports = SimpleNamespace(ids=market, clock=market, catalog=CATALOG, quotes=market, bars=market)
    app = create_app(ports, [])  # type: ignore[arg-type]
    app.include_router(router)
    scope = Scope("alpha", Actor("user", "u", Role.VIEWER), "c")
    app.dependency_overrides[credential] = lambda: SimpleNamespace(scope=scope)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://edge") as made:
        yield made


async def get(client: httpx.AsyncClient, path: str, status: int = 200) -> dict[str, Any]:
    response = await client.get(f"{PATH}/{path}")
    assert response.status_code == status, response.text
    document: dict[str, Any] = response.json()
    return document


async def test_the_quote_in_decimals(client: httpx.AsyncClient, market: Market) -> None:
    market.quote = replace(market.quote, bid_size_steps=250)
    assert await get(client, "EURUSD/quote") == {
        "symbol": "EURUSD",
        "bid": "1.08123",
        "ask": "1.08125",
        "bidSize": "2.50",
        "askSize": None,
        "ts": "2026-01-02T00:00:00.000000Z",
        "seq": 7,
        "stale": False,
    }


async def test_an_old_or_suspended_quote_says_that_it_is_stale(
    client: httpx.AsyncClient, market: Market
) -> None:
    market.clock = FeedClock(DAY + MAX_AGE_NS, 5, 1_000_000)
    assert (await get(client, "EURUSD/quote"))["stale"] is False
    market.wall_ns += 1
    assert (await get(client, "EURUSD/quote"))["stale"] is True
    market.clock = FeedClock(DAY, 5, 1_000_000)
    market.quote = Quote("EURUSD", 1, 2, DAY, 7, suspended=True)
    assert (await get(client, "EURUSD/quote"))["stale"] is True


async def test_a_quote_of_a_feed_that_has_stopped_is_stale(
    client: httpx.AsyncClient, market: Market
) -> None:
    market.wall_ns += SILENCE_NS
    assert (await get(client, "EURUSD/quote"))["stale"] is False
    market.wall_ns += 1
    assert (await get(client, "EURUSD/quote"))["stale"] is True


@pytest.mark.parametrize("path", ["NOPE/quote", "NOPE/bars", "GBPUSD/quote"])
async def test_what_is_unknown_or_not_quoted_yet_is_404(
    client: httpx.AsyncClient, path: str
) -> None:
    await get(client, path, 404)


async def test_bars_page_by_cursor(client: httpx.AsyncClient, market: Market) -> None:
    wanted = "EURUSD/bars?interval=1m&from=2026-01-02T00:01:00Z&to=2026-01-02T01:06:00%2B01:00"
    seen: list[dict[str, Any]] = []
    cursor, pages = "", 0
    while True:
        page = await get(client, f"{wanted}&limit=2{cursor}")
        seen += page["items"]
        pages += 1
        if page["nextCursor"] is None:
            break
        cursor = f"&cursor={page['nextCursor']}"
    assert pages == 3
    assert [bar["start"] for bar in seen] == [
        f"2026-01-02T00:0{n}:00.000000Z" for n in (1, 2, 3, 4, 5)
    ]
    assert seen[0] == {
        "start": "2026-01-02T00:01:00.000000Z",
        "open": "0.00001",
        "high": "0.00004",
        "low": "0.00001",
        "close": "0.00003",
        "closeAsk": "0.00005",
        "ticks": 9,
    }


async def test_without_times_the_newest_bars_come(
    client: httpx.AsyncClient, market: Market
) -> None:
    market.clock = FeedClock(DAY + 10 * MINUTE_NS, 5, 1_000_000)
    page = await get(client, "EURUSD/bars?limit=3")
    assert [bar["start"][14:16] for bar in page["items"]] == ["07", "08", "09"]
    assert page["nextCursor"] is None


@pytest.mark.parametrize(
    ("path", "pointer"),
    [
        ("eurusd/quote", "path/symbol"),
        ("EURUSD/bars?interval=5m", "query/interval"),
        ("EURUSD/bars?from=yesterday", "query/from"),
        ("EURUSD/bars?to=2026-01-02T00:00:00", "query/to"),
        ("EURUSD/bars?limit=0", "query/limit"),
        ("EURUSD/bars?cursor=abc", "query/cursor"),
    ],
)
async def test_a_wrong_parameter_is_named(
    client: httpx.AsyncClient, path: str, pointer: str
) -> None:
    problem = await get(client, path, 422)
    assert [error["pointer"] for error in problem["errors"]] == [pointer]
