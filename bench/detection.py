"""`make bench-detection`: from the tick that breaks a floor to the disabled account, under load.

The whole group runs on a replayed file of 2,000 ticks a second of one symbol, which 10,000 accounts
hold. Prices fall slowly, so that one account after another meets its floor. Afterwards the tick log
says which tick was the first under each floor; the account's own events must name that tick. The
drawdown trails equity: every second thousands of accounts reach new peaks beside it.
"""

import argparse
import asyncio
import json
import random
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import psycopg
from psycopg.rows import dict_row

from bench import world
from bench.columns import ACCOUNT, COPIED, HELD
from bench.machine import durability, machine
from bench.world import HOST, ROOT, World
from quantlab_edge.compose import build
from quantlab_edge.settings import Settings

OUT = ROOT / "bench" / "out"
SYMBOL, PRICE, SPREAD = "EURUSD", 110_000, 8
SEED = 7
TICKS_A_SECOND = 2_000
START_MS = 1_398_902_400_000
# The watch reads every account again within ten seconds.
SETTLE_S = 45
# Ten lots, ten dollars a tick; floors lie APART ticks from each other, the first under the start.
STEPS, DOLLARS_A_TICK, FIRST, APART = 1_000, 10, 60, 10
# `demo-open` allows a daily loss of 90 % of the 100,000 dollars an account begins with.
FLOOR_MINOR = 1_000_000

_LIKE = "select account_id from quantlab.account where tenant_id = %s order by account_id limit 1"
_ACCOUNTS = f"""
insert into quantlab.account ({ACCOUNT})
select {COPIED},
  initial_balance_minor, 0, high_water_minor,
  0, day_date, day_started_ns, day_next_reset_ns, day_start_balance_minor,
  day_start_equity_minor
from quantlab.account, generate_series(1, %(count)s) g where account_id = %(like)s
returning account_id::text
"""  # noqa: S608 - constants only
_POSITION = """
insert into quantlab.position (tenant_id, account_id, symbol, size_steps, cost, opened_at_ns,
  opened_seq) values (%s, %s, %s, %s, %s, 0, 1)
"""
_BALANCE = "update quantlab.account set balance_minor = %s where account_id = %s"
_FOUND = """
select v.account_id::text, v.event_seq, v.verdict, e.payload, e.occurred_ns, a.status,
  (select count(*) from quantlab.position p where p.account_id = v.account_id) as positions,
  (select max(occurred_ns) from quantlab.event d where d.stream_id = v.account_id) as last_ns
from quantlab.violation v
join quantlab.event e on e.stream_id = v.account_id and e.seq = v.event_seq
join quantlab.account a using (account_id)
"""
_FIRST_UNDER = """
select seq, ts_ns from quantlab.tick where symbol = %s and bid_ticks < %s
order by ts_ns, seq limit 1
"""
_RATE = """
select count(*) / greatest(1e-9, (max(ts_ns) - min(ts_ns)) / 1e9)
from quantlab.tick where symbol = %s
"""


def _write_ticks(path: Path, seconds: int, victims: int) -> None:
    """Hold the price while accounts are made, then let it fall past every floor."""
    rng, lines = random.Random(SEED), ["ts_ms,bid,ask"]
    falling = seconds - SETTLE_S
    depth = FIRST + victims * APART + 20
    for number in range(seconds * TICKS_A_SECOND):
        fallen = max(0.0, number / TICKS_A_SECOND - SETTLE_S) / falling * depth
        bid = PRICE - int(fallen) + rng.choice((-1, 0, 1)) + number % 2 * 3
        ts_ms = START_MS + number * 1000 // TICKS_A_SECOND
        lines.append(f"{ts_ms},{bid / 1e5:.5f},{(bid + SPREAD) / 1e5:.5f}")
    path.write_text("\n".join(lines), "ascii")


def _make_holders(running: World, count: int, victims: int) -> dict[str, int]:
    """Give accounts positions; return under which bid each of the victims breaks its floor."""
    rng, under = random.Random(SEED), dict[str, int]()
    tenant_id = running.tenants[0]["tenantId"]
    with psycopg.connect(running.superuser_dsn) as connection:
        row = connection.execute(_LIKE, (tenant_id,)).fetchone()
        values = {"count": count, "like": row[0] if row else None}
        made = [one[0] for one in connection.execute(_ACCOUNTS, values).fetchall()]
        rows = []
        for number, account_id in enumerate(made):
            size = STEPS if number < victims else rng.choice((-1, 1)) * rng.randint(1, 40)
            rows.append((tenant_id, account_id, SYMBOL, size, size * PRICE))
            if number < victims:
                ticks = FIRST + number * APART
                balance_minor = FLOOR_MINOR + ticks * DOLLARS_A_TICK * 100
                connection.execute(_BALANCE, (balance_minor, account_id))
                under[account_id] = PRICE - ticks
        with connection.cursor() as cursor:
            cursor.executemany(_POSITION, rows)
        connection.execute(HELD)
    return under


def _findings(running: World, under: dict[str, int], offset_ns: int) -> dict[str, Any]:
    late, milliseconds, whole, wrong = [], [], [], []
    with psycopg.connect(running.superuser_dsn, row_factory=dict_row) as connection:
        found = connection.execute(_FOUND).fetchall()
        for row in found:
            if row["account_id"] not in under:
                wrong.append(row["account_id"])
                continue
            values = (SYMBOL, under[row["account_id"]])
            first = connection.execute(_FIRST_UNDER, values).fetchone()
            if first is None:
                wrong.append(row["account_id"])
                continue
            late.append(int(_seq_named(row)) - first["seq"])
            tick_ns = first["ts_ns"] + offset_ns
            milliseconds.append((row["occurred_ns"] - tick_ns) / 1e6)
            whole.append((row["last_ns"] - tick_ns) / 1e6)
        rate = connection.execute(_RATE, (SYMBOL,)).fetchone()
    ended = sum(row["status"] == "disabled" and not row["positions"] for row in found)
    return {
        "expected": len(under),
        "violations": len(found),
        "ended_flat_and_disabled": ended,
        "of_other_accounts": wrong,
        "ticks_late": {"most": max(late, default=None), "least": min(late, default=None)},
        "violation_event_ms": _spread(milliseconds),
        "last_event_ms": _spread(whole),
        "ticks_a_second": round(float(next(iter(rate.values())))) if rate else 0,
    }


def _seq_named(row: dict[str, Any]) -> int:
    """Return the number of the quote that the violation was judged on."""
    quotes = row["payload"].get("quotes") or row["verdict"].get("quotes")
    return max(int(quote["seq"]) for quote in quotes)


def _spread(values: list[float]) -> dict[str, float]:
    values = sorted(values)
    if not values:
        return {}
    return {
        "p50": round(statistics.median(values), 1),
        "p99": round(values[len(values) * 99 // 100], 1),
        "max": round(values[-1], 1),
    }


async def _offset_ns(running: World) -> int:
    """Return how far the wall is from the feed's clock, which runs at its pace."""
    settings = Settings(
        database_url=running.app_dsn, redis_url=running.redis_url, state=running.state
    )
    ports = await build(settings)
    try:
        clock = await ports.quotes.feed_clock()
        if clock is None:
            raise SystemExit("the feed has no clock")
        return clock.wall_ts_ns - clock.feed_ts_ns
    finally:
        await ports.close()


def _metric(running: World) -> list[str]:
    """Return what the platform itself says of it."""
    answer = httpx.get(f"http://{HOST}:{running.port}/metrics", timeout=10)
    return [
        line
        for line in answer.text.splitlines()
        if line.startswith(("quantlab_detection_seconds", "quantlab_watched"))
    ]


def _measured(scratch: Path, accounts: int, victims: int, seconds: int) -> dict[str, Any]:
    ticks = scratch / "eurusd_falling.csv"
    _write_ticks(ticks, seconds, victims)
    with world.running(scratch / "group", f"replay:{ticks}:speed=1") as running:
        under = _make_holders(running, accounts, victims)
        report = {"machine": machine(), "durability": durability(running.superuser_dsn)}
        offset_ns = asyncio.run(_offset_ns(running))
        time.sleep(seconds + 5)
        metric = _metric(running)
        return {**report, **_findings(running, under, offset_ns), "metric": metric}


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.detection", description=__doc__)
    parser.add_argument("--accounts", type=int, default=10_000)
    parser.add_argument("--victims", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    OUT.mkdir(exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="scratch-", dir=OUT))
    try:
        report = _measured(scratch, arguments.accounts, arguments.victims, arguments.seconds)
    finally:
        if not arguments.keep:
            shutil.rmtree(scratch, ignore_errors=True)
    (OUT / "detection.json").write_text(json.dumps(report, indent=2), "utf-8")
    print(json.dumps(report, indent=2))
    whole = report["ended_flat_and_disabled"] == report["violations"] == report["expected"]
    exact = report["ticks_late"] == {"most": 0, "least": 0} and not report["of_other_accounts"]
    return 0 if whole and exact else 1


if __name__ == "__main__":
    sys.exit(main())
