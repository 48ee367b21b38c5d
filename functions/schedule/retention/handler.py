"""The hourly round of retention."""

from quantlab_app.ports.container import Ports
from quantlab_app.use_cases import retention


async def handle(ports: Ports) -> int:
    return await retention.forget(ports)
