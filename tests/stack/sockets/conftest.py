"""The accounts that sockets are about, and the hub behind a real server, for each test."""

from collections.abc import AsyncIterator

import pytest
from tests.support import sockets
from tests.support.sockets import House
from tests.support.stack import FreshDatabase


@pytest.fixture(scope="module")
def accounts(fresh_database: FreshDatabase) -> FreshDatabase:
    sockets.prepare_accounts(fresh_database.superuser_dsn)
    return fresh_database


@pytest.fixture
async def house(accounts: FreshDatabase, redis_url: str) -> AsyncIterator[House]:
    async with sockets.running_house(accounts.app_dsn, redis_url) as running:
        yield running
