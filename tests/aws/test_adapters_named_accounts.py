"""A turn for named accounts: theirs alone, after whoever holds them, until nothing is pending."""

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from functions.queue.order_execute import handler

from quantlab_adapters.postgres.database import Database
from quantlab_adapters.postgres.execution import PostgresExecution
from quantlab_app.ports.execution import BatchFailed
from quantlab_app.use_cases import execution, publishing
from quantlab_app.use_cases.signals import Receipt
from tests.support.stack import FreshDatabase, Stack, fresh_database
from tests.support.world import ALPHA, BETA, Bot, World, world

pytestmark = pytest.mark.stack


@pytest.fixture
def database(stack: Stack) -> Iterator[FreshDatabase]:
    with fresh_database(stack) as made:
        yield made


@pytest.fixture
async def small(database: FreshDatabase, redis_url: str, tmp_path: Path) -> AsyncIterator[World]:
    async with world(database.app_dsn, redis_url, tmp_path, _raise_limits) as made:
        await made.quote("EURUSD", "1.10000", "1.10002")
        yield made


def _raise_limits(document: dict[str, Any]) -> None:
    raised = {"perMinute": 60_000, "burst": 10_000}
    document["rateLimits"] = {"account": raised, "bot": raised, "tenant": raised}


@dataclasses.dataclass
class Heard:
    """A Wakes port that keeps what it was told."""

    wakes: list[tuple[str, str, str | None]] = dataclasses.field(default_factory=list)

    async def wake(self, queue: str, tenant_id: str, account_id: str | None = None) -> None:
        self.wakes.append((queue, tenant_id, account_id))


async def _bots(small: World, tenant_id: str, number: int) -> list[Bot]:
    return [await small.bot(tenant_id, await small.account(tenant_id)) for _ in range(number)]


async def _buy(small: World, bot: Bot, number: int) -> None:
    body = {"id": f"s-{number}", "action": "buy", "symbol": "EURUSD", "quantity": "0.01"}
    assert isinstance(await small.send(bot, body), Receipt)


async def _filled(small: World, bot: Bot) -> int:
    return (await small.event_types(bot.tenant_id, bot.account_id)).count("order.filled")


async def test_only_the_named_accounts_are_carried_out(small: World) -> None:
    first, second = await _bots(small, ALPHA, 2)
    (other,) = await _bots(small, BETA, 1)
    for bot in (first, second, other):
        await _buy(small, bot, 1)
    assert await handler.handle(small.ports, [ALPHA], [first.account_id]) == 1
    assert [await _filled(small, bot) for bot in (first, second, other)] == [1, 0, 0]
    both = [second.account_id, other.account_id]
    assert await handler.handle(small.ports, [BETA, ALPHA], both) == 2
    assert [await _filled(small, bot) for bot in (first, second, other)] == [1, 1, 1]
    assert await handler.handle(small.ports, [ALPHA], [other.account_id]) == 0


async def test_turns_follow_until_nothing_is_pending(small: World) -> None:
    (bot,) = await _bots(small, ALPHA, 1)
    many = 2 * execution.BATCH_MAX + 3
    await asyncio.gather(*(_buy(small, bot, number) for number in range(many)))
    assert await handler.handle(small.ports, [ALPHA], [bot.account_id]) == many
    assert await small.ports.execution.pending_tenants() == []


async def test_a_named_account_is_waited_for(small: World, database: FreshDatabase) -> None:
    (bot,) = await _bots(small, ALPHA, 1)
    await _buy(small, bot, 1)
    holder = await psycopg.AsyncConnection.connect(database.superuser_dsn)
    async with holder:
        await holder.execute(
            "select from quantlab.account where account_id = %s for update", (bot.account_id,)
        )
        assert await handler.handle(small.ports, [ALPHA]) == 0
        turn = asyncio.create_task(handler.handle(small.ports, [ALPHA], [bot.account_id]))
        await asyncio.sleep(0.3)
        assert not turn.done()
        await holder.rollback()
        assert await asyncio.wait_for(turn, 5) == 1


async def test_many_at_once_carry_everything_out_once(small: World) -> None:
    bots = [*await _bots(small, ALPHA, 3), *await _bots(small, BETA, 2)]
    await asyncio.gather(*(_buy(small, bot, number) for bot in bots for number in range(20)))
    await asyncio.gather(
        *(
            handler.handle(small.ports, [bot.tenant_id], [bot.account_id])
            for bot in bots
            for _ in range(3)
        ),
        *(handler.handle(small.ports, [BETA, ALPHA]) for _ in range(3)),
    )
    assert [await _filled(small, bot) for bot in bots] == [20] * 5


async def test_a_failing_command_is_raised_until_it_is_dead(small: World) -> None:
    (bot,) = await _bots(small, ALPHA, 1)
    await _buy(small, bot, 1)
    ports = dataclasses.replace(small.ports, rulebooks=_Broken())
    for _ in range(execution.ATTEMPTS_MAX - 1):
        with pytest.raises(BatchFailed):
            await handler.handle(ports, [ALPHA], [bot.account_id])
    await handler.handle(ports, [ALPHA], [bot.account_id])
    delivery = await small.ports.inbox.deliveries(
        small.scope(ALPHA), source_kind="bot", account_ids=None, status="dead", before=None, limit=9
    )
    assert len(delivery) == 1
    assert json.dumps(delivery[0].reason).count("no rulebook today") == 1


class _Broken:
    async def of(self, account: object) -> Any:
        raise RuntimeError("no rulebook today")


async def test_a_commit_that_wrote_events_wakes_the_audit_log(small: World) -> None:
    (bot,) = await _bots(small, ALPHA, 1)
    heard = Heard()
    ports = dataclasses.replace(small.ports, wakes=heard)
    await handler.handle(ports, [ALPHA, BETA])
    assert heard.wakes == []
    await _buy(small, bot, 1)
    await handler.handle(ports, [ALPHA, BETA])
    assert heard.wakes == [("audit", ALPHA, None)]


async def test_what_was_sent_is_dropped_at_once_where_nothing_runs_between_calls(
    small: World, database: FreshDatabase
) -> None:
    bots = [*await _bots(small, ALPHA, 1), *await _bots(small, BETA, 1)]
    for bot in bots:
        await _buy(small, bot, 1)
        await publishing.republish(small.ports, bot.tenant_id, 0)
    store = Database(database.app_dsn, min_size=0, max_size=1)
    await store.open()
    lanes = PostgresExecution(store, drop_after_s=0)
    try:
        ports = dataclasses.replace(small.ports, execution=lanes)
        accounts = [bot.account_id for bot in bots]
        assert await handler.handle(ports, [ALPHA, BETA], accounts) == 2
        for tenant_id in (ALPHA, BETA):
            assert await small.ports.outbox.unpublished(tenant_id, 0, 10) == ((), ())
    finally:
        await lanes.close()
        await store.close()
