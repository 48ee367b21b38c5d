"""Live strategies on real stores: sources, a runner as a process of its own, and questions."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from quantlab_app.ports.live_strategies import StrategyRun
from quantlab_app.use_cases import strategy_runner
from quantlab_app.use_cases.strategies import Kept, create_strategy
from quantlab_app.use_cases.strategy_runs import NewRun, read_run, start_run
from tests.support.stack import FreshDatabase, Stack, fresh_database
from tests.support.world import ALPHA, CONFIGS, World, world

# Buys and sells by turns, every third tick, and keeps count of its own fills.
TURNS = """strategy "Turns"

var ticks = 0
var filled = 0

on start
    log("begins with {}", balance)

on tick
    ticks += 1
    if ticks % 3 == 0
        if position > 0
            close_position()
        else
            buy(0.1)

on fill
    filled += 1
    log("fill {} of order {}", filled, fill_order)

on stop
    flatten()
    log("ends after {} ticks", ticks)
"""


RESTS = """strategy "Rests"

var placed = false

on tick
    if not placed
        buy(0.1, limit=bid - 0.01)
        placed := true
"""


@dataclass
class Scene:
    world: World
    database: FreshDatabase
    redis_url: str
    state: Path
    price: int = 108_000
    tenant: str = ALPHA
    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    async def start(self, source: str, **fields: Any) -> StrategyRun:
        account_id = fields.pop("account_id", None) or await self.world.account(self.tenant)
        scope = self.world.scope(self.tenant)
        name = f"s{self.world.ports.ids.new_id()}"
        kept = await create_strategy(self.world.ports, scope, name, source)
        assert isinstance(kept, Kept), kept
        new = NewRun(
            strategy_id=kept.strategy.strategy_id,
            version=None,
            symbol="EURUSD",
            inputs=fields.pop("inputs", {}),
            limits=fields.pop("limits", {}),
            cancels_orders=fields.pop("cancels_orders", True),
            warm_up_s=fields.pop("warm_up_s", 0),
        )
        run = await start_run(self.world.ports, scope, account_id, new)
        assert isinstance(run, StrategyRun), run
        return run

    async def read(self, run: StrategyRun) -> StrategyRun:
        found, _ = await read_run(
            self.world.ports, self.world.scope(self.tenant), run.account_id, run.run_id
        )
        return found

    async def log(self, run: StrategyRun) -> list[str]:
        _, lines = await read_run(
            self.world.ports, self.world.scope(self.tenant), run.account_id, run.run_id
        )
        return [f"{line.kind}: {line.text}" for line in lines]

    async def tick(self, *, heard: bool = True) -> None:
        """Log a tick as the feed does, and publish it; then carry out what waits."""
        self.price += 1
        bid, ask = f"{self.price / 1e5:.5f}", f"{(self.price + 2) / 1e5:.5f}"
        quote = self.world.made("EURUSD", bid, ask)
        await self.world.ports.tick_log.append([quote])
        if heard:
            await self.world.publish(quote)
        await self.world.settle(self.tenant)

    async def until(
        self, met: Callable[[], Coroutine[Any, Any, bool]], ticks: bool = False
    ) -> None:
        for _ in range(600):
            if await met():
                return
            if ticks:
                await self.tick()
            await self.world.settle(self.tenant)
            await asyncio.sleep(0.05)
        runs = query(self, "select status, reason, detail, events, orders_sent, orders_refused"
                            " from quantlab.strategy_run")  # fmt: skip
        lines = query(self, "select kind, line from quantlab.strategy_run_line limit 20")
        raise AssertionError(f"it did not come about: {runs} {lines}")

    def runner(self) -> "subprocess.Popen[bytes]":
        """Start the worker as the supervisor does, in a process of its own."""
        environment = {
            **os.environ,
            "QUANTLAB_DATABASE_URL": self.database.app_dsn,
            "QUANTLAB_REDIS_URL": self.redis_url,
            "QUANTLAB_STATE": str(self.state),
            "QUANTLAB_CONFIGS": str(CONFIGS),
            "QUANTLAB_SANDBOX_MAY_LACK": "landlock seccomp",
        }
        with (self.state / "runner.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "quantlab_server", "role", "worker", "strategy_runner"],
                env=environment, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self.processes.append(process)
        return process

    async def sent(self, run: StrategyRun) -> list[str]:
        """Return the commands of a run in the inbox, oldest first."""
        found = await self.world.ports.inbox.deliveries(
            self.world.scope(self.tenant), source_kind="strategy", account_ids=[run.account_id],
            status=None, before=None, limit=1000,
        )  # fmt: skip
        return [one.signal_id for one in reversed(found) if one.source_id == run.run_id]


@asynccontextmanager
async def staged(
    stack: Stack, redis_url: str, tmp_path: Path, tenant: str = ALPHA
) -> AsyncIterator[Scene]:
    """Set a scene for a tenant, with a first tick, and clear it away."""
    with fresh_database(stack) as database:
        async with world(database.app_dsn, redis_url, tmp_path) as made:
            await made.ports.tick_log.open()
            scene = Scene(made, database, redis_url, tmp_path, tenant=tenant)
            await scene.tick()
            try:
                yield scene
            finally:
                for process in scene.processes:
                    process.kill()
                    process.wait()
                await made.ports.tick_log.close()
                log = tmp_path / "runner.log"
                print(log.read_text()[-4000:] if log.exists() else "")


@asynccontextmanager
async def running(scene: Scene) -> AsyncIterator["subprocess.Popen[bytes]"]:
    process = scene.runner()
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)


@asynccontextmanager
async def feeding(scene: Scene) -> AsyncIterator[None]:
    """Run the worker in this process."""
    stop = asyncio.Event()
    runner = strategy_runner.StrategyRunner(scene.world.ports, lambda _: None)
    working = asyncio.create_task(runner.run(stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(working, 30)


def query(scene: Scene, statement: str, *values: Any) -> list[Any]:
    with psycopg.connect(scene.database.superuser_dsn) as connection:
        done = connection.execute(statement.encode(), values)
        return done.fetchall() if done.description else []


async def has_sent(scene: Scene, run: StrategyRun, count: int) -> bool:
    return (await scene.read(run)).orders_sent >= count


async def has_status(scene: Scene, run: StrategyRun, status: str) -> bool:
    return (await scene.read(run)).status == status


async def works(scene: Scene, run: StrategyRun) -> bool:
    return bool((await scene.world.find(scene.tenant, run.account_id)).working)


async def tenant_events(scene: Scene) -> list[str]:
    await scene.world.settle(scene.tenant)
    with psycopg.connect(scene.database.superuser_dsn) as connection:
        rows = connection.execute("select event_type from quantlab.event").fetchall()
    return [str(row[0]) for row in rows]


async def has_fed(scene: Scene, run: StrategyRun, count: int) -> bool:
    return (await scene.read(run)).events >= count


async def fills_of(scene: Scene, run: StrategyRun) -> int:
    scope = scene.world.scope(scene.tenant)
    return len(await scene.world.ports.accounts.fills(scope, run.account_id, None, 500))


async def is_told_all(scene: Scene, run: StrategyRun) -> bool:
    sent = (await scene.read(run)).orders_sent
    await asyncio.sleep(0.3)  # an order of the last tick may be on its way
    await scene.world.settle(scene.tenant)
    if (await scene.read(run)).orders_sent != sent:
        return False
    told = [line for line in await scene.log(run) if line.startswith("log: fill")]
    return len(told) == await fills_of(scene, run)
