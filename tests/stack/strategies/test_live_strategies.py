"""Live strategies on real stores: what they hear, and what becomes of their orders."""

import pytest
from tests.support.strategy_scene import Scene, has_sent, has_status, running
from tests.support.world import ALPHA

from quantlab_app.ports.live_strategies import StrategyRun

pytestmark = pytest.mark.stack
COUNTS = """strategy "Counts"

on tick
    log("{}", int(round(bid * 100000)))
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


async def test_a_tick_that_was_not_heard_is_taken_from_the_log(scene: Scene) -> None:
    """A message that the bus has lost is missed by nobody: the next number says so."""
    run = await scene.start(COUNTS)
    async with running(scene):
        await scene.until(lambda: has_status(scene, run, "running"), ticks=True)
        heard = scene.price
        for _ in range(20):
            await scene.tick(heard=False)
        await scene.tick()
        await scene.until(lambda: _has_logged(scene, run, scene.price), ticks=False)
    prices = [int(line.split()[-1]) for line in await scene.log(run)]
    assert prices == list(range(prices[0], prices[-1] + 1))
    assert prices[0] <= heard + 1


async def test_a_change_of_an_order_reaches_it_and_its_exits(scene: Scene) -> None:
    run = await scene.start(MOVES)
    async with running(scene):
        await scene.until(lambda: has_sent(scene, run, 4), ticks=True)
        await scene.world.settle(ALPHA)
    account = await scene.world.find(ALPHA, run.account_id)
    (entry,) = [one for one in account.working.values() if one.terms.parent_id is None]
    exits = [one for one in account.working.values() if one.terms.parent_id == entry.order_id]
    assert entry.terms.limit_ticks == 101_000
    stop, target = sorted(exits, key=lambda one: one.order_type, reverse=True)
    assert (stop.terms.trigger_ticks, target.terms.limit_ticks) == (99_000, 103_000)
    assert entry.size_steps == 99


async def _has_logged(scene: Scene, run: StrategyRun, price: int) -> bool:
    log = await scene.log(run)
    return bool(log) and log[-1].endswith(str(price))
