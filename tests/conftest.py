"""Fixtures every kind of test may use, and which tests share a process where there are several."""

import functools
import gc
import os
from collections.abc import AsyncIterator, Generator, Iterator

import botocore.loaders
import httpx._transports.default
import pytest
import redis
import structlog
from hypothesis import HealthCheck, settings

import quantlab_edge.store_ports
from tests.support import stack as stacks
from tests.support.groups import group_of, place_of
from tests.support.receiver import Receiver, receiving

# How long an example takes says something of the machine only.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
# A process is composed once; here hundreds would read certificates, services and calendars anew.
for module, maker in (
    (httpx._transports.default, "create_ssl_context"),
    (botocore.loaders, "create_loader"),
    (quantlab_edge.store_ports, "read_catalog"),
):
    setattr(module, maker, functools.cache(getattr(module, maker)))

# Much goes wrong on purpose: drawing its tracebacks took eight seconds of all unit tests.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)


def pytest_configure(config: pytest.Config) -> None:
    """Compile once for all platforms and processes of all runs: it takes half a minute each."""
    # The folder of `make engine`, also with -p no:cacheprovider.
    folder = config.rootpath / ".pytest_cache" / "d" / "native"
    os.environ.setdefault("QUANTLAB_NATIVE_FOLDER", str(folder))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for garbage neither while modules and tests are made nor, later, among them."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None]:
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group_of(item)))
    yield
    items.sort(key=place_of)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse to run with torn groups: each process would start every platform of its own."""
    if getattr(session.config.option, "loadgroup", False):
        torn = [item.nodeid for item in session.items if "@" not in item.nodeid]
        assert not torn, f"pytest-xdist did not group {len(torn)} tests, such as {torn[0]}"


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


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A server of its own that outbound webhooks go to."""
    async with receiving() as made:
        yield made
