"""The end of trading days that no command noticed."""

from quantlab_app.ports.container import Ports
from quantlab_app.use_cases import schedules


async def handle(ports: Ports) -> int:
    return await schedules.roll_days(ports)
