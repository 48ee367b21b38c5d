"""The worker that posts to a gateway's sockets, in its parts, for each test."""

from collections.abc import AsyncIterator

import pytest
from tests.support import pushes as support
from tests.support.push_parts import Parts
from tests.support.pushes import Gateway, MemoryPushes, Worker
from tests.support.sockets import House
from tests.support.stack import FreshDatabase


@pytest.fixture
async def parts(accounts: FreshDatabase, redis_url: str) -> AsyncIterator[Parts]:
    async with support.running_worker(accounts.app_dsn, redis_url) as running:
        yield running


@pytest.fixture
def gateway(parts: Parts) -> Gateway:
    return parts[0]


@pytest.fixture
def worker(parts: Parts) -> Worker:
    return parts[1]


@pytest.fixture
def pushes(parts: Parts) -> MemoryPushes:
    return parts[2]


@pytest.fixture
def house(gateway: Gateway) -> House:
    return gateway.house
