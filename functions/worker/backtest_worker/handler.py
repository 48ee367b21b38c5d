"""Runs of backtests, one at a time."""

import asyncio
from typing import Final

from quantlab_app.ports.container import Ports
from quantlab_app.use_cases.backtest_work import work_until

# A run takes all of a core for long: orders come first.
UNHURRIED: Final = True


async def run(ports: Ports, stop: asyncio.Event) -> None:
    await work_until(ports, stop)
