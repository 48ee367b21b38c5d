"""Live strategies, each in a sandbox of its own."""

import asyncio

from quantlab_app.ports.container import Ports
from quantlab_app.use_cases.strategy_runner import StrategyRunner
from quantlab_edge import observe


async def run(ports: Ports, stop: asyncio.Event) -> None:
    await StrategyRunner(ports, observe.strategy_runs.set).run(stop)
