"""Lambdas and the self-hosted server on one world, for a module of tests."""

import gzip
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

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
