"""A live run does what the interpreter and a backtest do, bit for bit, event by event.

QUANTLAB_QLS_PROGRAMS sets how many generated programs are driven.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.backtest_runs import account, program
from tests.support.live_runs import (
    BEGAN_NS,
    HEDGING,
    PROFILE,
    TRADING,
    OracleRun,
    exact_given,
    history,
    same_state,
    terms,
)
from tests.support.market_data import ticks_file
from tests.support.qls_bars import compiled
from tests.support.qls_programs import program_source

from quantlab.backtest import layout as at
from quantlab.backtest.outputs import Outputs
from quantlab.backtest.running import Run
from quantlab.live import events
from quantlab.live.events import (
    AccountSeen,
    FillSeen,
    Held,
    Resting,
    orders_words,
    quote_words,
)
from quantlab.live.running import LiveRun
from quantlab.live.tray import Given
from quantlab.qls.lines import line_of
from quantlab.qls.native import abi
from quantlab.qls.native.machine import QUICK, TUNED
from quantlab_edge import backtest

PROGRAMS = int(os.environ.get("QUANTLAB_QLS_PROGRAMS", "300"))
PARTS = 10
EVENTS = 60
BOTH = ("EURUSD", "GBPUSD")
EURUSD = "eurusd_oanda_20140501_20140509_quotes.csv.gz"
XAUUSD = "xauusd_oanda_20140501_20140502_quotes.csv.gz"
TIMED = """strategy "Timed" (timezone="Europe/Berlin")

var rung = 0

on timer(7m)
    rung += 1
    log("{} at {}", rung, time)

on timer("16:55")
    flatten()
    alert("flat at {}", utc_offset)

on bar("GBPUSD", 1m)
    plot("range", high - low)
    if close > open and position("GBPUSD") <= 0
        buy(0.1, symbol="GBPUSD", sl=low, tp=high + 20 * tick_size("GBPUSD"))

on bar(5m)
    marker("mean", sma(close, 3))

on fill
    log("{} {} {} {}", fill_order, fill_side, fill_size, fill_profit)
    plot("left", fill_remaining)

on stop
    log("profit {} of {}", position_profit, equity)
"""


@pytest.fixture(scope="module")
def engine() -> backtest.EngineFiles:
    return backtest.engine(Path(os.environ["QUANTLAB_NATIVE_FOLDER"]), print)


class _Kept:
    """Code of one program, for the second of two runs."""

    def __init__(self) -> None:
        self._kept: tuple[str, bytes] = ("", b"")

    def get(self, key: str) -> bytes | None:
        return self._kept[1] if self._kept[0] == key else None

    def put(self, key: str, code: bytes) -> None:
        self._kept = (key, code)


KEPT = _Kept()


def agree(
    source: Any, seed: int, engine: Any, count: int = EVENTS, on: str = "EURUSD", legs: int = 1
) -> str:
    """Feed the oracle, a run one event at a time and another all at once.

    With more than one leg the account hedges.
    """
    trading = HEDGING if legs > 1 else TRADING
    made = terms(on, *(one for one in BOTH if one != on), trading=trading)
    oracle = OracleRun(source, made)
    tier = QUICK if seed % 16 else TUNED
    single, batch = (
        LiveRun(source, made, engine, BEGAN_NS, tier=tier, objects=KEPT) for _ in range(2)
    )
    told: list[Any] = []
    whole: list[int] = []
    for words in history(seed, count, BOTH, legs):
        oracle.feed(words)
        if single.feed(words):
            told += single.taken()
        whole += words
    batch.feed(whole)
    if seed % 4 == 0:
        _goes_on(
            source, made, engine, tier, list(history(seed, count, BOTH, legs)), single.digest()
        )
    assert exact_given(told) == exact_given(oracle.given)
    assert exact_given(batch.taken()) == exact_given(oracle.given)
    same_state(oracle, single)
    assert single.digest() == batch.digest()
    return single.trapped


def _goes_on(
    source: Any, made: Any, engine: Any, tier: str, fed: list[list[int]], digest: str
) -> None:
    """Leave a run in the middle and go on with another from its snapshot."""
    first, second = (
        LiveRun(source, made, engine, BEGAN_NS, tier=tier, objects=KEPT) for _ in range(2)
    )
    half = len(fed) // 2
    for words in fed[:half]:
        first.feed(words)
    first.emptied()
    assert second.restore(first.snapshot())
    assert second.digest() == first.digest()
    for words in fed[half:]:
        first.feed(words)
        second.feed(words)
        assert exact_given(second.taken()) == exact_given(first.taken())
    assert second.digest() == first.digest() == digest
    assert second.snapshot() == first.snapshot()


def test_a_snapshot_of_something_else_is_not_taken_up(engine: backtest.EngineFiles) -> None:
    made = terms(*BOTH)
    runs = [
        LiveRun(compiled(source), made, engine, BEGAN_NS, tier=QUICK)
        for source in (TIMED, TIMED.replace("rung += 1", "rung += 2"))
    ]
    for run in runs:
        run.feed([events.START, BEGAN_NS])
    own, image = runs[0].digest(), runs[1].snapshot()
    for foreign in (image, runs[0].snapshot()[:-8], b"", runs[0].snapshot() + b"\0"):
        assert not runs[0].restore(foreign)
        assert runs[0].digest() == own


@pytest.mark.parametrize("part", range(PARTS))
def test_generated_strategies_agree_live(part: int, engine: backtest.EngineFiles) -> None:
    for seed in range(part, PROGRAMS, PARTS):
        agree(compiled(program_source(seed)), seed, engine)


@pytest.mark.parametrize("seed", range(8))
def test_timers_bars_and_fills_agree_live(seed: int, engine: backtest.EngineFiles) -> None:
    assert agree(compiled(TIMED), seed, engine, 400, BOTH[seed % 2]) == ""


LEGS = """strategy "Legs"

var deepest = 0.0

on tick
    deepest := min(deepest, position_profit)
    plot("net", position)
    plot("average", position_price)
    plot("profit", position_profit)
    plot("profit", position_profit("GBPUSD"))
    plot("equity", equity)
    plot("today", day_profit)
    plot("free", free_margin)
    plot("floor", floor_distance("max_drawdown"))
    if position > 0
        close_position()
    else
        buy(0.1)
"""


@pytest.mark.parametrize("seed", range(8))
def test_what_a_hedging_account_holds_is_read_leg_by_leg(
    seed: int, engine: backtest.EngineFiles
) -> None:
    assert agree(compiled(LEGS), seed, engine, 400, BOTH[seed % 2], legs=3) == ""


@pytest.mark.parametrize("part", range(PARTS))
def test_generated_strategies_agree_with_the_backtest(
    part: int, engine: backtest.EngineFiles
) -> None:
    """A backtest in which nothing may be traded and a live run that nothing is told of are one."""
    owner = replace(account(PROFILE, *BOTH), offered=frozenset(("XAUUSD",)))
    made = terms(*BOTH)
    for seed in range(part, max(PROGRAMS // 15, PARTS), PARTS):
        source = compiled(program_source(seed))
        rows = [one[1:] for one in history(seed, EVENTS, BOTH) if one[0] == events.QUOTE]
        rows.sort(key=lambda row: row[0])
        batch = Run(source, owner, np.array(rows, np.int64), engine, keeps_outputs=True)
        live = LiveRun(source, made, engine, rows[0][0], tier=QUICK)
        live.feed(AccountSeen(*_money(batch), 0, 0).words())
        live.feed([events.START, rows[0][0]])
        batch.take(0)
        for number, row in enumerate(rows, 1):
            live.feed([events.QUOTE, *row])
            batch.take(number)
            if seed % 3 == 0 or number == len(rows):
                assert live.image() == batch.state.image()
                assert live.orders_placed == batch.out[abi.PLACED]
        kept = batch.finish().outputs
        live.feed([events.STOP, 0])
        assert _kept(kept) == _shown(live.taken())
        assert live.image() == batch.state.image()
        assert live.trapped == abi.TRAPS[batch.block[at.TRAP]]


def _kept(outputs: Outputs) -> dict[str, list[tuple[Any, ...]]]:
    """Return what a backtest kept by kind, doubles as text."""
    assert outputs.left_out == {}
    found: dict[str, list[tuple[Any, ...]]] = {}
    for line in outputs.lines:
        found.setdefault(line.kind, []).append((line.ns, line.text))
    for mark in outputs.markers:
        found.setdefault("marker", []).append((mark.ns, mark.name, repr(mark.price)))
    for plot in outputs.plots:
        points = zip(plot.ts_ns.tolist(), plot.values.tolist(), strict=True)
        if plot.points:
            found[f"plot {plot.name}"] = [(ns, repr(value)) for ns, value in points]
    return found


def _shown(given: list[Given]) -> dict[str, list[tuple[Any, ...]]]:
    """Return the same of what a live run gave."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    for one in given:
        for kind, text, values in one.effects.outputs:
            if kind == "plot":
                found.setdefault(f"plot {text}", []).append((one.ns, repr(values[0])))
            elif kind == "marker":
                found.setdefault(kind, []).append((one.ns, text, repr(values[0])))
            else:
                found.setdefault(kind, []).append((one.ns, line_of(text, values)))
    return found


def _money(batch: Run) -> tuple[int, ...]:
    words = (at.BALANCE, at.CARRY, at.MARK, at.START_BALANCE, at.START_EQUITY, at.REALISED,
             at.DAY_COSTS)  # fmt: skip
    return tuple(int(batch.block[word]) for word in words)


@pytest.mark.parametrize(
    ("file", "symbol", "count"), [(EURUSD, "EURUSD", 20_000), (XAUUSD, "XAUUSD", 20_000)]
)
def test_a_strategy_that_trades_agrees_with_its_backtest_over_real_ticks(
    file: str, symbol: str, count: int, engine: backtest.EngineFiles, tmp_path: Path
) -> None:
    """What the backtest filled is told as a live account tells it; all that follows is the same."""
    source, owner = program("sma_cross"), account(None, symbol)
    instruments = {one.symbol: one for one in owner.instruments}
    records = backtest.quotes({symbol: backtest.Source(ticks_file(file))}, instruments, tmp_path)
    quotes = np.array(records.words[:count], np.int64)
    batch = Run(source, owner, quotes, engine)
    live = LiveRun(source, terms(symbol), engine, int(quotes[0, at.Q_NS]))
    live.feed(_seen(batch))
    live.feed([events.START, int(quotes[0, at.Q_NS])])
    ordered, told = 0, 0
    for number, row in enumerate(quotes.tolist(), 1):
        gave = live.feed(quote_words(*row))
        ordered += sum(len(one.effects.orders) for one in live.taken())
        batch.take(number)
        if gave:
            live.feed(_seen(batch))
            for fill in batch.fills(told).tolist():
                told += 1
                live.feed(_fill(fill).words())
        assert live.orders_placed == batch.out[abi.PLACED]
    assert ordered == live.orders_placed > 300
    assert told > 300
    assert live.image() == batch.state.image()


MARGIN = """strategy "Margin"

var ticks = 0
var sum = 0.0
var far = 0

on tick
    ticks += 1
    sum := nz(sum * 0.999) + nz(free_margin)
    plot("free", free_margin)
    if ticks % 50 == 0
        flatten()
    else if ticks % 10 == 0
        buy(equity_percent=40.0)
    else if ticks % 25 == 1
        far := sell(0.3, limit=ask * 2.0)
    else if ticks % 25 == 20
        cancel(far)
"""


def test_free_margin_is_that_of_the_backtest_over_real_ticks(
    engine: backtest.EngineFiles, tmp_path: Path
) -> None:
    """Positions use margin and a limit far away reserves some: told, both see the same."""
    owner = replace(account(None, "EURUSD"), trading=TRADING)
    instruments = {one.symbol: one for one in owner.instruments}
    records = backtest.quotes(
        {"EURUSD": backtest.Source(ticks_file(EURUSD))}, instruments, tmp_path
    )
    quotes = np.array(records.words[:3_000], np.int64)
    source = compiled(MARGIN)
    batch = Run(source, owner, quotes, engine)
    live = LiveRun(source, terms("EURUSD"), engine, int(quotes[0, at.Q_NS]), tier=QUICK)
    live.feed(_seen(batch))
    live.feed([events.START, int(quotes[0, at.Q_NS])])
    free = set()
    for number, row in enumerate(quotes.tolist(), 1):
        gave = live.feed(quote_words(*row))
        free |= {output.values[0] for one in live.taken() for output in one.effects.outputs}
        batch.take(number)
        if gave:
            live.feed(_book(batch))
            live.feed(_seen(batch))
        assert live.image() == batch.state.image()
    assert live.orders_placed == batch.out[abi.PLACED] > 300
    assert len(free) > 1_000


def _book(batch: Run) -> list[int]:
    m = batch.block
    w = m[at.SYMBOLS_AT]
    orders = []
    for k in range(m[w + at.ORDERS]):
        o = m[w + at.ORDERS_AT] + k * at.ORDER_WORDS
        if m[o + at.STATE] >= at.WORKS:
            left = int(m[o + at.STEPS] - m[o + at.FILLED])
            orders.append(Resting(0, int(m[o + at.SIDE]), left, int(m[o + at.LIMIT])))
    return orders_words(orders)


def _seen(batch: Run) -> list[int]:
    w = batch.block[at.SYMBOLS_AT]
    size, cost = int(batch.block[w + at.SIZE]), int(batch.block[w + at.COST])
    held = (Held(0, size, cost),) if size else ()
    working = int(batch.block[at.WORKING])
    return AccountSeen(*_money(batch), 0, working, held).words()


def _fill(row: list[int]) -> FillSeen:
    return FillSeen(
        row[at.F_OWNER], row[at.F_SIDE], row[at.F_STEPS], row[at.F_TICKS],
        row[at.F_PROFIT] - row[at.F_FEE], row[at.F_LEFT], row[at.F_SYMBOL],
    )  # fmt: skip
