"""Machine code does what the interpreter does, bit for bit.

QUANTLAB_QLS_PROGRAMS sets how many generated programs of each kind are driven.
"""

import contextlib
import csv
import gzip
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random

import pytest
from tests.support import market_data
from tests.support.qls_bars import BarHost, compiled
from tests.support.qls_ir import READS, random_program, random_value
from tests.support.qls_programs import RandomHost, events_of, program_source
from tests.support.qls_twins import Twins, exact_effects

from quantlab.qls import limits
from quantlab.qls.interpreter import is_for
from quantlab.qls.ir import Read
from quantlab.qls.library import LIBRARY, function_of, is_public
from quantlab.qls.native.machine import QUICK, TUNED
from quantlab.qls.native.strategy import NativeProgram, NativeStrategy
from quantlab.qls.semantics import Trap
from quantlab.qls.tree import Tuple

PROGRAMS = int(os.environ.get("QUANTLAB_QLS_PROGRAMS", "300"))
PARTS = 10
EXAMPLES = Path(__file__).parents[2] / "examples"
EURUSD = "eurusd_oanda_20140501_20140509_quotes.csv.gz"
ARGUMENTS = {"float": "close", "length": "5", "bool": "close > open", "int": "1"}


def _tier(seed: int) -> str:
    return QUICK if seed % 4 else TUNED


@pytest.mark.parametrize("part", range(PARTS))
def test_generated_strategies_agree(part: int) -> None:
    for seed in range(part, PROGRAMS, PARTS):
        program = compiled(program_source(seed))
        twins, host = Twins(program, tier=_tier(seed)), RandomHost(seed)
        for kind, symbol, stream in events_of(program, seed, 20):
            host.event += 1
            if twins.run(kind, host.read, symbol=symbol, stream=stream):
                break


@pytest.mark.parametrize("part", range(PARTS))
def test_generated_instructions_agree(part: int) -> None:
    for seed in range(part, PROGRAMS, PARTS):
        rng = Random(seed)
        fuel = rng.choice((limits.COST_PER_EVENT_MAX, rng.randrange(120)))
        twins = Twins(random_program(rng), fuel=fuel, tier=_tier(seed))
        for _ in range(6):
            values = {read: random_value(rng, read) for read in READS}
            if twins.run("tick", values.__getitem__):
                break


def test_the_generated_programs_reach_all_traps() -> None:
    seen = set()
    for seed in range(200):
        program = random_program(Random(seed))
        strategy = NativeStrategy(NativeProgram(program), fuel_per_event=(20, 2_000)[seed % 2])
        with contextlib.suppress(Trap):
            strategy.run("tick", RandomHost(seed))
        seen.add(strategy.trapped)
    assert seen >= {"fuel", "int_overflow", "division_by_zero", "loop_limit", "order_limit"}


@pytest.mark.parametrize("seed", range(0, PROGRAMS, 20))
def test_the_live_path_agrees(seed: int) -> None:
    program = compiled(program_source(seed))
    native = NativeProgram(program)
    plain, live, host = NativeStrategy(native), NativeStrategy(native), RandomHost(seed)
    steps = {}
    for kind, symbol, stream in events_of(program, seed, 20):
        host.event += 1
        key = (kind, symbol, stream)
        handlers = tuple(
            handler
            for handler in program.handlers
            if handler.kind == kind and is_for(handler, symbol, stream)
        )
        if key not in steps:
            steps[key] = live.event(handlers)
        for handler in handlers:
            for _, number in handler.reads:
                live.put(number, host.read(program.reads[number]))
        effects = None
        with contextlib.suppress(Trap):
            effects = plain.run(kind, host, symbol=symbol, stream=stream)
        if effects is None:
            assert steps[key]() < 0
            assert steps[key]() < 0  # it stays stopped
            assert (live.trapped, live.image()) == (plain.trapped, plain.image())
            return
        assert steps[key]() == len(effects.orders)
        assert exact_effects(live.effects()) == exact_effects(effects)
        assert (live.image(), live.fuel_used) == (plain.image(), plain.fuel_used)


@cache
def _ticks(count: int) -> list[tuple[int, float, float]]:
    path = market_data.ticks_file(EURUSD)
    with gzip.open(path, "rt", encoding="ascii", newline="") as file:
        rows = csv.reader(file)
        next(rows)
        return [
            (int(at) * 1_000_000, float(bid), float(ask))
            for _, (at, bid, ask) in zip(range(count), rows, strict=False)
        ]


@cache
def _bars() -> dict[str, list[float]]:
    """Return bars of 50 quotes each; the number of changes is their volume."""
    bars: dict[str, list[float]] = {key: [] for key in ("open", "high", "low", "close", "volume")}
    ticks = _ticks(20_000)
    for first in range(0, len(ticks), 50):
        bids = [bid for _, bid, _ in ticks[first : first + 50]]
        bars["open"].append(bids[0])
        bars["high"].append(max(bids))
        bars["low"].append(min(bids))
        bars["close"].append(bids[-1])
        bars["volume"].append(float(len(set(bids))))
    return bars


def _calls() -> Iterator[str]:
    """Yield a line that plots each result of each function of the library."""
    for number, name in enumerate(name for name in LIBRARY if is_public(name)):
        function = function_of(name)
        arguments = ", ".join(ARGUMENTS[param.kind] for param in function.params)
        returned = function.body[-1].value  # type: ignore[union-attr]
        count = len(returned.items) if isinstance(returned, Tuple) else 1
        names = [f"v{number}_{place}" for place in range(count)]
        target = f"[{', '.join(names)}]" if count > 1 else names[0]
        call = f"{name}({arguments})" if arguments else name
        shown = "".join(f'    log("{name} {{}}", {one})\n' for one in names)
        yield f"    {target} = {call}\n{shown}"


CALLS = tuple(_calls())


@pytest.mark.parametrize("part", range(PARTS))
def test_every_function_of_the_library_agrees_over_real_quotes(part: int) -> None:
    twins = Twins(compiled("on bar(1m)\n" + "".join(CALLS[part::PARTS])), tier=_tier(part))
    host = BarHost(_bars())
    rows = len(_bars()["close"])
    for row in range(rows):
        host.row, host.time_ns = row, _ticks(20_000)[row * 50][0]
        trap = twins.run("bar", host.read, stream=0, image=row % 50 == 0 or row == rows - 1)
        assert not trap


@pytest.mark.parametrize("name", ["sma_cross", "quote"])
def test_examples_agree_over_real_quotes(name: str) -> None:
    twins = Twins(compiled((EXAMPLES / f"{name}.qls").read_text(encoding="utf-8")))
    size = [0.0]
    orders = 0
    for row, (at, bid, ask) in enumerate(_ticks(5_000)):

        def values(read: Read, at: int = at, bid: float = bid, ask: float = ask) -> float | int:
            known = {"bid": bid, "ask": ask, "time": at, "size": size[0]}
            return known.get(read.field, 0 if read.type == "i" else 1.0)

        assert not twins.run("tick", values, image=row % 500 == 0)
        placed = twins.native.orders_placed
        size[0] = 1.0 - size[0] if placed > orders else size[0]
        orders = placed
    assert orders > 10
