"""Live strategies whose runner was killed: it begins again where it was, or says why not."""

import signal

import psycopg
import pytest
from tests.support.strategy_scene import (
    RESTS,
    TURNS,
    Scene,
    feeding,
    fills_of,
    has_fed,
    has_sent,
    has_status,
    is_told_all,
    query,
    running,
    tenant_events,
    works,
)
from tests.support.world import ALPHA

from quantlab.live.intents import signal_id_of
from quantlab_app.use_cases import strategy_feeding, strategy_runner
from quantlab_app.use_cases.strategy_runs import end_runs

pytestmark = pytest.mark.stack
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


async def test_a_killed_runner_goes_on_where_it_was(scene: Scene) -> None:
    """Orders are neither lost nor sent twice, and the state is the one there was."""
    run = await scene.start(TURNS)
    process = scene.runner()
    await scene.until(lambda: has_sent(scene, run, 4), ticks=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    # What it was fed and had not kept is lost with it; the tick log still has it.
    before = await scene.read(run)
    assert before.status == "running"
    for _ in range(7):
        await scene.tick()
    async with running(scene):
        await scene.until(lambda: has_fed(scene, run, before.events + 7), ticks=False)
        await scene.until(lambda: has_sent(scene, run, before.orders_sent + 4), ticks=True)
        await scene.until(lambda: is_told_all(scene, run))
        await end_runs(scene.world.ports, scene.world.scope(ALPHA), run.account_id, run.run_id,
                       kill=False)  # fmt: skip
        await scene.until(lambda: has_status(scene, run, "stopped"))
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
    assert len(fills) in (count := await fills_of(scene, run), count - 1)
    assert [line.split()[2] for line in fills] == [str(n) for n in range(1, len(fills) + 1)]
    assert "ends after" in log[-1]


async def test_a_replay_that_ends_elsewhere_is_refused(scene: Scene) -> None:
    run = await scene.start(TURNS)
    process = scene.runner()
    await scene.until(lambda: has_sent(scene, run, 1), ticks=True)
    process.kill()
    process.wait()
    with psycopg.connect(scene.database.superuser_dsn) as connection:
        connection.execute("update quantlab.strategy_run set state_hash = repeat('0', 64)")
    async with running(scene):
        await scene.until(lambda: has_status(scene, run, "failed"))
    assert (await scene.read(run)).reason == "replay_mismatch"


async def test_a_run_warms_up_over_recorded_ticks_and_is_rebuilt_with_them(scene: Scene) -> None:
    """What it gives meanwhile is neither sent nor told; its state and its numbers go on."""
    for _ in range(9):
        await scene.tick(heard=False)
    run = await scene.start(WARMS, warm_up_s=3600)
    process = scene.runner()
    await scene.until(lambda: has_status(scene, run, "running"))
    await scene.until(lambda: has_sent(scene, run, 2), ticks=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    async with running(scene):
        await scene.until(lambda: has_sent(scene, run, 4), ticks=True)
        await end_runs(scene.world.ports, scene.world.scope(ALPHA), run.account_id, run.run_id,
                       kill=False)  # fmt: skip
        await scene.until(lambda: has_status(scene, run, "stopped"))
    log = await scene.log(run)
    told = [int(line.split()[2]) for line in log if line.startswith("log")]
    assert told == list(range(11, told[-1] + 1))
    after = await scene.read(run)
    numbers = {signal_id_of(run.run_id, number): number for number in range(1, after.orders + 1)}
    given = [numbers[one] for one in await scene.sent(run)]
    assert sorted(given + _late(log)) == list(range(6, after.orders + 1))


async def test_a_run_is_rebuilt_from_a_snapshot_or_the_one_before(
    lacking: None, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its journal stays short; a damaged snapshot is not believed, and neither is none at all."""
    monkeypatch.setattr(strategy_feeding, "SNAPSHOT_EVENTS", 10)
    monkeypatch.setattr(strategy_runner, "RETRY_S", 0.01)
    run = await scene.start(TURNS)
    async with feeding(scene):
        await scene.until(lambda: has_sent(scene, run, 12), ticks=True)
    before = await scene.read(run)
    kept = query(scene, "select step from quantlab.strategy_run_snapshot order by step desc")
    steps = query(scene, "select step from quantlab.strategy_run_step order by step")
    assert len(kept) == 2
    assert steps[0][0] == kept[1][0] + 1
    async with feeding(scene):
        await scene.until(lambda: has_sent(scene, run, before.orders_sent + 2), ticks=True)
    damaged = "update quantlab.strategy_run_snapshot set image = overlay(image placing %s from 99)"
    newest = " where step = (select max(step) from quantlab.strategy_run_snapshot)"
    query(scene, damaged + newest, b"damaged")
    before = await scene.read(run)
    async with feeding(scene):
        await scene.until(lambda: has_sent(scene, run, before.orders_sent + 2), ticks=True)
    sent = await scene.sent(run)
    after = await scene.read(run)
    numbers = {signal_id_of(run.run_id, number): number for number in range(1, after.orders + 1)}
    assert [numbers[one] for one in sent] == list(range(1, after.orders + 1))
    query(scene, damaged, b"damaged")
    async with feeding(scene):
        await scene.until(lambda: has_status(scene, run, "failed"))
    assert (await scene.read(run)).reason == "snapshot_unreadable"


async def test_a_run_whose_terms_cannot_be_read_ends_with_its_orders(scene: Scene) -> None:
    """It is not taken up for ever; nothing of it works on, for nobody would look after it."""
    run = await scene.start(RESTS)
    process = scene.runner()
    await scene.until(lambda: works(scene, run), ticks=True)
    process.kill()
    process.wait()
    with psycopg.connect(scene.database.superuser_dsn) as connection:
        connection.execute("update quantlab.strategy_run set terms = '{}'")
    async with running(scene):
        await scene.until(lambda: has_status(scene, run, "failed"))
    assert (await scene.read(run)).reason == "internal_error"
    await scene.world.settle(ALPHA)
    assert (await scene.world.find(ALPHA, run.account_id)).working == {}
    assert "strategy.failed" in await tenant_events(scene)


def _late(log: list[str]) -> list[int]:
    """Return the numbers of orders that were not sent, for their events were too old by then."""
    return [int(line.split()[2]) for line in log if line.endswith("was not sent: late")]
