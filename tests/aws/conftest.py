"""Lambdas and the self-hosted server on one world, for a module of tests."""

import gzip
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import redis

from quantlab_adapters.aws.clients import Clients
from tests.support.lambdas import Twins, twins
from tests.support.market_data import vectors_file
from tests.support.stack import FreshDatabase, Stack
from tests.support.twin_site import Cast, cast


@pytest.fixture(scope="module")
def hosts(
    fresh_database: FreshDatabase, stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Twins]:
    with redis.Redis.from_url(stack.redis_url) as client:
        client.flushall()
    state = tmp_path_factory.mktemp("twins")
    with (
        pytest.MonkeyPatch.context() as patch,
        twins(fresh_database.app_dsn, stack.redis_url, state, patch) as made,
    ):
        yield made


@pytest.fixture(scope="module")
def people(hosts: Twins) -> Cast:
    return hosts.do(cast(hosts.world))


@pytest.fixture(scope="session")
def vector() -> Callable[[str], Any]:
    """Read an event that AWS has published; skip in a clone without them."""

    def read(name: str) -> Any:
        path = vectors_file("aws_events.json.gz")
        if path is None:
            pytest.skip("the folder of test vectors is not here")
        return json.loads(gzip.decompress(path.read_bytes()))[name]

    return read


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Services of AWS that answer over HTTP, as moto plays them."""
    from moto.server import ThreadedMotoServer  # a second, which most processes never need

    running = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
async def clients(server: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Clients]:
    """Clients of the adapters, bound to those services."""
    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    made = Clients(socket_endpoint=server)
    yield made
    await made.close()
