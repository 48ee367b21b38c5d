"""The application on real stores, fresh for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.resources import Site, site
from tests.support.stack import FreshDatabase


@pytest.fixture
async def served(
    fresh_database: FreshDatabase, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Site]:
    monkeypatch.setenv("QUANTLAB_ARGON2_TIME_COST", "1")
    monkeypatch.setenv("QUANTLAB_ARGON2_MEMORY_KIB", "8192")
    async with site(fresh_database.app_dsn, redis_url, tmp_path) as made:
        yield made
