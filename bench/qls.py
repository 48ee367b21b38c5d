"""`make bench-qls`: how long a strategy takes to compile, and what one live event takes.

Everything is timed in one process that has compiled before (warm). A live event is: write what the
strategy reads, call its handlers, look whether it placed orders. The interpreter does the same
events for the ratio, and a strategy in its sandboxed child too. `cpu_min` is the least CPU time of
a run, which says more than the clock where others use the machine; `loop_ms` is a million turns of
an empty Python loop: how fast this machine was at that moment.
"""

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from bench.machine import machine
from bench.qls_sources import source
from bench.world import ROOT
from quantlab.qls import ir
from quantlab.qls.compiler import compile_source
from quantlab.qls.interpreter import Interpreter
from quantlab.qls.native.lower import lower
from quantlab.qls.native.machine import QUICK, TUNED
from quantlab.qls.native.strategy import NativeProgram, NativeStrategy
from quantlab_server.sandbox.strategy import SandboxedStrategy

OUT = ROOT / "bench" / "out"
EXAMPLE = ROOT / "examples" / "sma_cross.qls"
LINES = (100, 1_000)
TARGETS_MS = {100: 15.0, 1_000: 300.0}
TARGET_EVENT_US = 5.0


class _Kept:
    """Object code kept in memory: what a cache saves, without the disk."""

    def __init__(self) -> None:
        self.code: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        return self.code.get(key)

    def put(self, key: str, code: bytes) -> None:
        self.code[key] = code


class _Walk:
    """A price that wanders; the position follows the strategy's orders."""

    def __init__(self) -> None:
        self.step = 0
        self.price = 1.1
        self.size = 0.0

    def next(self) -> None:
        self.step += 1
        self.price += 1e-5 * (((self.step * 7919) % 23) - 11)

    def read(self, read: ir.Read) -> float | int:
        if read.scope == "position":
            return self.size
        return self.price + (1e-4 if read.field == "ask" else 0.0)


def _spread(took: list[float]) -> dict[str, float]:
    took = sorted(took)
    return {
        "median": round(statistics.median(took), 3),
        "min": round(took[0], 3),
        "p10": round(took[len(took) // 10], 3),
        "p99": round(took[len(took) * 99 // 100], 3),
    }


def _timed(work: Callable[[], Any], runs: int) -> dict[str, float]:
    work()
    took, cpu = [], []
    for _ in range(runs):
        start, start_cpu = time.perf_counter_ns(), time.process_time_ns()
        work()
        took.append((time.perf_counter_ns() - start) / 1e6)
        cpu.append((time.process_time_ns() - start_cpu) / 1e6)
    return {**_spread(took), "cpu_min": round(min(cpu), 3)}


def _compiling(lines: int, runs: int) -> dict[str, Any]:
    text = source(lines)
    program = compile_source(text).program
    if program is None:
        raise SystemExit(f"the source of {lines} lines does not compile")
    kept = _Kept()
    NativeProgram(program, objects=kept)

    def whole() -> None:
        NativeProgram(compile_source(text).program or program)

    return {
        "lines": text.count("\n"),
        "instructions": program.instructions,
        "whole_ms": _timed(whole, runs),
        "front_ms": _timed(lambda: compile_source(text), runs),
        "lower_ms": _timed(lambda: lower(program), runs),
        "native_ms": _timed(lambda: NativeProgram(program, tier=QUICK), runs),
        "native_cached_ms": _timed(lambda: NativeProgram(program, objects=kept), runs),
        "native_tuned_ms": _timed(lambda: NativeProgram(program, tier=TUNED), max(3, runs // 4)),
    }


def _live(program: ir.Program, tier: str, count: int) -> dict[str, Any]:
    strategy, walk = NativeStrategy(NativeProgram(program, tier=tier)), _Walk()
    step = strategy.event(program.handlers)
    floats = strategy.buffers.read_floats
    took, orders = [], 0
    for _ in range(count):
        walk.next()
        values = [float(walk.read(read)) for read in program.reads]
        start = time.perf_counter_ns()
        for number, value in enumerate(values):
            floats[number] = value
        placed = step()
        took.append((time.perf_counter_ns() - start) / 1e3)
        if placed:
            orders += placed
            walk.size = 1.0 - walk.size
    return {"event_us": _spread(took), "orders": orders}


def _driven(strategy: Any, count: int) -> dict[str, Any]:
    walk, took = _Walk(), []
    for _ in range(count):
        walk.next()
        start = time.perf_counter_ns()
        effects = strategy.run("tick", walk)
        took.append((time.perf_counter_ns() - start) / 1e3)
        if effects.orders:
            walk.size = 1.0 - walk.size
    return {"event_us": _spread(took), "orders": strategy.orders_placed}


def _empty_loop() -> None:
    for _ in range(1_000_000):
        pass


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.qls", description=__doc__)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--events", type=int, default=200_000)
    arguments = parser.parse_args()
    report: dict[str, Any] = {
        "machine": machine(),
        "versions": {"python": platform.python_version(), "llvmlite": version("llvmlite")},
        "loop_ms": _timed(_empty_loop, 10),
        "compile": [_compiling(lines, arguments.runs) for lines in LINES],
    }
    for case in report["compile"]:
        print(json.dumps(case), flush=True)
    text = EXAMPLE.read_text("utf-8")
    program = compile_source(text).program
    if program is None:
        raise SystemExit(f"{EXAMPLE} does not compile")
    live = {tier: _live(program, tier, arguments.events) for tier in (QUICK, TUNED)}
    slow = arguments.events // 50
    live["interpreter"] = _driven(Interpreter(program), slow)
    with SandboxedStrategy(text) as sandboxed:
        live["sandboxed"] = _driven(sandboxed, slow)
    report["live"] = live
    for name, case in live.items():
        print(json.dumps({"live": name, **case}), flush=True)
    OUT.mkdir(exist_ok=True)
    (OUT / "qls.json").write_text(json.dumps(report, indent=2), "utf-8")
    met = [
        case["whole_ms"]["median"] <= TARGETS_MS[lines]
        for lines, case in zip(LINES, report["compile"], strict=True)
    ]
    return 0 if all(met) and live[QUICK]["event_us"]["p99"] <= TARGET_EVENT_US else 1


if __name__ == "__main__":
    sys.exit(main())
