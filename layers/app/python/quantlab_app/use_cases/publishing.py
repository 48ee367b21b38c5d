"""Sending again what an executor committed and perhaps never sent; receivers go by seq."""

from typing import Final

from quantlab_app.ports.container import Ports
from quantlab_app.use_cases import audit
from quantlab_app.use_cases.execution import EVENTS_TOPIC, events_message

BATCH_MAX: Final = 256
UNSENT_S: Final = 2.0
# The sweep stands in for queue functions that are down; it leaves them time to do it themselves.
ABANDONED_S: Final = 5.0


async def republish(ports: Ports, tenant_id: str, older_than_s: float) -> int:
    """Send one batch of a tenant's unsent events; return how many outbox rows it settled."""
    outbox_ids, streams = await ports.outbox.unpublished(tenant_id, older_than_s, BATCH_MAX)
    if not outbox_ids:
        return 0
    found = {unsent.stream_id: list(unsent.events) for unsent in streams}
    await ports.event_bus.publish(EVENTS_TOPIC, events_message(tenant_id, found))
    await ports.outbox.drop(tenant_id, outbox_ids)
    return len(outbox_ids)


async def sweep_outbox(ports: Ports) -> int:
    """Take one turn for every tenant whose rows nobody has taken; return the rows settled."""
    settled = 0
    for tenant_id in await ports.outbox.tenants_waiting("publish", ABANDONED_S):
        settled += await republish(ports, tenant_id, ABANDONED_S)
    for tenant_id in await ports.outbox.tenants_waiting("audit", ABANDONED_S):
        settled += await audit.append_pending(ports, tenant_id)
    return settled
