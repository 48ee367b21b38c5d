"""The host of the sockets that a gateway holds."""

import asyncio

from quantlab_app.ports.container import Ports
from quantlab_edge.hub_push import PushHub


async def run(ports: Ports, stop: asyncio.Event) -> None:
    await PushHub(ports).run(stop)
