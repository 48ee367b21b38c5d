"""The queue runner: who is drained when, how many at once, and what a fault and a bug do."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from quantlab_app.ports.errors import StoreUnavailable
from quantlab_server.queue_runner import QueueRunner

NEVER_S = 3600.0


class Wakes:
    """Wakes from a list that a test fills."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[str | Exception] = asyncio.Queue()
        self.attached = 0

    async def listen(self, queue: str) -> AsyncIterator[str]:
        assert queue == "orders"
        self.attached += 1
        while True:
            item = await self.queue.get()
            if isinstance(item, Exception):
                raise item
            yield item


class Scene:
    def __init__(self, lanes: int = 2, sweep_every_s: float = NEVER_S) -> None:
        self.drained: list[str] = []
        self.running: set[str] = set()
        self.most = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.fault: Exception | None = None
        self.wakes = Wakes()
        self.stop = asyncio.Event()
        self.rows: dict[str, int] = {}
        self.found: list[str] = []
        self.sweeps = 0
        self.sweep_fault: Exception | None = None
        self.runner = QueueRunner("orders", self.drain, self.waiting, lanes, 10, sweep_every_s)
        self.runner.tenants_a_turn = 1
        self.task = asyncio.create_task(self.runner.run(self.wakes, self.stop))

    async def waiting(self) -> Sequence[str]:
        self.sweeps += 1
        if self.sweep_fault is not None:
            raise self.sweep_fault
        return self.found

    async def drain(self, tenant_ids: Sequence[str]) -> int:
        (tenant_id,) = tenant_ids
        assert tenant_id not in self.running, "one drain of a tenant at a time"
        self.running.add(tenant_id)
        self.most = max(self.most, len(self.running))
        try:
            await self.gate.wait()
            if self.fault is not None:
                raise self.fault
        finally:
            self.running.discard(tenant_id)
        self.drained.append(tenant_id)
        settled = min(self.rows.get(tenant_id, 1), 10)
        self.rows[tenant_id] = self.rows.get(tenant_id, 1) - settled
        return settled

    async def finish(self) -> None:
        self.stop.set()
        await asyncio.wait_for(self.task, 5)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.001)


async def test_the_first_sweep_is_at_once_and_wakes_name_the_tenant() -> None:
    scene = Scene()
    scene.found = ["beta"]
    await until(lambda: scene.drained == ["beta"])
    scene.wakes.queue.put_nowait("alpha")
    await until(lambda: scene.drained == ["beta", "alpha"])
    await scene.finish()


async def test_sweeps_repeat_without_any_wake_and_outlive_a_fault() -> None:
    scene = Scene(sweep_every_s=0.01)
    scene.sweep_fault = StoreUnavailable("gone")
    await until(lambda: scene.sweeps >= 2)
    scene.sweep_fault = None
    scene.found = ["beta"]
    await until(lambda: scene.drained.count("beta") >= 3)
    await scene.finish()


async def test_a_full_turn_is_followed_by_another_behind_the_others() -> None:
    scene = Scene(lanes=1)
    scene.rows = {"busy": 25, "idle": 3}
    scene.gate.clear()
    scene.wakes.queue.put_nowait("busy")
    scene.wakes.queue.put_nowait("idle")
    await until(scene.wakes.queue.empty)
    scene.gate.set()
    await until(lambda: len(scene.drained) == 4)
    await scene.finish()
    assert scene.drained == ["busy", "idle", "busy", "busy"]


async def test_lanes_bound_what_runs_and_nobody_is_forgotten() -> None:
    scene = Scene(lanes=2)
    await until(lambda: scene.sweeps == 1)
    scene.gate.clear()
    for name in ("a", "b", "c", "d"):
        scene.wakes.queue.put_nowait(name)
    await until(lambda: len(scene.running) == 2)
    scene.gate.set()
    await until(lambda: len(scene.drained) == 4)
    assert scene.most == 2
    assert scene.drained == ["a", "b", "c", "d"]
    await scene.finish()


async def test_a_wake_during_a_drain_means_one_more() -> None:
    scene = Scene()
    await until(lambda: scene.sweeps == 1)
    scene.gate.clear()
    scene.wakes.queue.put_nowait("alpha")
    await until(lambda: scene.running == {"alpha"})
    for _ in range(3):
        scene.wakes.queue.put_nowait("alpha")
    await until(scene.wakes.queue.empty)
    scene.gate.set()
    await until(lambda: scene.drained == ["alpha", "alpha"])
    await scene.finish()
    assert scene.drained == ["alpha", "alpha"]


async def test_a_fault_of_the_world_leaves_the_runner_running() -> None:
    scene = Scene()
    scene.fault = StoreUnavailable("gone")
    scene.wakes.queue.put_nowait("alpha")
    await until(scene.wakes.queue.empty)
    await until(lambda: not scene.running)
    scene.fault = None
    scene.wakes.queue.put_nowait("alpha")
    await until(lambda: "alpha" in scene.drained)
    await scene.finish()


async def test_a_bug_ends_the_runner() -> None:
    scene = Scene()
    scene.fault = ZeroDivisionError()
    scene.wakes.queue.put_nowait("alpha")
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(scene.task, 5)


async def test_a_lost_listener_listens_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quantlab_server.queue_runner.LISTEN_AGAIN_S", 0.001)
    scene = Scene()
    scene.wakes.queue.put_nowait(StoreUnavailable("gone"))
    await until(lambda: scene.wakes.attached == 2)
    scene.wakes.queue.put_nowait("alpha")
    await until(lambda: "alpha" in scene.drained)
    await scene.finish()


async def test_stopping_lets_a_running_drain_finish() -> None:
    scene = Scene()
    await until(lambda: scene.sweeps == 1)
    scene.gate.clear()
    scene.wakes.queue.put_nowait("alpha")
    await until(lambda: scene.running == {"alpha"})
    scene.stop.set()
    await asyncio.sleep(0.01)
    assert not scene.task.done()
    scene.gate.set()
    await scene.finish()
    assert scene.drained == ["alpha"]


async def test_a_queue_that_is_not_woken_lives_from_its_sweeps() -> None:
    wakes, stop = Wakes(), asyncio.Event()
    drained: list[str] = []

    async def drain(tenant_ids: Sequence[str]) -> int:
        drained.extend(tenant_ids)
        return 0

    async def waiting() -> Sequence[str]:
        return ["alpha"] if len(drained) < 2 else []

    runner = QueueRunner("orders", drain, waiting, 1, sweep_every_s=0.01, woken=False)
    running = asyncio.create_task(runner.run(wakes, stop))
    await asyncio.sleep(0.1)
    stop.set()
    await running
    assert (drained, wakes.attached) == (["alpha", "alpha"], 0)


class SharedTurns:
    """A runner of three lanes and four tenants a turn, whose turns last until they are let go."""

    def __init__(self) -> None:
        self.begun: list[list[str]] = []
        self.gate = asyncio.Event()
        self.runner = QueueRunner("orders", self.drain, self.nobody, lanes=3, full_turn=1000)
        self.runner.tenants_a_turn = 4

    async def drain(self, tenant_ids: Sequence[str]) -> int:
        self.begun.append(list(tenant_ids))
        await self.gate.wait()
        return 1

    async def nobody(self) -> Sequence[str]:
        return ()

    async def wake(self, names: str) -> None:
        for name in names:
            self.runner.wake(name)
        await asyncio.sleep(0.001)


async def test_a_turn_takes_all_who_came_while_the_one_before_was_under_way() -> None:
    turns = SharedTurns()
    await turns.wake("a")
    await turns.wake("bac")
    assert turns.begun == [["a"]]
    turns.gate.set()
    await asyncio.sleep(0.01)
    assert turns.begun == [["a"], ["b", "a", "c"]]


async def test_another_lane_takes_a_turn_that_is_whole() -> None:
    turns = SharedTurns()
    await turns.wake("a")
    await turns.wake("bcdefghijklmnop")
    assert turns.begun == [["a"], ["b", "c", "d", "e"], ["f", "g", "h", "i"]]


async def test_a_slow_turn_holds_up_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = SharedTurns()
    await turns.wake("a")
    await turns.wake("ab")
    monkeypatch.setattr("quantlab_server.queue_runner.SLOW_S", 0.0)
    await turns.wake("b")
    assert turns.begun == [["a"], ["b"]]


async def test_it_ends_where_a_cancellation_is_lost() -> None:
    """As asyncio's own wait_for loses one on Python 3.11, when what it waits for ends just then."""
    stop = asyncio.Event()

    async def deaf() -> Sequence[str]:
        try:
            await asyncio.sleep(NEVER_S)
        except asyncio.CancelledError:
            return ()
        return ()

    async def drain(_: Sequence[str]) -> int:
        return 0

    runner = QueueRunner("orders", drain, deaf, 1, 10, 0.01)
    running = asyncio.create_task(runner.run(Wakes(), stop))
    await asyncio.sleep(0.05)
    stop.set()
    await asyncio.wait_for(running, 5)


async def test_a_sweep_that_found_something_is_followed_by_a_longer_rest() -> None:
    scene = Scene(sweep_every_s=0.001)
    scene.runner.busy_sweep_every_s = NEVER_S
    await until(lambda: scene.sweeps > 3)
    scene.found = ["a"]
    await until(lambda: scene.drained == ["a"])
    sweeps = scene.sweeps
    await asyncio.sleep(0.05)
    assert (scene.sweeps, scene.drained) == (sweeps, ["a"])
    await scene.finish()
