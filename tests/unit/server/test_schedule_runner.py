"""Schedules: they repeat, one run at a time, and a fault of one run is not the end."""

import asyncio
from collections.abc import Callable

from quantlab_app.ports.errors import StoreUnavailable
from quantlab_server.schedule_runner import Job, run_schedules


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.001)


class Run:
    def __init__(self, work_s: float = 0.0, *, faulty: bool = False) -> None:
        self.count = 0
        self.running = 0
        self.most = 0
        self.work_s = work_s
        self.faulty = faulty

    async def __call__(self) -> int:
        self.count += 1
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(self.work_s)
        self.running -= 1
        if self.faulty:
            raise StoreUnavailable("gone")
        return 1


async def scheduled(job: Job, enough: Callable[[], bool]) -> None:
    stop = asyncio.Event()
    task = asyncio.create_task(run_schedules((job,), stop))
    await until(enough)
    stop.set()
    await asyncio.wait_for(task, 5)


async def test_a_job_repeats() -> None:
    run = Run()
    await scheduled(Job("often", 20, run), lambda: run.count >= 3)


async def test_a_slow_job_never_overlaps_itself() -> None:
    run = Run(work_s=0.05)
    await scheduled(Job("slow", 10, run), lambda: run.count >= 3)
    assert run.most == 1


async def test_a_fault_does_not_end_the_schedule() -> None:
    run = Run(faulty=True)
    await scheduled(Job("faulty", 20, run), lambda: run.count >= 3)


async def test_a_rare_job_runs_at_start() -> None:
    run = Run()
    await scheduled(Job("rare", 300_000, run), lambda: run.count == 1)
