"""A small world on a database of its own, for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.stack import Stack, fresh_database
from tests.support.world import World, world


@pytest.fixture
async def small(stack: Stack, redis_url: str, tmp_path: Path) -> AsyncIterator[World]:
    with fresh_database(stack) as database:
        async with world(database.app_dsn, redis_url, tmp_path) as made:
            yield made
