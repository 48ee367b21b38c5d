"""Run all schedules in one process, each at most once at a time."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from quantlab_app.ports.errors import Fault

FIRST_RUN_FROM_MS: Final = 5_000
MISFIRE_GRACE_S_MIN: Final = 1

_log = structlog.get_logger("quantlab.schedule")


@dataclass(frozen=True, slots=True)
class Job:
    """A schedule by name, its period and what it runs."""

    name: str
    every_ms: int
    run: Callable[[], Awaitable[int]]


async def run_schedules(jobs: tuple[Job, ...], stop: asyncio.Event) -> None:
    """Run the jobs until asked to stop; missed runs are made up once."""
    scheduler = AsyncIOScheduler(timezone="UTC")
    for job in jobs:
        _add(scheduler, job)
    scheduler.start()
    try:
        await stop.wait()
    finally:
        scheduler.shutdown(wait=False)


def _add(scheduler: AsyncIOScheduler, job: Job) -> None:
    running = asyncio.Lock()

    async def run() -> None:
        if running.locked():
            return
        async with running:
            await _run(job)

    scheduler.add_job(
        run,
        IntervalTrigger(seconds=job.every_ms / 1000, timezone="UTC"),
        id=job.name,
        coalesce=True,
        max_instances=1,
        misfire_grace_time=max(MISFIRE_GRACE_S_MIN, job.every_ms // 1000),
    )
    if job.every_ms >= FIRST_RUN_FROM_MS:
        # A restart must not postpone a rare job by its whole period.
        scheduler.add_job(run, id=f"{job.name} at start")


async def _run(job: Job) -> None:
    try:
        handled = await job.run()
    except Fault as fault:
        _log.warning(
            "schedule failed", schedule=job.name, fault=type(fault).__name__, detail=str(fault)
        )
        return
    if handled:
        _log.info("schedule ran", schedule=job.name, handled=handled)
