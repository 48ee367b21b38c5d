"""An inbox whose new rows wake the executor by a queue."""

from collections.abc import Mapping, Sequence
from typing import Final

from quantlab.engine.commands import Event
from quantlab.tenancy.scope import Scope
from quantlab_adapters.aws.wakes import SqsWakes
from quantlab_app.ports.inbox import Accepted, Delivery, Inbox, NewCommand

ORDERS: Final = "orders"


class WakingInbox:
    """Inbox port around another one; the table stays the truth, a lost wake is swept up."""

    def __init__(self, inner: Inbox, wakes: SqsWakes) -> None:
        self._inner = inner
        self._wakes = wakes

    async def accept(self, scope: Scope, command: NewCommand) -> Accepted:
        accepted = await self._inner.accept(scope, command)
        if accepted.new:
            await self._wakes.wake_once(
                ORDERS, scope.tenant_id, command.account_id, command.signal_id
            )
        return accepted

    async def find(
        self, scope: Scope, source_kind: str, source_id: str, key: bytes, body_digest: bytes
    ) -> Accepted | None:
        return await self._inner.find(scope, source_kind, source_id, key, body_digest)

    async def delivery(self, scope: Scope, signal_id: str) -> Delivery | None:
        return await self._inner.delivery(scope, signal_id)

    async def deliveries(
        self,
        scope: Scope,
        *,
        source_kind: str | None,
        account_ids: Sequence[str] | None,
        status: str | None,
        before: int | None,
        limit: int,
    ) -> Sequence[Delivery]:
        return await self._inner.deliveries(
            scope,
            source_kind=source_kind,
            account_ids=account_ids,
            status=status,
            before=before,
            limit=limit,
        )

    async def histories(
        self, scope: Scope, deliveries: Sequence[Delivery]
    ) -> Mapping[str, Sequence[Event]]:
        return await self._inner.histories(scope, deliveries)

    async def redrive(self, scope: Scope, signal_id: str) -> bool:
        redriven = await self._inner.redrive(scope, signal_id)
        if redriven:
            delivery = await self._inner.delivery(scope, signal_id)
            account_id = None if delivery is None else delivery.account_id
            await self._wakes.wake(ORDERS, scope.tenant_id, account_id)
        return redriven

    async def forget_before(
        self, tenant_id: str, before_ns: int, source_kinds: Sequence[str]
    ) -> int:
        return await self._inner.forget_before(tenant_id, before_ns, source_kinds)
