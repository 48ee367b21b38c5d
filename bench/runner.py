"""`make bench-runner`: what one live event takes through the runner, our own time.

An event is taken as the runner takes it: its words are copied into the run's intake, the compiled
loop takes them, closes bars, rings timers and runs the handlers, and what the strategy gave is
taken out as the bytes that go to whoever sends orders.
`own` is that in this process; `sandboxed` is the same in the child behind its walls with both pipes
and the two changes of process in it. `batch` is many events at once, as a replay feeds them.
"""

import argparse
import asyncio
import gc
import json
import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from bench.machine import machine
from bench.world import ROOT
from quantlab.live import events
from quantlab.live.events import AccountSeen, Held
from quantlab.live.running import INTAKE_WORDS, LiveRun
from quantlab.live.terms import LiveTerms
from quantlab.market.catalog import parse_catalog
from quantlab.qls.compiler import compile_source
from quantlab.qls.limits import COST_PER_EVENT_MAX
from quantlab_adapters.strategy_sandbox.child import ChildSandbox, SandboxSettings
from quantlab_app.ports.live_strategies import Program
from quantlab_edge import backtest

OUT = ROOT / "bench" / "out"
FOLDER = Path(
    os.environ.get("QUANTLAB_NATIVE_FOLDER") or Path.home() / ".cache" / "quantlab" / "native"
)
TARGET_US = 5.0
BEGAN_NS = 1_704_067_200_000_000_000
BARS = """strategy "Bars"

on bar(1m)
    [middle, upper, lower] = bb(close, 20, 2.0)
    trend = ema(close(5m), 50)
    plot("middle", middle)
    if position == 0 and close < lower and close > trend
        buy(0.1, sl=close - 2 * atr(14), tp=middle)

on tick
    spread_mean = ema(ask - bid, 100)
"""


def walk(count: int) -> Any:
    """Return quotes of a random walk, some three a second, as rows of words."""
    rng = np.random.default_rng(5)
    rows = np.zeros((count, events.QUOTE_WORDS), np.int64)
    rows[:, 0] = events.QUOTE
    rows[:, 1] = BEGAN_NS + np.cumsum(rng.integers(1, 700_000_000, count))
    rows[:, 2] = 110_000 + np.cumsum(rng.integers(-3, 4, count))
    rows[:, 3] = rows[:, 2] + rng.integers(1, 4, count)
    return rows


def terms() -> LiveTerms:
    document = json.loads((ROOT / "agent" / "configs" / "instruments.json").read_text("utf-8"))
    instrument = parse_catalog(document).instruments["EURUSD"]
    return LiveTerms("EURUSD", "USD", 2, 10_000_000, 0, (), (instrument,), {})


def seen(size: int, price: int) -> memoryview:
    held = (Held(0, size, size * price),) if size else ()
    words = AccountSeen(10_000_000, 0, 10_000_000, 10_000_000, 10_000_000, 0, 0, 0, 0, held).words()
    return memoryview(events.as_bytes(words)).cast("q")


def own(run: LiveRun, rows: Any) -> dict[str, Any]:
    """Feed quotes one by one; each order is answered by the account with its position."""
    took = np.zeros(len(rows), np.int64)
    clock, intake = time.perf_counter_ns, run.intake
    orders, size = 0, 0
    flat = memoryview(np.ascontiguousarray(rows).reshape(-1)).cast("B").cast("q")
    width = events.QUOTE_WORDS
    for number in range(len(rows)):
        words = flat[number * width : (number + 1) * width]
        start = clock()
        intake[:width] = words
        given = run.emptied() if run.take(width) else b""
        took[number] = clock() - start
        placed = sum(len(one.effects.orders) for one in run.read(given)) if given else 0
        if placed:
            orders += placed
            size = 100_000 - size
            account = seen(size, words[3])
            intake[: len(account)] = account
            run.take(len(account))
    return {**spread(took), "orders": orders}


def spread(took: Any) -> dict[str, float]:
    points = {"p50": 50, "p90": 90, "p99": 99, "p99.9": 99.9}
    found = {f"{name}_us": round(float(np.percentile(took, at)) / 1e3, 3)
             for name, at in points.items()}  # fmt: skip
    return {**found, "mean_us": round(float(took.mean()) / 1e3, 3)}


def batch(run: LiveRun, rows: Any) -> dict[str, Any]:
    """Feed quotes as many at once as the intake holds, and drop what is given."""
    flat = memoryview(np.ascontiguousarray(rows).reshape(-1)).cast("B").cast("q")
    step = INTAKE_WORDS // events.QUOTE_WORDS // 32 * events.QUOTE_WORDS
    start = time.perf_counter_ns()
    for begin in range(0, len(flat), step):
        words = flat[begin : begin + step]
        run.intake[: len(words)] = words
        if run.take(len(words)):
            run.emptied()
    took = time.perf_counter_ns() - start
    return {"events_per_s": round(len(rows) * 1e9 / took)}


async def sandboxed(source: str, rows: Any) -> dict[str, Any]:
    """Feed a child one event after the other; walls that this kernel lacks are left out."""
    sandbox = ChildSandbox(
        SandboxSettings(
            command=(sys.executable, "-I", "-m", "quantlab_server.sandbox.live_child"),
            native=FOLDER,
            may_lack=("landlock", "seccomp"),
        )
    )
    wanted = Program(
        source=source, inputs={}, terms=terms().document(), began_ns=BEGAN_NS,
        fuel_per_event=COST_PER_EVENT_MAX, memory_bytes=1 << 30,
    )  # fmt: skip
    program = await sandbox.open(wanted)
    took, orders = np.zeros(len(rows), np.int64), 0
    try:
        await program.feed(bytes(seen(0, 0)), hashed=False)
        for number, row in enumerate(rows):
            words = row.tobytes()
            start = time.perf_counter_ns()
            answer = await program.feed(words, hashed=False)
            took[number] = time.perf_counter_ns() - start
            orders = answer.orders
    finally:
        await program.close()
    return {**spread(took), "orders": orders}


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.runner", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    arguments = parser.parse_args()
    engine = backtest.engine(FOLDER, print)
    rows = walk(arguments.events)
    cases: dict[str, Any] = {}
    sources = {
        "sma cross": (ROOT / "examples" / "sma_cross.qls").read_text("utf-8"),
        "bars": BARS,
    }
    gc.collect()
    gc.freeze()
    for name, source in sources.items():
        program = compile_source(source).program
        if program is None:
            raise SystemExit(f"{name} does not compile")
        run = LiveRun(program, terms(), engine, BEGAN_NS)
        run.feed(seen(0, 0).tolist())
        run.feed([events.START, BEGAN_NS])
        cases[f"own, {name}"] = own(run, rows)
        again = LiveRun(program, terms(), engine, BEGAN_NS)
        again.feed([events.START, BEGAN_NS])
        cases[f"batch, {name}"] = batch(again, rows[: min(len(rows), 200_000)])
    few = rows[: min(len(rows), 20_000)]
    cases["sandboxed, bars"] = asyncio.run(sandboxed(BARS, few))
    report = {
        "machine": machine(),
        "versions": {"python": platform.python_version(), "llvmlite": version("llvmlite")},
        "events": arguments.events,
        "cases": cases,
    }
    show(report)
    OUT.mkdir(exist_ok=True)
    (OUT / "runner.json").write_text(json.dumps(report, indent=2), "utf-8")
    owns = [case for name, case in cases.items() if name.startswith("own")]
    return 0 if all(case["p99_us"] <= TARGET_US for case in owns) else 1


def show(report: dict[str, Any]) -> None:
    place, versions = report["machine"], report["versions"]
    print(f"{place['cpu']}, {place['kernel']}, load {place['load_before']:.1f};"
          f" Python {versions['python']}, llvmlite {versions['llvmlite']};"
          f" {report['events']} events; target p99 <= {TARGET_US} us")  # fmt: skip
    for name, case in report["cases"].items():
        print(f"  {name:28}", "  ".join(f"{key} {value}" for key, value in case.items()))


if __name__ == "__main__":
    sys.exit(main())
