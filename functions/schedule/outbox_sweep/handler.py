"""The net below the outbox's queue functions."""

from quantlab_app.ports.container import Ports
from quantlab_app.use_cases import publishing


async def handle(ports: Ports) -> int:
    return await publishing.sweep_outbox(ports)
