"""One batch of events a tenant for the audit log."""

from collections.abc import Sequence
from typing import Final

from quantlab_app.ports.container import Ports
from quantlab_app.use_cases import audit
from quantlab_edge import observe

FULL_TURN: Final = audit.BATCH_MAX
# Nobody waits for the log: a turn for one signal costs nearly what one for fifty does, and a wake a
# commit would cost every listener of the database.
SWEEP_EVERY_S: Final = 0.2
BUSY_SWEEP_EVERY_S: Final = 1.0


async def waiting(ports: Ports) -> Sequence[str]:
    return await ports.outbox.tenants_waiting("audit", 0.0)


async def handle(ports: Ports, tenant_ids: Sequence[str]) -> int:
    added = sum([await audit.append_pending(ports, tenant_id) for tenant_id in tenant_ids])
    observe.audit_entries.inc(added)
    return added
