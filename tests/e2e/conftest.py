"""One platform of each kind for all tests of this folder that do not end it, and accounts there."""

from collections.abc import Iterator

import pytest

from tests.support.aws_platform import AwsPlatform
from tests.support.load_house import limiting_configs, load_platform
from tests.support.running_platform import ROOT, Platform
from tests.support.wrong_input import House, opened

KINDS = {"self-hosted": Platform, "aws-local": AwsPlatform}


@pytest.fixture(scope="package", params=KINDS)
def running(request: pytest.FixtureRequest) -> Iterator[Platform]:
    kind = KINDS[request.param]
    if kind is AwsPlatform and not (ROOT / "infra/cdk/node_modules").exists():
        pytest.skip("the tools of make aws-local are not installed: npm is missing")
    with load_platform(kind, limiting_configs) as made:
        yield made


@pytest.fixture(scope="module")
def house(running: Platform) -> Iterator[House]:
    """One for all tests whose input changes nothing: each compares with what there was before."""
    with opened(running) as made:
        yield made


@pytest.fixture
def own_house(running: Platform) -> Iterator[House]:
    """One for a test that trades, or ends its account."""
    with opened(running) as made:
        yield made
