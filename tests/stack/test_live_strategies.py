"""Live strategies on real stores: the runner as a process of its own, killed and begun again."""

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
import pytest
from tests.support.stack import FreshDatabase, Stack, fresh_database
from tests.support.world import ALPHA, CONFIGS, World, world

from quantlab.live.intents import signal_id_of
from quantlab_app.ports.live_strategies import StrategyRun
from quantlab_app.use_cases import strategy_feeding, strategy_runner
from quantlab_app.use_cases import strategy_runs as runs
from quantlab_app.use_cases.accounts import change_status
from quantlab_app.use_cases.strategies import Kept, create_strategy
from quantlab_app.use_cases.strategy_feeding import LiveStrategy
from quantlab_app.use_cases.strategy_runs import NewRun, end_runs, read_run, start_run

pytestmark = pytest.mark.stack

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
COUNTS = """strategy "Counts"

on tick
    log("{}", int(round(bid * 100000)))
"""
FLOOD = """strategy "Flood"

on tick
    buy(0.01, limit=bid - 0.01)
    buy(0.01, limit=bid - 0.01)
"""
MOVES = """strategy "Moves"

var id = 0
var ticks = 0

on tick
    ticks += 1
    if ticks == 1
        id := buy(1.0, limit=1.00000, sl=0.99500, tp=1.02000)
    if ticks == 9
        modify(id, limit=1.01, lots=0.99, sl=0.99, tp=1.03)
"""
BURNS = """strategy "Burns"

input n = int(1000, min=1, max=1000)
var sum = 0

on tick
    for i in 1..n
        sum := (sum + i) % 1000
"""


WARMS = """strategy "Warms"

var ticks = 0

on start
    log("begins")

on tick
    ticks += 1
    log("tick {} of {}", ticks, working_orders)
    if ticks % 2 == 0
        buy(0.01, limit=bid - 0.01)
"""


@dataclass
class Scene:
    world: World
    database: FreshDatabase
    redis_url: str
    state: Path
    price: int = 108_000
    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    async def start(self, source: str, **fields: Any) -> StrategyRun:
        account_id = fields.pop("account_id", None) or await self.world.account(ALPHA)
        scope = self.world.scope(ALPHA)
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
            self.world.ports, self.world.scope(ALPHA), run.account_id, run.run_id
        )
        return found

    async def log(self, run: StrategyRun) -> list[str]:
        _, lines = await read_run(
            self.world.ports, self.world.scope(ALPHA), run.account_id, run.run_id
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
        await self.world.settle(ALPHA)

    async def until(
        self, met: Callable[[], Coroutine[Any, Any, bool]], ticks: bool = False
    ) -> None:
        for _ in range(600):
            if await met():
                return
            if ticks:
                await self.tick()
            await self.world.settle(ALPHA)
            await asyncio.sleep(0.05)
        runs = _query(self, "select status, reason, detail, events, orders_sent, orders_refused"
                            " from quantlab.strategy_run")  # fmt: skip
        lines = _query(self, "select kind, line from quantlab.strategy_run_line limit 20")
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
            self.world.scope(ALPHA), source_kind="strategy", account_ids=[run.account_id],
            status=None, before=None, limit=1000,
        )  # fmt: skip
        return [one.signal_id for one in reversed(found) if one.source_id == run.run_id]


@pytest.fixture
async def scene(stack: Stack, redis_url: str, tmp_path: Path) -> AsyncIterator[Scene]:
    with fresh_database(stack) as database:
        async with world(database.app_dsn, redis_url, tmp_path) as made:
            await made.ports.tick_log.open()
            scene = Scene(made, database, redis_url, tmp_path)
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


@pytest.fixture
def lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the sandbox lack what this kernel may lack, in this process too."""
    monkeypatch.setenv("QUANTLAB_SANDBOX_MAY_LACK", "landlock seccomp")


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


@asynccontextmanager
async def running(scene: Scene) -> AsyncIterator["subprocess.Popen[bytes]"]:
    process = scene.runner()
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)


async def test_a_killed_runner_goes_on_where_it_was(scene: Scene) -> None:
    """Orders are neither lost nor sent twice, and the state is the one there was."""
    run = await scene.start(TURNS)
    process = scene.runner()
    await scene.until(lambda: _has_sent(scene, run, 4), ticks=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    # What it was fed and had not kept is lost with it; the tick log still has it.
    before = await scene.read(run)
    assert before.status == "running"
    for _ in range(7):
        await scene.tick()
    async with running(scene):
        await scene.until(lambda: _has_fed(scene, run, before.events + 7), ticks=False)
        await scene.until(lambda: _has_sent(scene, run, before.orders_sent + 4), ticks=True)
        await scene.until(lambda: _is_told_all(scene, run))
        await end_runs(scene.world.ports, scene.world.scope(ALPHA), run.account_id, run.run_id,
                       kill=False)  # fmt: skip
        await scene.until(lambda: _is(scene, run, "stopped"))
    await scene.world.settle(ALPHA)
    after = await scene.read(run)
    sent = await scene.sent(run)
    numbers = {signal_id_of(run.run_id, number): number for number in range(1, after.orders + 1)}
    # Where the runner took longer than 10 s to come back, some are late: none is sent twice.
    given = [numbers[one] for one in sent]
    assert sorted(given + _late(await scene.log(run))) == list(range(1, after.orders + 1))
    assert given == sorted(given)
    assert after.orders_sent == len(sent)
    account = await scene.world.find(ALPHA, run.account_id)
    assert account.positions == {}
    log = await scene.log(run)
    fills = [line for line in log if line.startswith("log: fill")]
    # The fill of what `on stop` asks for comes when nobody is there to be told.
    assert len(fills) in (count := await _fills(scene, run), count - 1)
    assert [line.split()[2] for line in fills] == [str(n) for n in range(1, len(fills) + 1)]
    assert "ends after" in log[-1]


async def test_a_tick_that_was_not_heard_is_taken_from_the_log(scene: Scene) -> None:
    """A message that the bus has lost is missed by nobody: the next number says so."""
    run = await scene.start(COUNTS)
    async with running(scene):
        await scene.until(lambda: _is(scene, run, "running"), ticks=True)
        heard = scene.price
        for _ in range(20):
            await scene.tick(heard=False)
        await scene.tick()
        await scene.until(lambda: _has_logged(scene, run, scene.price), ticks=False)
    prices = [int(line.split()[-1]) for line in await scene.log(run)]
    assert prices == list(range(prices[0], prices[-1] + 1))
    assert prices[0] <= heard + 1


async def test_a_replay_that_ends_elsewhere_is_refused(scene: Scene) -> None:
    run = await scene.start(TURNS)
    process = scene.runner()
    await scene.until(lambda: _has_sent(scene, run, 1), ticks=True)
    process.kill()
    process.wait()
    with psycopg.connect(scene.database.superuser_dsn) as connection:
        connection.execute("update quantlab.strategy_run set state_hash = repeat('0', 64)")
    async with running(scene):
        await scene.until(lambda: _is(scene, run, "failed"))
    assert (await scene.read(run)).reason == "replay_mismatch"


async def test_a_run_warms_up_over_recorded_ticks_and_is_rebuilt_with_them(scene: Scene) -> None:
    """What it gives meanwhile is neither sent nor told; its state and its numbers go on."""
    for _ in range(9):
        await scene.tick(heard=False)
    run = await scene.start(WARMS, warm_up_s=3600)
    process = scene.runner()
    await scene.until(lambda: _is(scene, run, "running"))
    await scene.until(lambda: _has_sent(scene, run, 2), ticks=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    async with running(scene):
        await scene.until(lambda: _has_sent(scene, run, 4), ticks=True)
        await end_runs(scene.world.ports, scene.world.scope(ALPHA), run.account_id, run.run_id,
                       kill=False)  # fmt: skip
        await scene.until(lambda: _is(scene, run, "stopped"))
    log = await scene.log(run)
    told = [int(line.split()[2]) for line in log if line.startswith("log")]
    assert told == list(range(11, told[-1] + 1))
    after = await scene.read(run)
    numbers = {signal_id_of(run.run_id, number): number for number in range(1, after.orders + 1)}
    given = [numbers[one] for one in await scene.sent(run)]
    assert sorted(given + _late(log)) == list(range(6, after.orders + 1))


async def test_a_change_of_an_order_reaches_it_and_its_exits(scene: Scene) -> None:
    run = await scene.start(MOVES)
    async with running(scene):
        await scene.until(lambda: _has_sent(scene, run, 4), ticks=True)
        await scene.world.settle(ALPHA)
    account = await scene.world.find(ALPHA, run.account_id)
    (entry,) = [one for one in account.working.values() if one.terms.parent_id is None]
    exits = [one for one in account.working.values() if one.terms.parent_id == entry.order_id]
    assert entry.terms.limit_ticks == 101_000
    stop, target = sorted(exits, key=lambda one: one.order_type, reverse=True)
    assert (stop.terms.trigger_ticks, target.terms.limit_ticks) == (99_000, 103_000)
    assert entry.size_steps == 99


async def test_a_run_is_rebuilt_from_a_snapshot_or_the_one_before(
    lacking: None, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its journal stays short; a damaged snapshot is not believed, and neither is none at all."""
    monkeypatch.setattr(strategy_feeding, "SNAPSHOT_EVENTS", 10)
    monkeypatch.setattr(strategy_runner, "RETRY_S", 0.01)
    run = await scene.start(TURNS)
    async with feeding(scene):
        await scene.until(lambda: _has_sent(scene, run, 12), ticks=True)
    before = await scene.read(run)
    kept = _query(scene, "select step from quantlab.strategy_run_snapshot order by step desc")
    steps = _query(scene, "select step from quantlab.strategy_run_step order by step")
    assert len(kept) == 2
    assert steps[0][0] == kept[1][0] + 1
    async with feeding(scene):
        await scene.until(lambda: _has_sent(scene, run, before.orders_sent + 2), ticks=True)
    damaged = "update quantlab.strategy_run_snapshot set image = overlay(image placing %s from 99)"
    newest = " where step = (select max(step) from quantlab.strategy_run_snapshot)"
    _query(scene, damaged + newest, b"damaged")
    before = await scene.read(run)
    async with feeding(scene):
        await scene.until(lambda: _has_sent(scene, run, before.orders_sent + 2), ticks=True)
    sent = await scene.sent(run)
    after = await scene.read(run)
    numbers = {signal_id_of(run.run_id, number): number for number in range(1, after.orders + 1)}
    assert [numbers[one] for one in sent] == list(range(1, after.orders + 1))
    _query(scene, damaged, b"damaged")
    async with feeding(scene):
        await scene.until(lambda: _is(scene, run, "failed"))
    assert (await scene.read(run)).reason == "snapshot_unreadable"


async def test_a_kill_ends_a_run_and_cancels_its_orders(scene: Scene) -> None:
    run = await scene.start(RESTS)
    async with running(scene):
        await scene.until(lambda: _works(scene, run), ticks=True)
        ended = await end_runs(
            scene.world.ports, scene.world.scope(ALPHA), run.account_id, None, kill=True
        )
        assert [one.run_id for one in ended] == [run.run_id]
        assert (await scene.read(run)).status == "killed"
        await scene.world.settle(ALPHA)
        assert (await scene.world.find(ALPHA, run.account_id)).working == {}
        count = len(await scene.sent(run))
        for _ in range(3):
            await scene.tick()
        assert len(await scene.sent(run)) == count
    events = await _tenant_events(scene)
    assert {"strategy.started", "strategy.killed"} <= set(events)


@pytest.mark.parametrize(
    ("source", "limits", "reason"),
    [
        (FLOOD, {"ordersPerMinute": 5}, "orders_per_minute"),
        (FLOOD, {"openOrders": 3}, "open_orders"),
        (BURNS, {"fuelPerEvent": 500}, "fuel"),
    ],
)
async def test_a_limit_ends_a_run_by_its_name(
    scene: Scene, source: str, limits: dict[str, int], reason: str
) -> None:
    run = await scene.start(source, limits=limits)
    async with running(scene):
        await scene.until(lambda: _is(scene, run, "failed"), ticks=True)
    found = await scene.read(run)
    assert found.reason == reason
    assert "strategy.failed" in await _tenant_events(scene)
    assert found.orders_sent <= 5


async def test_an_error_of_ours_ends_the_run_and_no_other(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It neither trades on by a broken state nor begins again for ever."""
    monkeypatch.setattr(strategy_runner, "RETRY_S", 0.01)
    lives = 0

    async def broken(_self: LiveStrategy) -> None:
        nonlocal lives
        lives += 1
        raise RuntimeError("a bug")

    monkeypatch.setattr(LiveStrategy, "live", broken)
    run = await scene.start(TURNS)
    stop = asyncio.Event()
    runner = strategy_runner.StrategyRunner(scene.world.ports, lambda _: None)
    working = asyncio.create_task(runner.run(stop))
    await scene.until(lambda: _is(scene, run, "failed"))
    assert (await scene.read(run)).reason == "internal_error"
    assert lives == 1
    assert not working.done()
    stop.set()
    await asyncio.wait_for(working, 10)


async def test_a_run_whose_terms_cannot_be_read_ends_with_its_orders(scene: Scene) -> None:
    """It is not taken up for ever; nothing of it works on, for nobody would look after it."""
    run = await scene.start(RESTS)
    process = scene.runner()
    await scene.until(lambda: _works(scene, run), ticks=True)
    process.kill()
    process.wait()
    with psycopg.connect(scene.database.superuser_dsn) as connection:
        connection.execute("update quantlab.strategy_run set terms = '{}'")
    async with running(scene):
        await scene.until(lambda: _is(scene, run, "failed"))
    assert (await scene.read(run)).reason == "internal_error"
    await scene.world.settle(ALPHA)
    assert (await scene.world.find(ALPHA, run.account_id)).working == {}
    assert "strategy.failed" in await _tenant_events(scene)


async def test_a_run_ends_with_its_account(scene: Scene) -> None:
    run = await scene.start(TURNS)
    async with running(scene):
        await scene.until(lambda: _has_sent(scene, run, 1), ticks=True)
        asked = change_status(
            scene.world.ports, scene.world.scope(ALPHA), run.account_id,
            status="disabled", reason="test",
        )  # fmt: skip
        asking = asyncio.ensure_future(asked)
        await scene.until(lambda: _is(scene, run, "failed"), ticks=True)
        await asking
    assert (await scene.read(run)).reason == "account_disabled"
    refused = await scene.world.ports.strategy_runs.open_runs(ALPHA)
    assert refused == []


async def test_what_cannot_run_is_refused_at_once(scene: Scene) -> None:
    ports, scope = scene.world.ports, scene.world.scope(ALPHA)
    run = await scene.start(RESTS)
    again = NewRun(
        strategy_id=run.strategy_id, version=None, symbol="NOSUCH", inputs={}, limits={},
        cancels_orders=True,
    )  # fmt: skip
    refused = await start_run(ports, scope, run.account_id, again)
    assert isinstance(refused, runs.Refused)
    assert refused.pointer == "/symbol"


def _late(log: list[str]) -> list[int]:
    """Return the numbers of orders that were not sent, for their events were too old by then."""
    return [int(line.split()[2]) for line in log if line.endswith("was not sent: late")]


def _query(scene: Scene, statement: str, *values: Any) -> list[Any]:
    with psycopg.connect(scene.database.superuser_dsn) as connection:
        done = connection.execute(statement.encode(), values)
        return done.fetchall() if done.description else []


async def _has_sent(scene: Scene, run: StrategyRun, count: int) -> bool:
    return (await scene.read(run)).orders_sent >= count


async def _has_fed(scene: Scene, run: StrategyRun, count: int) -> bool:
    return (await scene.read(run)).events >= count


async def _fills(scene: Scene, run: StrategyRun) -> int:
    scope = scene.world.scope(ALPHA)
    return len(await scene.world.ports.accounts.fills(scope, run.account_id, None, 500))


async def _is_told_all(scene: Scene, run: StrategyRun) -> bool:
    sent = (await scene.read(run)).orders_sent
    await asyncio.sleep(0.3)  # an order of the last tick may be on its way
    await scene.world.settle(ALPHA)
    if (await scene.read(run)).orders_sent != sent:
        return False
    told = [line for line in await scene.log(run) if line.startswith("log: fill")]
    return len(told) == await _fills(scene, run)


async def _has_logged(scene: Scene, run: StrategyRun, price: int) -> bool:
    log = await scene.log(run)
    return bool(log) and log[-1].endswith(str(price))


async def _is(scene: Scene, run: StrategyRun, status: str) -> bool:
    return (await scene.read(run)).status == status


async def _works(scene: Scene, run: StrategyRun) -> bool:
    return bool((await scene.world.find(ALPHA, run.account_id)).working)


async def _tenant_events(scene: Scene) -> list[str]:
    await scene.world.settle(ALPHA)
    with psycopg.connect(scene.database.superuser_dsn) as connection:
        rows = connection.execute("select event_type from quantlab.event").fetchall()
    return [str(row[0]) for row in rows]
