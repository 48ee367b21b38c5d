"""A world whose webhooks go to this machine, for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.outbound_house import House, house_on
from tests.support.stack import Stack


@pytest.fixture
async def house(stack: Stack, redis_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with house_on(stack, redis_url, tmp_path) as made:
        yield made
