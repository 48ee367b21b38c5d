"""What is measured: 200 a second several times, 1,000 a second for long, the highest rate."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

from bench.checks import after_run
from bench.machine import Clock, busy_elsewhere, cpu_seconds, spent
from bench.world import HOST, ROOT, SYMBOLS, World

P99_MS_MAX: Final = 100.0
SHARE_REACHED_MIN: Final = 0.97
DRAIN_S_MAX: Final = 0.5
QUOTE_WAIT_S: Final = 10.0
_runs: Final = count(1)


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything."""

    repetitions: int = 3
    steady_rate: float = 200
    steady_s: float = 20
    sustained_rate: float = 1000
    sustained_s: float = 60
    upper: float = 3000
    step_s: float = 4
    confirm_s: float = 10


QUICK: Final = Plan(repetitions=1, steady_s=5, sustained_s=5, upper=2000, step_s=2, confirm_s=3)


def tradable(world: World) -> list[str]:
    """Name the symbols whose market is open now: a closed one would refuse, not execute."""
    found = []
    for symbol in SYMBOLS:
        _await_quote(world, symbol)
        answer = _load(world, [symbol], 10, 0.2)
        if answer["rejected"] == 0 and answer["events_lost"] == 0:
            found.append(symbol)
    if not found:
        sys.exit("no symbol of the bench can be traded now")
    return found


def _await_quote(world: World, symbol: str) -> None:
    tenant = world.tenants[0]
    request = urllib.request.Request(
        f"http://{HOST}:{world.port}/tenants/{tenant['tenantId']}/market/{symbol}/quote",
        headers={"X-Api-Key": tenant["apiKey"]},
    )
    deadline = time.monotonic() + QUOTE_WAIT_S
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(request, timeout=5):  # noqa: S310 - loopback
                return
        except urllib.error.HTTPError:
            time.sleep(0.1)


def measured(world: World, symbols: list[str], rate: float, seconds: float) -> dict[str, Any]:
    """Run the load once, with the cost of every process and what must hold afterwards."""
    clock, before = Clock.read(), cpu_seconds(world.processes)
    answer = _load(world, symbols, rate, seconds)
    used = spent(before, cpu_seconds(world.processes))
    all_s = sum(used.values())
    return {
        **answer,
        "cpu_s": used,
        "cpu_ms_per_signal": round(1e3 * all_s / max(1, answer["sent"]), 3),
        "busy_elsewhere": busy_elsewhere(
            clock, all_s + 1e-6 * answer["client_us"] * answer["sent"]
        ),
        "after": after_run(world),
    }


def find_highest(world: World, symbols: list[str], plan: Plan) -> tuple[int, list[dict[str, Any]]]:
    """Search the highest rate with p99 below 100 ms: bisect with short runs, confirm with a long.

    The same search as the reference's own.
    """
    tried: list[dict[str, Any]] = []

    def holds(rate: float, seconds: float) -> bool:
        answer = measured(world, symbols, round(rate), seconds)
        tried.append(answer)
        return _keeps_up(answer)

    low, high = 0.0, plan.upper
    while high - low > 0.08 * high:
        middle = (low + high) / 2 if low else high * 0.6
        if holds(middle, plan.step_s):
            low = middle
        else:
            high = middle
    for factor in (1, 0.93, 0.86, 0.8, 0.7):
        if holds(low * factor, plan.confirm_s):
            return round(low * factor), tried
    return 0, tried


def _keeps_up(answer: dict[str, Any]) -> bool:
    slowest = max(answer["accept_ms"]["p99"] or 1e9, answer["event_ms"]["p99"] or 1e9)
    return bool(
        slowest < P99_MS_MAX
        and answer["rate_reached"] > SHARE_REACHED_MIN * answer["rate"]
        and answer["drain_s"] < DRAIN_S_MAX
    )


def _load(world: World, symbols: list[str], rate: float, seconds: float) -> dict[str, Any]:
    order = {
        "url": f"http://{HOST}:{world.port}",
        "ws_url": f"ws://{HOST}:{world.port}/ws",
        "rate": rate,
        "seconds": seconds,
        "run": f"run-{next(_runs)}",
        "symbols": symbols,
        "tenants": [{key: one[key] for key in ("apiKey", "accounts")} for one in world.tenants],
        "bots": world.bots,
        # As the reference sends its events: several in a frame.
        "batched": True,
    }
    done = subprocess.run(
        (sys.executable, "-m", "bench.pipeline"),
        cwd=ROOT,
        input=json.dumps(order),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found
