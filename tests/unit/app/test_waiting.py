"""Waiting for an event and ending tasks, where a cancellation comes at a bad moment."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from quantlab_app.use_cases import waiting
from quantlab_app.use_cases.waiting import end_all, run_all, run_until, wait_at_most


async def test_waits_no_longer_than_asked() -> None:
    event = asyncio.Event()
    await wait_at_most(event, 0.01)
    event.set()
    async with asyncio.timeout(5):
        await wait_at_most(event, 60)


@pytest.mark.parametrize("turns", range(5))
async def test_a_cancellation_that_comes_with_the_event_arrives(turns: int) -> None:
    event = asyncio.Event()

    async def forever() -> None:
        while True:
            event.clear()
            await wait_at_most(event, 60)

    task = asyncio.create_task(forever())
    await asyncio.sleep(0)
    event.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task}, timeout=1)
    assert task.cancelled()


async def test_tasks_end_though_one_loses_its_first_cancellation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waiting, "CANCEL_AGAIN_S", 0.01)
    lost: list[bool] = []

    async def careless() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            lost.append(True)
        await asyncio.sleep(60)

    async def failing() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            raise RuntimeError("while ending")

    tasks = [asyncio.create_task(one()) for one in (careless, failing)]
    await asyncio.sleep(0)
    await end_all(tasks)
    assert lost == [True]
    assert [task.done() for task in tasks] == [True, True]


async def test_works_run_until_told_to_stop() -> None:
    stop, ended = asyncio.Event(), []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    asyncio.get_running_loop().call_later(0.01, stop.set)
    await run_until(stop, (work(), work()))
    assert ended == [True, True]


async def test_works_run_until_all_have_returned() -> None:
    done: list[int] = []

    async def work(number: int) -> None:
        await asyncio.sleep(0.001 * number)
        done.append(number)

    await run_all(work(number) for number in range(3))
    assert done == [0, 1, 2]


@pytest.mark.parametrize("run", [partial(run_until, asyncio.Event()), run_all])
async def test_one_that_fails_ends_the_others(run: Callable[..., Awaitable[None]]) -> None:
    others: list[bool] = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            others.append(True)

    async def failing() -> None:
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        await run((work(), failing()))
    assert others == [True]
