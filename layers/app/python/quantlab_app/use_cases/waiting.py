"""Waiting for an event but not for ever, and ending tasks for certain.

asyncio.wait_for of Python 3.11 loses a cancellation that comes with what it waits for
(github.com/python/cpython/issues/86296); clients of stores use it, so one cancellation is not sure
to arrive.
"""

import asyncio
import contextlib
from collections.abc import Coroutine, Iterable
from typing import Any, Final

CANCEL_AGAIN_S: Final = 1.0


async def wait_at_most(event: asyncio.Event, seconds: float) -> None:
    """Wait until the event is set, or that many seconds; who must know asks the event."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


async def run_until(stop: asyncio.Event, works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run works that do not return until told to stop or one of them fails; raise what it raised.

    When this returns, all have ended.
    """
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(work) for work in works]
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((*tasks, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end_all((*tasks, stopping))
    for task in tasks:
        if not task.cancelled():
            task.result()


async def run_all(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run works until each has returned or one of them fails; raise what it raised.

    When this returns, all have ended.
    """
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        await end_all(tasks)


async def end_all(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks until all have ended, whatever they end with."""
    ending = pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_S)
    await asyncio.gather(*ending, return_exceptions=True)
