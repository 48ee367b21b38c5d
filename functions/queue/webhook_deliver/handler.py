"""One turn a tenant for its webhook endpoints."""

import asyncio
from collections.abc import Sequence
from typing import Final

from quantlab_app.ports.container import Ports
from quantlab_app.use_cases import webhook_delivery
from quantlab_edge import observe

# A turn goes on until nothing is due, or asks for another one itself: no host need repeat it.
FULL_TURN: Final = 1 << 31
# It waits for other people's servers: those of one tenant must hold up no other.
TENANTS_A_TURN: Final = 1
SWEEP_EVERY_S: Final = 0.5


async def waiting(ports: Ports) -> Sequence[str]:
    return await ports.webhook_deliveries.waiting_tenants(ports.clock.now_ns())


async def handle(ports: Ports, tenant_ids: Sequence[str]) -> int:
    turns = (webhook_delivery.deliver(ports, tenant_id) for tenant_id in tenant_ids)
    attempts = 0
    ended = await asyncio.gather(*turns, return_exceptions=True)
    for one in ended:
        if isinstance(one, BaseException):
            raise one
        attempts += one
    observe.webhook_attempts.inc(attempts)
    return attempts
