"""`make bench-checkpoint`: one checkpoint of the rules over many accounts of three positions.

An embedded PostgreSQL with fsync and synchronous_commit on; the demo tenants' accounts are copied
from one that was opened in the plain way. What is timed is the schedule's own code: read, judge
by the compiled core, store, an entry an account; commands for whoever needs the writer are in it.
"""

import argparse
import asyncio
import json
import shutil
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from bench.columns import ACCOUNT, COPIED, HELD
from bench.machine import durability, machine
from bench.world import ROOT
from quantlab.kernel.instants import SECOND_NS
from quantlab.market.quote import PPM, FeedClock, Quote
from quantlab.tenancy.permissions import Role
from quantlab.tenancy.scope import system_scope
from quantlab_app.ports.container import Ports
from quantlab_app.ports.judging import Moment
from quantlab_app.ports.market import FeedBatch
from quantlab_app.use_cases.accounts import open_account
from quantlab_app.use_cases.each_tenant import of_each
from quantlab_app.use_cases.execution import market_now
from quantlab_app.use_cases.provisioning import provision
from quantlab_app.use_cases.schedules import CHECKPOINT_NS, checkpoint_rules
from quantlab_app.use_cases.users import create_user
from quantlab_db.migrate import migrate
from quantlab_edge.compose import build
from quantlab_edge.settings import Settings
from quantlab_edge.tenant_files import read_configs, read_tenants
from quantlab_server.logs import Output
from quantlab_server.private_files import private_folder
from quantlab_server.stores import EmbeddedStores

OUT = ROOT / "bench" / "out"
SYMBOLS = ("EURUSD", "GBPUSD", "USDJPY", "XAUUSD", "BTCUSD")
POSITIONS = 3
# One account in so many is under its floor: what a bad day looks like, not a collapse.
BROKEN_ONE_IN = 10_000

_ACCOUNTS = f"""
insert into quantlab.account ({ACCOUNT})
select {COPIED},
  case when g %% %(broken)s = 0 then initial_balance_minor / 100
    else initial_balance_minor + g %% 1000 end,
  0, high_water_minor + 400000, event_seq, day_date, day_started_ns,
  day_next_reset_ns + 864000000000000, day_start_balance_minor, day_start_equity_minor
from quantlab.account, generate_series(1, %(count)s) g where account_id = %(like)s
"""  # noqa: S608 - constants only
_POSITIONS = """
insert into quantlab.position (tenant_id, account_id, symbol, size_steps, cost, opened_at_ns,
  opened_seq)
select a.tenant_id, a.account_id, s.symbol, s.size, s.size * (s.price + s.drift), 0, 1
from quantlab.account a
cross join lateral (
  select symbol, price, hashtext(account_id::text || symbol) %% 40 as drift,
    (case when hashtext(symbol || account_id::text) %% 2 = 0 then 1 else -1 end)
      * (1 + abs(hashtext(account_id::text)) %% 20) as size
  from unnest(%(symbols)s::text[], %(prices)s::bigint[]) q (symbol, price)
  order by hashtext(symbol || account_id::text) limit %(positions)s) s
where a.account_id <> all(%(like)s::uuid[])
order by md5(a.account_id || s.symbol)
"""


_KEPT = "select count(*) from quantlab.rule_checkpoint_account"


async def _provisioned(ports: Ports, configs: Path) -> dict[str, str]:
    likes = {}
    for file in read_tenants(read_configs(configs)):
        if file.config is None:
            raise SystemExit(f"a tenant file does not hold: {file.problems}")
        scope = system_scope(file.config.tenant_id, "bench", "bench-checkpoint")
        await provision(ports, scope, file.config)
        kind = next(
            one.type_id for one in file.config.account_types.values() if one.currency == "USD"
        )
        trader = await create_user(
            ports,
            scope,
            email=f"trader@{file.config.tenant_id}.example",
            name="Trader",
            role=Role.TRADER,
            password=ports.ids.token(16),
        )
        if isinstance(trader, str):
            raise SystemExit(f"no trader: {trader}")
        likes[file.config.tenant_id] = await open_account(ports, scope, trader.user_id, kind)
    return likes


async def _quote(ports: Ports) -> dict[str, int]:
    prices = {symbol: 100_000 + 7_000 * place for place, symbol in enumerate(SYMBOLS)}
    now_ns = ports.clock.now_ns()
    quotes = [
        Quote(symbol, price, price + 5, now_ns, seq)
        for seq, (symbol, price) in enumerate(prices.items(), 1)
    ]
    await ports.quote_sink.publish(FeedBatch(FeedClock(now_ns, now_ns, PPM), accepted=quotes))
    return prices


def _fill(dsn: str, likes: dict[str, str], prices: dict[str, int], count: int) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("delete from quantlab.position")
        connection.execute("truncate quantlab.rule_checkpoint")
        known = list(likes.values())
        connection.execute(
            "delete from quantlab.account where account_id <> all(%s::uuid[])", (known,)
        )
        for like in known:
            values = {"like": like, "count": count // len(known), "broken": BROKEN_ONE_IN}
            connection.execute(_ACCOUNTS, values)
        values = {
            "symbols": list(prices), "prices": list(prices.values()), "positions": POSITIONS,
            "like": known,
        }  # fmt: skip
        connection.execute(_POSITIONS, values)
        connection.execute(HELD)
        # One update of all rows has moved them; accounts lie as they were opened, and stay there.
        connection.execute("cluster quantlab.account using account_pkey")
        for table in ("account", "position"):
            connection.execute(f"vacuum (analyze) quantlab.{table}")
        connection.execute("checkpoint")


async def _timed(ports: Ports, dsn: str, count: int, runs: int) -> dict[str, Any]:
    """Sweep all tenants; a first run, not counted, warms the pool and what is compiled."""
    checkpoints = ports.checkpoints
    if checkpoints is None:
        raise SystemExit("numba is not installed: uv sync --group native")
    seconds, asking, judged = [], 0, 0
    for number in range(runs + 1):
        await _quote(ports)
        start = time.perf_counter()
        market, now_ns = await market_now(ports)
        moment = Moment(now_ns - number * SECOND_NS, market, now_ns)
        swept = await of_each(
            await ports.tenants.active(),
            partial(checkpoints.sweep, moment=moment, rulebook_of=ports.rulebooks.of),
        )
        seconds.append(time.perf_counter() - start)
        asking, judged = sum(len(one.asking) for one in swept), sum(one.judged for one in swept)
        for tenant_id in await ports.tenants.active():
            await checkpoints.forget(tenant_id, now_ns + CHECKPOINT_NS)
    await _quote(ports)
    start = time.perf_counter()
    accepted = await checkpoint_rules(ports)
    whole_s = time.perf_counter() - start
    with psycopg.connect(dsn) as connection:
        kept = connection.execute(_KEPT).fetchone()
    return {
        "accounts": count,
        "judged": judged,
        "asking": asking,
        "median_s": round(statistics.median(seconds[1:]), 3),
        "runs_s": [round(one, 3) for one in seconds[1:]],
        "first_s": round(seconds[0], 3),
        "schedule_with_commands_s": round(whole_s, 3),
        "commands": accepted,
        "entries_kept": kept[0] if kept else 0,
    }


async def _measured(scratch: Path, sizes: list[int], runs: int) -> dict[str, Any]:
    state = private_folder(scratch / "state")
    stores = EmbeddedStores(state, Output(state / "logs"))
    urls = stores.start()
    try:
        migrate(urls.owner_dsn)
        configs = ROOT / "agent" / "configs"
        ports = await build(
            Settings(
                database_url=urls.app_dsn, redis_url=urls.redis_url, state=state, configs=configs
            )
        )
        dsn = f"{stores.superuser_dsn.rpartition('/')[0]}/quantlab"
        report: dict[str, Any] = {"machine": machine(), "durability": durability(dsn), "runs": []}
        try:
            likes = await _provisioned(ports, configs)
            for count in sizes:
                prices = await _quote(ports)
                await asyncio.to_thread(_fill, dsn, likes, prices, count)
                report["runs"].append(await _timed(ports, dsn, count, runs))
                print(json.dumps(report["runs"][-1]), flush=True)
        finally:
            await ports.close()
        return report
    finally:
        stores.stop()


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.checkpoint", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    OUT.mkdir(exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="scratch-", dir=OUT))
    try:
        report = asyncio.run(_measured(scratch, arguments.sizes, arguments.runs))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    (OUT / "checkpoint.json").write_text(json.dumps(report, indent=2), "utf-8")
    last = report["runs"][-1]
    return 0 if last["accounts"] < 1_000_000 or last["median_s"] <= 4 else 1


if __name__ == "__main__":
    sys.exit(main())
