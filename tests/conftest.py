"""Fixtures every kind of test may use."""

from collections.abc import Iterator

import pytest
import redis

from tests.support import stack as stacks
from tests.support.running_platform import Platform


@pytest.fixture(scope="session")
def stack() -> Iterator[stacks.Stack]:
    with stacks.running_stack() as running:
        yield running


@pytest.fixture(scope="module")
def fresh_database(stack: stacks.Stack) -> Iterator[stacks.FreshDatabase]:
    with stacks.fresh_database(stack) as database:
        yield database


@pytest.fixture
def redis_url(stack: stacks.Stack) -> str:
    """An empty Valkey."""
    with redis.Redis.from_url(stack.redis_url) as client:
        client.flushall()
    return stack.redis_url


@pytest.fixture(scope="session")
def running() -> Iterator[Platform]:
    """The whole platform on replayed ticks, for tests that do not end it."""
    from tests.support.load_house import load_platform

    with load_platform() as made:
        yield made
