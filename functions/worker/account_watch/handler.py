"""The watch over open positions, with its numbers."""

import asyncio

from quantlab_app.ports.container import Ports
from quantlab_app.use_cases.account_watch import AccountWatch
from quantlab_edge import observe


async def run(ports: Ports, stop: asyncio.Event) -> None:
    await AccountWatch(ports, _note_detection, _note_watched).run(stop)


def _note_detection(command: str, seconds: float) -> None:
    observe.detection_seconds.labels(command).observe(seconds)


def _note_watched(accounts: int, positions: int) -> None:
    observe.watched_accounts.set(accounts)
    observe.watched_positions.set(positions)
