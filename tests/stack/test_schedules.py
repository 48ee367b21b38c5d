"""Checkpoints, midnights, the outbox's net and retention, on real stores."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import orjson
import pytest
from functions.queue.order_execute import handler as order_execute
from tests.support.set_clock import SetClock
from tests.support.world import ALPHA, BETA, World

from quantlab.audit.chain import TENANT_STREAM
from quantlab.kernel.instants import SECOND_NS
from quantlab_app.ports.errors import StoreUnavailable
from quantlab_app.use_cases import audit, publishing
from quantlab_app.use_cases.publishing import republish, sweep_outbox
from quantlab_app.use_cases.retention import DAY_NS, forget
from quantlab_app.use_cases.schedules import CHECKPOINT_NS, checkpoint_rules, roll_days
from quantlab_server.queue_runner import QueueRunner

pytestmark = pytest.mark.stack
BUY = {"symbol": "EURUSD", "action": "buy", "quantity": "1"}


class LostBus:
    """An event bus that is away."""

    async def publish(self, topic: str, body: bytes) -> None:
        raise StoreUnavailable("Redis: away")

    async def listen(
        self,
        topics: Sequence[str],
        on_message: Callable[[str, bytes], None],
        on_attached: Callable[[], None],
    ) -> None:
        raise StoreUnavailable("Redis: away")


@pytest.fixture
async def small(small: World) -> World:
    await small.quote("EURUSD", "1.10000", "1.10010")
    return small


async def opened(small: World, tenant_id: str = ALPHA, kind: str = "demo-100k") -> str:
    account_id = await small.account(tenant_id, kind)
    bot = await small.bot(tenant_id, account_id)
    await small.send(bot, {**BUY, "id": account_id})
    await small.settle(tenant_id)
    return account_id


async def given(small: World, tenant_id: str = ALPHA, kind: str = "schedule") -> list[str]:
    found = await small.ports.inbox.deliveries(
        small.scope(tenant_id),
        source_kind=kind,
        account_ids=None,
        status=None,
        before=None,
        limit=100,
    )
    return [one.name for one in found]


def move_clock(small: World, now_ns: int) -> SetClock:
    clock = SetClock(now_ns)
    small.ports = replace(small.ports, clock=clock)
    return clock


async def test_a_checkpoint_asks_for_every_open_account_once(small: World) -> None:
    """Where nothing is compiled, as on Lambda."""
    small.ports = replace(small.ports, checkpoints=None)
    account_id = await opened(small, kind="evaluation-50k")
    await small.account(ALPHA)
    await opened(small, BETA)
    await small.quote("EURUSD", "1.07000", "1.07010")
    clock = move_clock(small, small.ports.clock.now_ns())

    assert await checkpoint_rules(small.ports) == 2
    assert await checkpoint_rules(small.ports) == 0, "the same checkpoint"
    await small.settle()
    assert (await small.find(ALPHA, account_id)).status == "disabled"
    assert await given(small) == await given(small, BETA) == ["check_rules"]

    clock.at_ns += CHECKPOINT_NS
    assert await checkpoint_rules(small.ports) == 1, "the disabled account holds nothing any more"


async def test_a_day_is_rolled_once_for_each_idle_account_of_each_zone(small: World) -> None:
    alpha, beta = await small.account(ALPHA), await small.account(BETA)
    resets = {
        alpha: (await small.find(ALPHA, alpha)).day.next_reset_ns,
        beta: (await small.find(BETA, beta)).day.next_reset_ns,
    }
    first, last = sorted(resets, key=lambda account_id: resets[account_id])
    tenant = {alpha: ALPHA, beta: BETA}
    clock = move_clock(small, resets[first] - 1)
    assert await roll_days(small.ports) == 0
    clock.at_ns = resets[first]
    due = 1 if resets[first] < resets[last] else 2
    assert await roll_days(small.ports) == due
    assert await roll_days(small.ports) == 0, "already asked for"
    await small.settle()
    rolled = await small.find(tenant[first], first)
    assert rolled.day.started_ns == resets[first]
    assert (await small.event_types(tenant[first], first))[-1] == "account.day_rolled"
    assert await roll_days(small.ports) == 0


async def test_an_open_loss_legal_before_midnight_breaks_the_floor_at_midnight(
    small: World,
) -> None:
    """Two-step evaluation, 5 % under the balance at midnight: a gain closed today lifts it.

    2,000 of closed gain and 2,900 of open loss leave 49,100 of equity: above the floor of 47,500
    of the day, and below that of the next, 52,000 - 2,500.
    """
    account_id = await opened(small, kind="evaluation-50k")
    bot = small.bots[-1]
    await small.quote("EURUSD", "1.12010", "1.12020")
    await small.send(bot, {"symbol": "EURUSD", "action": "close", "id": "win"})
    await small.send(bot, {**BUY, "id": "lose"})
    await small.settle(ALPHA)
    account = await small.find(ALPHA, account_id)
    assert account.balance_minor == 5_200_000

    reset_ns = account.day.next_reset_ns
    fallen = replace(
        await small.quote("EURUSD", "1.09120", "1.09130"), ts_ns=reset_ns - 2 * SECOND_NS
    )
    await checkpoint_rules(small.ports)
    await small.settle(ALPHA)
    assert (await small.find(ALPHA, account_id)).status == "active"

    await small.ports.tick_log.open()
    await small.ports.tick_log.append([fallen])
    await small.ports.tick_log.close()
    move_clock(small, reset_ns + 20 * SECOND_NS)
    await small.quote("EURUSD", "1.12010", "1.12020")
    assert await roll_days(small.ports) == 1
    await small.settle(ALPHA)

    ended = await small.find(ALPHA, account_id)
    assert (ended.status, ended.positions) == ("disabled", {})
    assert ended.day.start_equity_minor == 4_910_000
    types = await small.event_types(ALPHA, account_id)
    assert types[types.index("account.day_rolled") :][:4] == [
        "account.day_rolled",
        "rule.violation.daily_loss",
        "rule.warning.daily_loss",
        "account.disabled",
    ]
    (violation,) = await small.ports.accounts.violations(small.scope(ALPHA), account_id, None, 5)
    assert violation["verdict"]["threshold"] == "49500.00"
    assert violation["verdict"]["quotes"][0]["seq"] == fallen.seq


async def test_events_that_were_not_sent_are_sent_later_and_once(
    small: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = small.ports.event_bus
    small.ports = replace(small.ports, event_bus=LostBus())
    account_id = await opened(small)
    small.ports = replace(small.ports, event_bus=bus)

    heard: list[bytes] = []
    attached = asyncio.Event()
    listening = asyncio.create_task(
        bus.listen(("events",), lambda _, body: heard.append(body), attached.set)
    )
    await asyncio.wait_for(attached.wait(), 5)
    assert await republish(small.ports, ALPHA, 3600) == 0
    assert await republish(small.ports, BETA, 0) == 0
    monkeypatch.setattr(publishing, "ABANDONED_S", 0.0)
    assert await sweep_outbox(small.ports) > 0
    assert await sweep_outbox(small.ports) == 0
    async with asyncio.timeout(5):
        while not heard:
            await asyncio.sleep(0.01)
    listening.cancel()
    message = orjson.loads(heard[0])
    (stream,) = message["streams"]
    assert (message["tenantId"], stream["streamId"]) == (ALPHA, account_id)
    sent = [event["eventType"] for event in stream["events"]]
    assert sent == await small.event_types(ALPHA, account_id)
    heads = await small.ports.audit_log.heads(small.scope(ALPHA))
    assert [(head.stream_id, head.seq) for head in heads] == [(account_id, len(sent))]


async def test_retention_erases_payloads_and_keeps_the_chain(small: World) -> None:
    account_id = await opened(small)
    swing_id = await opened(small, kind="swing-25k")
    while await audit.append_pending(small.ports, ALPHA):
        pass
    now_ns = small.ports.clock.now_ns()
    clock = move_clock(small, now_ns + 6 * DAY_NS)
    assert await forget(small.ports) == 0
    assert len(await given(small, kind="bot")) == 2
    clock.at_ns = now_ns + 8 * DAY_NS
    assert await forget(small.ports) == 2, "the two signals"
    assert await given(small, kind="bot") == []

    clock.at_ns = now_ns + 91 * DAY_NS
    erased = await forget(small.ports)
    scope = small.scope(ALPHA)
    chain = await small.ports.audit_log.chain(scope, account_id, 0, 100)
    assert erased == len(chain)
    assert {entry.payload for entry in chain} == {None}
    kept = await small.ports.audit_log.chain(scope, swing_id, 0, 100)
    assert all(entry.payload is not None for entry in kept), "swing accounts are kept for a year"
    assert [broken async for _, broken in audit.walk(small.ports, scope)] == [None, None]


async def test_retention_lets_the_tenants_own_stream_live_longest(small: World) -> None:
    bot = await small.bot(ALPHA, await small.account(ALPHA))
    await small.send(bot, {"symbol": "EURUSD", "action": "buy", "quantity": "x"})
    await small.settle(ALPHA)
    while await audit.append_pending(small.ports, ALPHA):
        pass
    scope = small.scope(ALPHA)
    own = await small.ports.audit_log.chain(scope, TENANT_STREAM, 0, 100)
    assert own
    clock = move_clock(small, small.ports.clock.now_ns() + 300 * DAY_NS)
    await forget(small.ports)
    assert await small.ports.audit_log.chain(scope, TENANT_STREAM, 0, 100) == own
    clock.at_ns += 100 * DAY_NS
    await forget(small.ports)
    erased = await small.ports.audit_log.chain(scope, TENANT_STREAM, 0, 100)
    assert {entry.payload for entry in erased} == {None}


async def test_a_wake_alone_brings_a_command_to_its_writer(small: World) -> None:
    ports = small.ports
    account_id = await small.account(ALPHA)
    bot = await small.bot(ALPHA, account_id)
    runner = QueueRunner(
        "orders",
        lambda tenant_ids: order_execute.handle(ports, tenant_ids),
        lambda: order_execute.waiting(ports),
        lanes=2,
        full_turn=order_execute.FULL_TURN,
        sweep_every_s=3600,
    )
    stop = asyncio.Event()
    running = asyncio.create_task(runner.run(ports.wakes, stop))
    await asyncio.sleep(0.3)
    await small.send(bot, {**BUY, "id": "one"})
    async with asyncio.timeout(5):
        while not (await small.find(ALPHA, account_id)).positions:
            await asyncio.sleep(0.005)
    stop.set()
    await asyncio.wait_for(running, 5)
