"""One platform for all tests of this folder that do not end it, with two tenants that have all."""

from collections.abc import Iterator

import pytest

from tests.support.load_house import load_platform
from tests.support.running_platform import Platform
from tests.support.street import Street, settled_street


@pytest.fixture(scope="package")
def running() -> Iterator[Platform]:
    with load_platform() as made:
        yield made


@pytest.fixture(scope="package")
def street(running: Platform) -> Street:
    return settled_street(running)
