"""One platform for all tests of this folder that do not end it."""

from collections.abc import Iterator

import pytest

from tests.support.load_house import load_platform
from tests.support.running_platform import Platform


@pytest.fixture(scope="package")
def running() -> Iterator[Platform]:
    with load_platform() as made:
        yield made
