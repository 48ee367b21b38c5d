"""Live strategies on hedging accounts: what they read of legs, how they close, and a restart."""

import signal
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.support import strategy_scene as live
from tests.support.stack import Stack
from tests.support.strategy_scene import Scene
from tests.support.world import BETA

from quantlab.engine.context import equity_of
from quantlab.engine.margin import Margin, margin_of
from quantlab.ledger.state import Account
from quantlab.ledger.trading_terms import read_trading_terms
from quantlab_app.ports.live_strategies import StrategyRun
from quantlab_app.use_cases import strategy_feeding, strategy_runner
from quantlab_app.use_cases.execution import market_now
from quantlab_app.use_cases.strategy_runs import end_runs

pytestmark = pytest.mark.stack
KIND = "demo-hedging-100k"

LOOKS = """strategy "Looks"

input both = bool(true)
var ticks = 0

on tick
    ticks += 1
    if ticks == 1
        buy(0.3, sl=bid - 0.01, tp=bid + 0.01)
    if ticks == 2
        buy(0.1)
    if ticks == 3 and both
        sell(0.25)
    if ticks == 4
        sell(0.4, limit=bid + 0.02)
    log("{} {} {} {} {} {}", int(round(bid * 100000)), position, position_price, position_profit, equity, free_margin)
"""  # noqa: E501 - one line of a log
# Opens a leg of either side by turns, and closes all of them now and then.
TURNS = """strategy "Turns"

var ticks = 0
var filled = 0

on tick
    ticks += 1
    if ticks % 24 == 0
        close_position()
    else if ticks % 8 == 0
        buy(0.1)
    else if ticks % 4 == 0
        sell(0.2, sl=bid + 0.01)

on fill
    filled += 1
    log("fill {} of order {} {} {}", filled, fill_order, fill_side, fill_size)

on stop
    flatten()
"""
ASKS = """strategy "Asks"

var ticks = 0

on tick
    ticks += 1
    if ticks == 1
        buy(0.3)
    if ticks == 3
        reverse()
    if ticks == 4
        close_position(0.1)
    if ticks == 5
        sell(0.1, limit=bid + 0.01, reduce_only=true)
    if ticks == 6
        sell(0.2)
"""


@pytest.fixture
async def scene(stack: Stack, redis_url: str, tmp_path: Path) -> AsyncIterator[Scene]:
    async with live.staged(stack, redis_url, tmp_path, BETA) as made:
        yield made


async def begun(scene: Scene, source: str, **fields: Any) -> StrategyRun:
    return await scene.start(source, account_id=await scene.world.account(BETA, KIND), **fields)


async def held(scene: Scene, run: StrategyRun) -> Account:
    await scene.world.settle(BETA)
    return await scene.world.find(BETA, run.account_id)


@pytest.mark.parametrize("both", [True, False])
async def test_what_is_read_of_legs_is_what_the_account_says(
    lacking: None, scene: Scene, both: bool
) -> None:
    """The net of the legs; an average price of one side alone; money as the writer values it."""
    run = await begun(scene, LOOKS, inputs={"both": both})
    legs = 3 if both else 2

    async def stands() -> bool:
        account = await held(scene, run)
        return (len(account.legs()), len(account.working)) == (legs, 3)

    async with live.feeding(scene):
        await scene.until(stands, ticks=True)
        account, last = await held(scene, run), scene.price

        async def has_looked() -> bool:
            lines = [line for line in await scene.log(run) if "refused" not in line]
            return int(lines[-1].split()[1]) > last + 1

        await scene.until(has_looked, ticks=True)
        # Nobody ticks any more: the last line is of the market that there is.
        await scene.until(lambda: _has_logged_of(scene, run, scene.price))
    line = (await scene.log(run))[-1].split()[2:]
    market, _ = await market_now(scene.world.ports)
    kind = scene.world.configs[BETA].account_types[KIND]
    margin = margin_of(account, market, read_trading_terms(kind.trading))
    assert isinstance(margin, Margin)
    size = sum(leg.size_steps for leg in account.legs())
    cost = sum(leg.cost for leg in account.legs())
    equity = equity_of(account, market)
    assert isinstance(equity, int)
    shown = [float(word) for word in line if word != "na"]
    assert shown[0] == float(size * market.catalog.instruments["EURUSD"].size_step)
    assert (line[1] == "na") is both
    if not both:
        assert shown[1] == pytest.approx(cost / size / 100_000, rel=1e-12)
    open_profit = equity - account.balance_minor
    assert shown[-3] == pytest.approx(open_profit / 100, abs=0.005)
    assert shown[-2] == equity / 100
    assert shown[-1] == margin.free_minor / 100


async def test_a_killed_runner_goes_on_with_the_legs_there_are(scene: Scene) -> None:
    """Nothing is lost or sent twice, closing takes every leg, each fill is told once."""
    run = await begun(scene, TURNS)
    process = scene.runner()
    await scene.until(lambda: live.has_sent(scene, run, 5), ticks=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = await scene.read(run)
    assert before.status == "running"
    assert len((await held(scene, run)).legs()) > 1
    for _ in range(3):
        await scene.tick()
    async with live.running(scene):
        await scene.until(lambda: live.has_fed(scene, run, before.events + 3))
        await scene.until(lambda: live.has_sent(scene, run, before.orders_sent + 6), ticks=True)
        await scene.until(lambda: live.is_told_all(scene, run))
        await end_runs(scene.world.ports, scene.world.scope(BETA), run.account_id, run.run_id,
                       kill=False)  # fmt: skip
        await scene.until(lambda: live.has_status(scene, run, "stopped"))
    account = await held(scene, run)
    assert (account.positions, account.working) == ({}, {})
    after, sent = await scene.read(run), await scene.sent(run)
    assert len(sent) == len(set(sent)) == after.orders_sent
    told = [line.split() for line in await scene.log(run) if line.startswith("log: fill")]
    assert [line[2] for line in told] == [str(n) for n in range(1, len(told) + 1)]
    closed = [line[5] for line in told]
    assert len(closed) > len(set(closed)), "one close filled an order for each leg"


async def test_a_run_is_rebuilt_from_a_snapshot_with_its_legs(
    lacking: None, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strategy_feeding, "SNAPSHOT_EVENTS", 10)
    monkeypatch.setattr(strategy_runner, "RETRY_S", 0.01)
    run = await begun(scene, TURNS)
    async with live.feeding(scene):
        await scene.until(lambda: live.has_sent(scene, run, 12), ticks=True)
    kept = live.query(scene, "select step from quantlab.strategy_run_snapshot")
    steps = live.query(scene, "select step from quantlab.strategy_run_step order by step")
    assert len(kept) == 2
    assert steps[0][0] > 1, "the journal alone does not tell the state"
    before = await scene.read(run)
    async with live.feeding(scene):
        await scene.until(lambda: live.has_sent(scene, run, before.orders_sent + 2), ticks=True)
    assert (await scene.read(run)).status == "running"


async def test_what_needs_a_ticket_is_refused_and_the_run_goes_on(
    lacking: None, scene: Scene
) -> None:
    run = await begun(scene, ASKS)
    async with live.feeding(scene):
        await scene.until(lambda: live.has_sent(scene, run, 5), ticks=True)
        await held(scene, run)
    scope = scene.world.scope(BETA)
    found = await scene.world.ports.accounts.orders(scope, run.account_id, None, 50)
    assert sorted(str(order["reason"]) for order in found if order["reason"]) == [
        "netting_only", "ticket_needed", "ticket_needed",
    ]  # fmt: skip
    assert (await scene.read(run)).status == "running"
    sizes = [leg.size_steps for leg in (await held(scene, run)).legs()]
    assert [Decimal(size) / max(sizes) for size in sizes] == [1, -Decimal(2) / 3]


async def _has_logged_of(scene: Scene, run: StrategyRun, price: int) -> bool:
    log = await scene.log(run)
    return bool(log) and log[-1].split()[1] == str(price)
