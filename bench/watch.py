"""`make bench-watch`: judging one tick against all who hold its symbol, as account_watch does.

In memory, in one process: a watch with many holders of one symbol gets quote after quote. Timed is
Watch.on_quote as a whole, Python around the compiled pass included. The plain watch is measured on
fewer holders, for the ratio.
"""

import argparse
import json
import random
import statistics
import sys
import time
from typing import Any

from bench.machine import machine
from bench.world import NATIVE, ROOT
from quantlab.engine.native.watch import ArrayWatch
from quantlab.engine.watch import Watch
from quantlab.ledger.state import Account, Position
from quantlab.market.catalog import parse_catalog
from quantlab.market.quote import Quote
from quantlab.rules.day import open_day
from quantlab.rules.profile import parse_profile
from quantlab_edge.native import compiled_kernels

OUT = ROOT / "bench" / "out"
NOW = 1_773_140_400_000_000_000
BALANCE = 10_000_000
PRICE = 110_000
SEED = 7
TARGET_MS = 1.0


def _profile(basis: str | None) -> Any:
    mode = {"mode": "static"} if basis is None else {"mode": "trailing", "basis": basis}
    loss = {"percent": "5", "of": "initial"}
    daily = {"anchor": "balance", "loss": loss, "comparator": "lt"}
    total = {**mode, "loss": {"percent": "10", "of": "initial"}, "comparator": "lt"}
    document = {
        "format": 1,
        "name": "bench",
        "day": {"reset": "00:00", "timeZone": "UTC"},
        "rules": [
            {"rule": "daily_loss", "severity": "hard", "parameters": daily},
            {"rule": "max_drawdown", "severity": "hard", "parameters": total},
        ],
    }
    return parse_profile(document, currency_digits=2, initial_balance_minor=BALANCE)


def _account(number: int, currency: str, profile: Any, rng: random.Random) -> Account:
    size = rng.choice((-1, 1)) * rng.randint(1, 40)
    cost = size * (PRICE + rng.randint(-50, 50))
    held = Position("EURUSD", size, cost, None, None, NOW, 1)
    return Account(
        account_id=f"account-{number}", tenant_id="tenant", status="active", status_reason=None,
        currency=currency, currency_digits=2, account_type="bench", config_version="1",
        initial_balance_minor=BALANCE, balance_minor=BALANCE, carry_micro=0,
        high_water_minor=BALANCE, event_seq=1, day=open_day(profile, BALANCE, BALANCE, NOW),
        closed_days=(), raised=(), positions={held.symbol: held},
    )  # fmt: skip


def _ticks(watch: Watch, count: int, rng: random.Random) -> dict[str, float]:
    """A walk that stays away from every floor: the pass itself, no hits."""
    took, price = [], PRICE
    for seq in range(2, count + 2):
        price += rng.randint(-3, 3)
        quote = Quote("EURUSD", price, price + 8, NOW + seq, seq)
        start = time.perf_counter_ns()
        watch.on_quote(quote, NOW + seq, NOW + seq)
        took.append((time.perf_counter_ns() - start) / 1e6)
    took.sort()
    return {
        "median_ms": round(statistics.median(took), 4),
        "p10_ms": round(took[len(took) // 10], 4),
        "p99_ms": round(took[len(took) * 99 // 100], 4),
    }


def _case(watch: Watch, holders: int, ticks: int, basis: str | None, currency: str) -> Any:
    rng = random.Random(SEED)
    profile = _profile(basis)
    watch.set_quotes([Quote("EURUSD", PRICE, PRICE + 8, NOW, 1)])
    start = time.perf_counter()
    for number in range(holders):
        watch.put(_account(number, currency, profile, rng), profile, NOW, NOW)
    put_us = (time.perf_counter() - start) / holders * 1e6
    return {
        "watch": type(watch).__name__, "holders": holders, "drawdown": basis or "static",
        "currency": currency, "put_us": round(put_us, 1), **_ticks(watch, ticks, rng),
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.watch", description=__doc__)
    parser.add_argument("--holders", type=int, default=100_000)
    arguments = parser.parse_args()
    catalogue = (ROOT / "agent" / "configs" / "instruments.json").read_text("utf-8")
    catalog = parse_catalog(json.loads(catalogue))
    kernels = compiled_kernels(NATIVE)
    cases = []
    for basis, currency in ((None, "USD"), ("equity", "USD"), (None, "EUR")):
        watch = ArrayWatch(catalog, kernels)
        cases.append(_case(watch, arguments.holders, 300, basis, currency))
        print(json.dumps(cases[-1]), flush=True)
    cases.append(_case(Watch(catalog), arguments.holders // 100, 30, None, "USD"))
    print(json.dumps(cases[-1]), flush=True)
    OUT.mkdir(exist_ok=True)
    report = {"machine": machine(), "cases": cases}
    (OUT / "watch.json").write_text(json.dumps(report, indent=2), "utf-8")
    return 0 if cases[0]["median_ms"] <= TARGET_MS else 1


if __name__ == "__main__":
    sys.exit(main())
