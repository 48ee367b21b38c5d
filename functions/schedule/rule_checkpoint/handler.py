"""The five-minute checkpoint of the rules."""

from quantlab_app.ports.container import Ports
from quantlab_app.use_cases import schedules


async def handle(ports: Ports) -> int:
    return await schedules.checkpoint_rules(ports)
