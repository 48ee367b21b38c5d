"""One batch of events a tenant that may not have reached the sockets."""

from collections.abc import Sequence
from typing import Final

from quantlab_app.ports.container import Ports
from quantlab_app.use_cases import publishing

FULL_TURN: Final = publishing.BATCH_MAX
SWEEP_EVERY_S: Final = 0.5


async def waiting(ports: Ports) -> Sequence[str]:
    return await ports.outbox.tenants_waiting("publish", publishing.UNSENT_S)


async def handle(ports: Ports, tenant_ids: Sequence[str]) -> int:
    return sum(
        [
            await publishing.republish(ports, tenant_id, publishing.UNSENT_S)
            for tenant_id in tenant_ids
        ]
    )
