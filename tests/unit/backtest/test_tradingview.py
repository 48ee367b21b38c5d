"""The trade lists of TradingView, entry by entry, by strategies of examples: time, side, price."""

import csv
import gzip
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.support import backtest_runs as runs

from quantlab.backtest import layout as at
from quantlab.market.document import Node
from quantlab.market.fill_model import FillModel, parse_fill_model
from quantlab_adapters.backtest_data.records import Source, load
from quantlab_edge.backtest import EngineFiles

VECTORS = Path("../shared/data/vectors/tradingview_pynecore/t30_strategy")
pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not VECTORS.is_dir(), reason="the market data folder is not here"),
]
TEN_TICKS = {"kind": "fixed", "ticks": 10}


def expected(name: str) -> list[tuple[int, str, int]]:
    """Return (time, side, ticks) of every entry and exit of a list, in order of time."""
    with gzip.open(VECTORS / f"{name}_trades.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    found = []
    for row in rows:
        moment = datetime.strptime(row["Date/Time"], "%Y-%m-%dT%H:%M:%S%z")
        kind, way = row["Type"].split()
        buys = (kind == "Entry") == (way == "long")
        ticks = int((Decimal(row["Price USD"]) * 100_000).to_integral_value())
        found.append((int(moment.timestamp()), "buy" if buys else "sell", ticks))
    return sorted(found)


def filled(run: Any) -> list[tuple[int, str, int]]:
    """Return the same of a run's fills; one that turns a position is an exit and an entry."""
    found = []
    for row in run.fills.tolist():
        one = (
            row[at.F_NS] // 10**9,
            "buy" if row[at.F_SIDE] > 0 else "sell",
            row[at.F_TICKS],
        )
        found += [one] * ((row[at.F_OPENED] > 0) + (row[at.F_CLOSED] > 0))
    return sorted(found)


def run_of(
    engine: EngineFiles, name: str, bars: str, tmp: Path, model: FillModel | None = None
) -> Any:
    owner = runs.account(None, "EURUSD")
    if model is not None:
        owner = replace(owner, models={"EURUSD": model})
    source = Source(VECTORS / f"{bars}.csv.gz", True)
    records = load({"EURUSD": source}, {"EURUSD": owner.instruments[0]}, tmp)
    return runs.finished(engine, runs.program(name), records.words, owner)


def test_macd_matches_every_entry_and_exit(engine: EngineFiles, tmp_path: Path) -> None:
    run = run_of(engine, "macd", "ohlcv", tmp_path)
    wanted = expected("macd")
    found = filled(run)
    # The list ends with the position that was open when it was exported, closed at its last price.
    assert found[: len(wanted) - 1] == wanted[:-1]
    assert len(wanted) > 3_000


def test_slippage_basic_matches(engine: EngineFiles, tmp_path: Path) -> None:
    slips = parse_fill_model(Node("", {"size": "unlimited", "slippage": TEN_TICKS}))
    run = run_of(engine, "slippage_basic", "slippage_basic_ohlcv", tmp_path, model=slips)
    assert filled(run) == expected("slippage_basic")


def test_barupdn_matches_every_entry_and_exit(engine: EngineFiles, tmp_path: Path) -> None:
    run = run_of(engine, "barupdn", "ohlcv", tmp_path)
    wanted = expected("barupdn")
    found = filled(run)
    assert found[: len(wanted) - 1] == wanted[:-1]
    assert len(wanted) > 11_000
