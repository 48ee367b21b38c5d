"""A world in which strategies run, for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.stack import Stack
from tests.support.strategy_scene import Scene, staged


@pytest.fixture
async def scene(stack: Stack, redis_url: str, tmp_path: Path) -> AsyncIterator[Scene]:
    async with staged(stack, redis_url, tmp_path) as made:
        yield made


@pytest.fixture
def lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the sandbox lack what this kernel may lack, in this process too."""
    monkeypatch.setenv("QUANTLAB_SANDBOX_MAY_LACK", "landlock seccomp")
