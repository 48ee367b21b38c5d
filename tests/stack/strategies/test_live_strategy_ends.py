"""Live strategies and what ends them: a kill, a limit, their account, an error of ours."""

import asyncio

import pytest
from tests.support.strategy_scene import (
    RESTS,
    TURNS,
    Scene,
    has_sent,
    has_status,
    running,
    tenant_events,
    works,
)
from tests.support.world import ALPHA

from quantlab_app.use_cases import strategy_runner
from quantlab_app.use_cases import strategy_runs as runs
from quantlab_app.use_cases.accounts import change_status
from quantlab_app.use_cases.strategy_feeding import LiveStrategy
from quantlab_app.use_cases.strategy_runs import NewRun, end_runs, start_run

pytestmark = pytest.mark.stack
FLOOD = """strategy "Flood"

on tick
    buy(0.01, limit=bid - 0.01)
    buy(0.01, limit=bid - 0.01)
"""


BURNS = """strategy "Burns"

input n = int(1000, min=1, max=1000)
var sum = 0

on tick
    for i in 1..n
        sum := (sum + i) % 1000
"""


async def test_a_kill_ends_a_run_and_cancels_its_orders(scene: Scene) -> None:
    run = await scene.start(RESTS)
    async with running(scene):
        await scene.until(lambda: works(scene, run), ticks=True)
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
    events = await tenant_events(scene)
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
        await scene.until(lambda: has_status(scene, run, "failed"), ticks=True)
    found = await scene.read(run)
    assert found.reason == reason
    assert "strategy.failed" in await tenant_events(scene)
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
    await scene.until(lambda: has_status(scene, run, "failed"))
    assert (await scene.read(run)).reason == "internal_error"
    assert lives == 1
    assert not working.done()
    stop.set()
    await asyncio.wait_for(working, 10)


async def test_a_run_ends_with_its_account(scene: Scene) -> None:
    run = await scene.start(TURNS)
    async with running(scene):
        await scene.until(lambda: has_sent(scene, run, 1), ticks=True)
        asked = change_status(
            scene.world.ports, scene.world.scope(ALPHA), run.account_id,
            status="disabled", reason="test",
        )  # fmt: skip
        asking = asyncio.ensure_future(asked)
        await scene.until(lambda: has_status(scene, run, "failed"), ticks=True)
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
