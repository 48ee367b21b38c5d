"""One batch of pending commands a tenant."""

from collections.abc import Sequence
from typing import Final

from quantlab_app.ports.container import Ports
from quantlab_app.use_cases import execution

FULL_TURN: Final = execution.BATCH_MAX


async def waiting(ports: Ports) -> Sequence[str]:
    return await ports.execution.pending_tenants()


async def handle(
    ports: Ports, tenant_ids: Sequence[str], account_ids: Sequence[str] | None = None
) -> int:
    """Take one turn; with accounts named, turns until nothing of theirs is pending."""
    settled = turn = await execution.execute_pending(ports, tenant_ids, account_ids)
    while account_ids is not None and turn >= FULL_TURN:
        turn = await execution.execute_pending(ports, tenant_ids, account_ids)
        settled += turn
    return settled
