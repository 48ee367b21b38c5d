"""Fixtures every kind of test may use, and which tests share a process where there are several."""

from collections.abc import Iterator

import pytest
import redis

from tests.support import stack as stacks
from tests.support.groups import group_of


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group_of(item)))


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
