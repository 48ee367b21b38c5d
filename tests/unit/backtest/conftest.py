"""The compiled engine, once for all tests: it takes a minute of a core where it is new."""

import os
from pathlib import Path

import pytest

from quantlab_edge import backtest


@pytest.fixture(scope="session")
def engine() -> backtest.EngineFiles:
    return backtest.engine(Path(os.environ["QUANTLAB_NATIVE_FOLDER"]), print)


@pytest.fixture(scope="session")
def code() -> backtest.KeptCode:
    """Strategies of tests, compiled once where they have not changed."""
    return backtest.KeptCode(Path(os.environ["QUANTLAB_NATIVE_FOLDER"]))
