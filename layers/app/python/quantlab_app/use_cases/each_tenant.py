"""The same work for every tenant, so that nobody goes without because of another."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

import structlog

# The sweep of a checkpoint takes three connections of the pool: two of the eight stay free.
TENANTS_AT_ONCE: Final = 2
T = TypeVar("T")

_log = structlog.get_logger("quantlab.tenants")


async def of_each(tenant_ids: Iterable[str], work: Callable[[str], Awaitable[T]]) -> list[T]:
    """Do the work of every tenant, two at a time: one is read while the other is judged.

    The first failure is raised once all have been tried; each is logged with its tenant.
    """
    turns = asyncio.Semaphore(TENANTS_AT_ONCE)

    async def one(tenant_id: str) -> T:
        async with turns:
            try:
                return await work(tenant_id)
            except Exception as error:
                fault = type(error).__name__
                _log.warning("tenant failed", tenant_id=tenant_id, fault=fault, detail=str(error))
                raise

    done: list[T] = []
    for result in await asyncio.gather(*map(one, tenant_ids), return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
        done.append(result)
    return done
