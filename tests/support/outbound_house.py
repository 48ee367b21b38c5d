"""The platform's outbound webhooks on real stores, on a clock that tests set."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from functions.queue.webhook_deliver import handler

from quantlab.kernel.instants import SECOND_NS
from quantlab_adapters.internet.webhook_sender import HttpxWebhookSender
from quantlab_app.ports.outbound import Delivery
from quantlab_app.use_cases.audit import append_pending
from quantlab_app.use_cases.webhook_endpoints import (
    NewSecret,
    create_endpoint,
    list_deliveries,
)
from tests.support.receiver import Received
from tests.support.set_clock import SetClock
from tests.support.stack import FreshDatabase, Stack, fresh_database
from tests.support.world import ALPHA, BETA, World, world

BUY = {"symbol": "EURUSD", "action": "buy", "quantity": "1"}
DAY_S = 86_400


@dataclass
class House:
    """A world whose webhooks may go to this machine, with a clock to set."""

    small: World
    clock: SetClock
    database: FreshDatabase

    @property
    def ports(self) -> Any:
        return self.small.ports

    async def endpoint(self, url: str, *types: str, tenant_id: str = ALPHA) -> NewSecret:
        made = await create_endpoint(self.ports, self.small.scope(tenant_id), url, "", types)
        assert isinstance(made, NewSecret)
        return made

    async def trade(self, account_id: str, tenant_id: str = ALPHA) -> None:
        bot = await self.small.bot(tenant_id, account_id)
        await self.small.send(bot, {**BUY, "id": bot.bot_id}, at_s=self.clock.at_ns // SECOND_NS)
        await self.small.settle(tenant_id)
        await self.chain(tenant_id)

    async def chain(self, *tenants: str) -> None:
        for tenant_id in tenants or (ALPHA, BETA):
            while await append_pending(self.ports, tenant_id):
                pass

    async def turn(self, *tenants: str) -> int:
        """Do what a host does: ask who waits, and take a turn for them."""
        waiting = await handler.waiting(self.ports)
        return await handler.handle(self.ports, [t for t in waiting if t in (tenants or waiting)])

    async def until_quiet(self) -> int:
        attempts = 0
        while made := await self.turn():
            attempts += made
        return attempts

    async def log(self, endpoint_id: str, tenant_id: str = ALPHA) -> list[Delivery]:
        scope = self.small.scope(tenant_id)
        found = await list_deliveries(self.ports, scope, endpoint_id, None, None, 500)
        return sorted(found, key=lambda one: (one.created_ns, one.stream_id, one.seq))

    async def event_types(self, tenant_id: str = ALPHA) -> list[str]:
        """Carry out what waits, and return the tenant's own events."""
        await self.small.settle(tenant_id)
        return await self.small.event_types(tenant_id, "00000000-0000-0000-0000-000000000000")


@asynccontextmanager
async def house_on(
    stack: Stack, redis_url: str, folder: Path, **sender: Any
) -> AsyncIterator[House]:
    with fresh_database(stack) as database:
        async with world(database.app_dsn, redis_url, folder) as small:
            clock = SetClock(small.ports.clock.now_ns())
            built = small.ports
            sends = HttpxWebhookSender(clock, loopback=True, **{"timeout_s": 0.5, **sender})
            small.ports = replace(built, clock=clock, webhook_sender=sends)
            await small.quote("EURUSD", "1.10000", "1.10010")
            try:
                yield House(small, clock, database)
            finally:
                await sends.close()


def types(received: list[Received]) -> list[str]:
    return [one.document["type"] for one in received]
