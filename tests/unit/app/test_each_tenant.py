"""Work for every tenant: two at a time, and nobody goes without because of another."""

import asyncio

import pytest
from structlog.testing import capture_logs

from quantlab_app.use_cases.each_tenant import of_each

TENANTS = ("alpha", "beta", "gamma", "delta", "epsilon")


async def test_results_come_in_the_order_of_tenants_and_two_work_at_a_time() -> None:
    working: set[str] = set()
    most = 0

    async def work(tenant_id: str) -> str:
        nonlocal most
        working.add(tenant_id)
        most = max(most, len(working))
        for _ in range(len(TENANTS) - TENANTS.index(tenant_id)):
            await asyncio.sleep(0)
        working.remove(tenant_id)
        return tenant_id.upper()

    assert await of_each(TENANTS, work) == [one.upper() for one in TENANTS]
    assert most == 2
    assert await of_each((), work) == []


async def test_the_first_failure_is_raised_once_all_have_been_tried() -> None:
    tried = []

    async def work(tenant_id: str) -> None:
        tried.append(tenant_id)
        if tenant_id in ("beta", "delta"):
            raise LookupError(tenant_id)

    with capture_logs() as logs, pytest.raises(LookupError, match="beta"):
        await of_each(TENANTS, work)
    assert [one["tenant_id"] for one in logs] == ["beta", "delta"]
    assert sorted(tried) == sorted(TENANTS)


async def test_an_end_that_is_asked_for_ends_the_work_of_all() -> None:
    both_work, ended = asyncio.Barrier(3), []

    async def work(tenant_id: str) -> None:
        await both_work.wait()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(tenant_id)

    whole = asyncio.create_task(of_each(TENANTS, work))
    await both_work.wait()
    await asyncio.sleep(0)
    whole.cancel()
    with pytest.raises(asyncio.CancelledError):
        await whole
    assert sorted(ended) == ["alpha", "beta"]
