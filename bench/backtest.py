"""The backtest engine against the bare loop of the machine, in one run.

`python -m bench.backtest --data DIR` takes a folder as bench/peers/gen.py of the peers' benchmark
writes it; without one it makes quotes of the same kind. Cases and loop take turns, ROUNDS times;
times are of the process, not of the clock. `--long TICKS` runs sma over 100,000 and over so many,
and says what memory the long run took beyond its quotes.
"""

import argparse
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numba
import numpy as np

from quantlab.backtest import layout as at
from quantlab.backtest.account import BacktestAccount
from quantlab.backtest.running import Run
from quantlab.market.catalog import parse_catalog
from quantlab.qls.compiler import compile_source
from quantlab.rules.profile import parse_profile
from quantlab_edge import backtest

ROOT = Path(__file__).parents[1]
ROUNDS = 40
FEW_ROUNDS, FEW_ROUNDS_FROM = 5, 5_000_000
INITIAL = 10_000_000_00
FOLDER = Path(
    os.environ.get("QUANTLAB_NATIVE_FOLDER") or Path.home() / ".cache" / "quantlab" / "native"
)
BRACKET = """strategy "Bracket"

on tick
    f = sma(mid, 10)
    s = sma(mid, 50)
    if position == 0 and working_orders == 0 and f > s + 0.000000001
        buy(25, sl=bid - 12 * tick_size, tp=ask + 12 * tick_size)
"""


@numba.njit
def bare(bid: Any, ask: Any) -> Any:
    """SMA(10)/SMA(50) on integers with equity and drawdown: no engine, no orders."""
    s10 = s50 = pos = cash = trades = peak = deepest = 0
    ring = np.zeros(64, np.int64)
    for i in range(bid.shape[0]):
        m = bid[i] + ask[i]
        s10 += m
        s50 += m
        if i >= 10:
            s10 -= ring[(i - 10) & 63]
        if i >= 50:
            s50 -= ring[(i - 50) & 63]
        ring[i & 63] = m
        if i >= 49:
            if pos == 0 and 5 * s10 > s50:
                pos = 1
                cash -= ask[i]
                trades += 1
            elif pos == 1 and 5 * s10 < s50:
                pos = 0
                cash += bid[i]
                trades += 1
        equity = cash + pos * bid[i]
        peak = max(peak, equity)
        deepest = max(deepest, peak - equity)
    return trades


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path)
    parser.add_argument("--ticks", type=int, default=1_000_000)
    parser.add_argument("--long", type=int, default=0, help="ticks of the longest run, 0 for none")
    arguments = parser.parse_args()
    quotes = read(arguments.data) if arguments.data else walk(arguments.ticks)
    engine = backtest.engine(FOLDER, print)
    columns = np.ascontiguousarray(quotes[:, 1]), np.ascontiguousarray(quotes[:, 2])
    bare(*(one[:100] for one in columns))
    sized = quotes.copy()
    sized[:, 3:5] = 10 + np.arange(len(sized))[:, None] % 20
    eight = quotes.copy()
    eight[:, 5] = np.arange(len(eight)) % 8
    cases: list[tuple[str, str, Any, BacktestAccount]] = [
        ("sma", (ROOT / "examples/sma_cross.qls").read_text(), quotes, account()),
        ("quote", (ROOT / "examples/quote.qls").read_text(), quotes, account()),
        ("bracket", BRACKET, sized, account(displayed=True)),
        (
            "sma, 8 symbols",
            (ROOT / "examples/sma_cross.qls").read_text(),
            eight,
            account(symbols=8),
        ),
    ]
    rows = []
    for name, source, words, owner in cases:
        rows.append(measure(name, source, words, owner, engine, lambda: bare(*columns)))
    if arguments.long:
        rows += lengths(cases[0][1], walk(arguments.long), engine)
    print(json.dumps(rows, indent=1))


def lengths(source: str, words: Any, engine: Any) -> list[dict[str, Any]]:
    """Measure a short part of the quotes and all of them, each beside the loop over the same."""
    rows = []
    for count in (min(100_000, len(words)), len(words)):
        part = words[:count]
        floor = partial(bare, *(np.ascontiguousarray(part[:, k]) for k in (at.Q_BID, at.Q_ASK)))
        rows.append(measure(f"sma, {count} ticks", source, part, account(), engine, floor))
    rows[-1]["bytesPerTick"] = bytes_per_tick(source, words, engine)
    return rows


def bytes_per_tick(source: str, words: Any, engine: Any) -> float:
    """Return what a run takes at most beyond the quotes, as the process of its own that it is."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        program: Any = compile_source(source).program
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        Run(program, account(), words, engine).finish()
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        os.write(writer, str(after - before).encode())
        os._exit(0)
    os.waitpid(child, 0)
    grown = int(os.read(reader, 100)) * (1 if sys.platform == "darwin" else 1024)
    os.close(reader)
    os.close(writer)
    return round(grown / len(words), 1)


def measure(
    name: str,
    source: str,
    words: Any,
    owner: BacktestAccount,
    engine: Any,
    floor: Callable[[], Any],
) -> dict[str, Any]:
    program: Any = compile_source(source).program
    ours, floors, fills = [], [], 0
    joined = Run(program, owner, words, engine).joined
    for _ in range(ROUNDS if len(words) <= FEW_ROUNDS_FROM else FEW_ROUNDS):
        run = Run(program, owner, words, engine, joined=joined)
        begun = time.process_time()
        fills = len(run.finish().fills)
        ours.append(time.process_time() - begun)
        begun = time.process_time()
        floor()
        floors.append(time.process_time() - begun)
    median, bare_median = statistics.median(ours), statistics.median(floors)
    return {
        "case": name,
        "ticks": len(words),
        "fills": fills,
        "milliseconds": round(median * 1e3, 2),
        "nsPerTick": round(median / len(words) * 1e9, 2),
        "floorMilliseconds": round(bare_median * 1e3, 2),
        "floors": round(median / bare_median, 2),
        "leastFloors": round(min(ours) / min(floors), 2),
    }


def account(*, symbols: int = 1, displayed: bool = False) -> BacktestAccount:
    catalog = parse_catalog(json.loads((ROOT / "agent/configs/instruments.json").read_text()))
    instrument, model = catalog.instruments["EURUSD"], catalog.fill_models["EURUSD"]
    names = ["EURUSD"] if symbols == 1 else [f"EURUSD{k}" for k in range(symbols)]
    document: dict[str, Any] = {"format": 1, "name": "bench"}
    document["day"] = {"reset": "17:00", "timeZone": "America/New_York"}
    document["rules"] = [
        {"rule": "daily_loss", "severity": "hard",
         "parameters": {"anchor": "equity", "loss": {"percent": "90", "of": "initial"},
                        "comparator": "lt"}},
        {"rule": "max_drawdown", "severity": "hard",
         "parameters": {"mode": "trailing", "basis": "equity", "comparator": "lt",
                        "loss": {"percent": "90", "of": "initial"}}},
    ]  # fmt: skip
    profile = parse_profile(document, currency_digits=2, initial_balance_minor=INITIAL)
    return BacktestAccount(
        "USD",
        2,
        INITIAL,
        profile,
        tuple(replace(instrument, symbol=name, aliases=()) for name in names),
        {name: replace(model, unlimited=not displayed) for name in names},
    )


def read(folder: Path) -> Any:
    """Read the columns of the peers' data."""
    columns = {name: np.load(folder / f"{name}.npy") for name in ("ts", "bid_i", "ask_i")}
    words = np.zeros((len(columns["ts"]), 6), np.int64)
    for place, name in enumerate(("ts", "bid_i", "ask_i")):
        words[:, place] = columns[name]
    return words


def walk(count: int) -> Any:
    rng = np.random.default_rng(20240101)
    words = np.zeros((count, 6), np.int64)
    words[:, 0] = 1_704_067_200 * 10**9 + np.cumsum(rng.integers(1, 2_000_000, count)) * 1000
    words[:, 1] = 110_000 + np.cumsum(rng.choice(np.array([-1, 0, 1]), count, p=(0.25, 0.5, 0.25)))
    words[:, 2] = words[:, 1] + rng.integers(1, 4, count)
    return words


if __name__ == "__main__":
    main()
