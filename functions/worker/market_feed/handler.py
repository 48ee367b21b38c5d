"""The market feed and the sealing of its tick log, side by side."""

import asyncio

from quantlab_app.ports.container import Ports
from quantlab_app.use_cases.market_feed import FeedPorts, run_market_feed
from quantlab_app.use_cases.tick_segments import SealPorts, run_sealer
from quantlab_app.use_cases.waiting import run_all
from quantlab_edge import observe


async def run(ports: Ports, stop: asyncio.Event) -> None:
    feed = FeedPorts(
        source=ports.open_tick_source(),
        log=ports.tick_log,
        bars=ports.bars,
        sink=ports.quote_sink,
        clock=ports.clock,
        count_quotes=_count,
        note_refusals=ports.note_quote_refusals,
    )
    seal = SealPorts(log=ports.tick_log, segments=ports.tick_segments, archive=ports.tick_archive)
    symbols = tuple(ports.catalog.instruments)
    await run_all(
        (
            run_market_feed(feed, ports.catalog, stop),
            run_sealer(seal, ports.quotes, symbols, stop),
        )
    )


def _count(symbol: str, verdict: str, number: int) -> None:
    observe.quotes.labels(symbol, verdict).inc(number)
