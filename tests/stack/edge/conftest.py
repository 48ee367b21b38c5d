"""The whole application on stores that can be cut off, for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.edge import House, running_house
from tests.support.stack import FreshDatabase


@pytest.fixture
async def house(
    fresh_database: FreshDatabase, redis_url: str, tmp_path: Path
) -> AsyncIterator[House]:
    async with running_house(fresh_database.app_dsn, redis_url, tmp_path) as running:
        yield running
