"""Ticks as the feed records them, sealed in part; and the same ticks as files of columns."""

import random
from pathlib import Path

import numpy as np

from quantlab.market.quote import Quote
from quantlab_app.ports.container import Ports
from quantlab_app.use_cases.tick_segments import SealPorts, seal_symbol
from quantlab_server.backtests.accounts import account_for

CONFIGS = Path("agent/configs")
START_NS = 1_700_000_000_000_000_000
STEP_NS = 250_000_000


def walk(symbol: str, count: int, price: int, seed: int, first_seq: int = 1) -> list[Quote]:
    """Make quotes that wander, four a second."""
    drawn = random.Random(seed)
    quotes = []
    for place in range(count):
        price += drawn.randint(-3, 3)
        quotes.append(
            Quote(
                symbol, price, price + 2, START_NS + place * STEP_NS, first_seq + 2 * place,
                bid_size_steps=10_000_000, ask_size_steps=10_000_000,
            )
        )  # fmt: skip
    return quotes


async def record(ports: Ports, quotes: list[Quote], *, sealed: int) -> None:
    """Write quotes to the tick log, and seal so many of them in segments of a third."""
    await ports.tick_log.append(quotes)
    seal = SealPorts(log=ports.tick_log, segments=ports.tick_segments, archive=ports.tick_archive)
    for _ in range(3 if sealed else 0):
        done = await seal_symbol(
            seal, quotes[0].symbol, quotes[-1].ts_ns, segment_ticks=sealed // 3
        )
        assert done is not None


def as_columns(folder: Path, quotes: list[Quote]) -> Path:
    """Write quotes as a folder of .npy columns in doubles: `quantlab backtest run` reads them."""
    folder.mkdir(parents=True)
    instrument = account_for(CONFIGS, None, [quotes[0].symbol]).instruments[quotes[0].symbol]
    tick = float(instrument.tick)
    unit = float(instrument.contract_size * instrument.size_step)
    for name, values in {
        "ts": np.array([one.ts_ns for one in quotes], np.int64),
        "bid": np.array([one.bid_ticks for one in quotes]) * tick,
        "ask": np.array([one.ask_ticks for one in quotes]) * tick,
        "bid_size": np.array([one.bid_size_steps for one in quotes]) * unit,
        "ask_size": np.array([one.ask_size_steps for one in quotes]) * unit,
    }.items():
        np.save(folder / f"{name}.npy", values)
    return folder
