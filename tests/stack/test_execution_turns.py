"""One turn carries out the commands of several tenants; one's bad command holds up nobody."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from tests.support.world import ALPHA, BETA, Bot, World

from quantlab.engine.commands import Outcome
from quantlab_adapters.postgres import execution as adapter
from quantlab_adapters.postgres.database import Database
from quantlab_app.ports.execution import Batch, BatchFailed, ReadLinked
from quantlab_app.ports.inbox import NewCommand
from quantlab_app.use_cases import execution
from quantlab_app.use_cases.execution import ATTEMPTS_MAX, execute_pending
from quantlab_app.use_cases.signals import Receipt

pytestmark = pytest.mark.stack
TENANTS = (ALPHA, BETA)


@pytest.fixture
async def small(small: World) -> World:
    await small.quote("BTCUSD", "60000.00", "60001.00")
    return small


async def _sent(small: World, bot: Bot, name: str) -> str:
    body = {"id": name, "symbol": "BTCUSD", "action": "buy", "quantity": "0.10"}
    receipt = await small.send(bot, body)
    assert isinstance(receipt, Receipt)
    return receipt.signal_id


async def _bots(small: World) -> dict[str, Bot]:
    return {
        tenant_id: await small.bot(tenant_id, await small.account(tenant_id))
        for tenant_id in TENANTS
    }


async def _status(small: World, tenant_id: str, signal_id: str) -> str:
    delivery = await small.ports.inbox.delivery(small.scope(tenant_id), signal_id)
    assert delivery is not None
    return delivery.status


async def test_a_turn_settles_several_tenants_each_under_its_own_rows(small: World) -> None:
    bots = await _bots(small)
    sent = {
        tenant_id: [await _sent(small, bot, f"{n}") for n in range(3)]
        for tenant_id, bot in bots.items()
    }
    assert await execute_pending(small.ports, TENANTS) == 6
    for tenant_id, bot in bots.items():
        account = await small.find(tenant_id, bot.account_id)
        assert list(account.positions) == ["BTCUSD"]
        statuses = [await _status(small, tenant_id, one) for one in sent[tenant_id]]
        assert statuses == ["executed"] * 3
        other = small.scope(BETA if tenant_id == ALPHA else ALPHA)
        assert await small.ports.accounts.find(other, bot.account_id) is None
    assert await execute_pending(small.ports, TENANTS) == 0


async def test_a_bad_command_of_one_tenant_holds_up_nobody(small: World) -> None:
    bots = await _bots(small)
    bad = NewCommand(
        signal_id=small.ports.ids.new_id(),
        account_id=bots[ALPHA].account_id,
        source_kind="bot",
        source_id="test",
        idempotency_key=small.ports.ids.random_bytes(32),
        body_digest=bytes(32),
        name="no_such_command",
        payload={},
        received_ns=1,
    )
    await small.ports.inbox.accept(small.scope(ALPHA), bad)
    good = {tenant_id: await _sent(small, bot, "good") for tenant_id, bot in bots.items()}
    await execute_pending(small.ports, TENANTS)
    assert await _status(small, BETA, good[BETA]) == "executed"
    for _ in range(ATTEMPTS_MAX):
        await execute_pending(small.ports, TENANTS)
    assert await _status(small, ALPHA, bad.signal_id) == "dead"
    assert await _status(small, ALPHA, good[ALPHA]) == "executed"


async def test_a_turn_in_which_one_tenant_waits_writes_under_that_one(small: World) -> None:
    bots = await _bots(small)
    signal_id = await _sent(small, bots[ALPHA], "alone")
    assert await execute_pending(small.ports, TENANTS) == 1
    assert await _status(small, ALPHA, signal_id) == "executed"
    assert await small.event_types(BETA, bots[ALPHA].account_id) == []
    assert "order.filled" in await small.event_types(ALPHA, bots[ALPHA].account_id)


async def test_what_would_be_written_under_another_tenant_is_not_written(small: World) -> None:
    bots = await _bots(small)
    await _sent(small, bots[ALPHA], "one")

    async def decide(batches: Sequence[Batch], linked: ReadLinked) -> list[list[Outcome]]:
        market, now_ns = await execution.market_now(small.ports)
        turns = [await execution._turn(small.ports, one, linked) for one in batches]
        decided = [await execution._decide(small.ports, one, market, now_ns) for one in turns]
        object.__setattr__(batches[0], "tenant_id", BETA)
        return decided

    with pytest.raises(BatchFailed, match="expected 1 rows, found 0"):
        await small.ports.execution.run([ALPHA], 10, decide)
    assert await execute_pending(small.ports, TENANTS) == 1


async def test_a_lane_cancelled_while_it_connects_leaves_no_connection(
    small: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot = (await _bots(small))[ALPHA]
    await _sent(small, bot, "one")
    lanes: Any = small.ports.execution
    await lanes.close()
    connect, opened = Database.connect, []

    async def remembered(database: Database, **options: Any) -> Any:
        opened.append(await connect(database, **options))
        return opened[-1]

    async def cancelled(_: Any) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(Database, "connect", remembered)
    monkeypatch.setattr(adapter, "row_types", cancelled)
    with pytest.raises(asyncio.CancelledError):
        await execute_pending(small.ports, [ALPHA])
    assert [one.closed for one in opened] == [True]


async def test_what_connects_to_drop_what_was_sent_is_waited_for(
    small: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot = (await _bots(small))[ALPHA]
    await _sent(small, bot, "one")
    lanes: Any = small.ports.execution
    monkeypatch.setattr(lanes, "_drop_after_s", 0.001)
    await execute_pending(small.ports, [ALPHA])
    await lanes._idle.pop().close()
    connect, begun, opened = Database.connect, asyncio.Event(), []

    async def slow(database: Database, **options: Any) -> Any:
        begun.set()
        await asyncio.sleep(0.05)
        opened.append(await connect(database, **options))
        return opened[-1]

    monkeypatch.setattr(Database, "connect", slow)
    async with asyncio.timeout(5):
        await begun.wait()
    await lanes.close()
    assert [one.closed for one in opened] == [True]
