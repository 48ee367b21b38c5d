"""The compiled engine, once for all tests: it takes a minute of a core where it is new."""

from pathlib import Path

import pytest

from quantlab_edge import backtest


@pytest.fixture(scope="session")
def engine(request: pytest.FixtureRequest) -> backtest.EngineFiles:
    folder = Path(str(request.config.cache.mkdir("quantlab-native")))
    return backtest.engine(folder, print)
