"""Runs of backtests, one at a time."""

import asyncio

from quantlab_app.ports.container import Ports
from quantlab_app.use_cases.backtest_work import work_until


async def run(ports: Ports, stop: asyncio.Event) -> None:
    await work_until(ports, stop)
