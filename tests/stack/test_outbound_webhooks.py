"""Outbound webhooks on real stores, to a real receiver that fails in every way it can."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from functions.queue.webhook_deliver import handler
from tests.support.receiver import Received, Receiver, hang_up, receiving, status, stay_silent
from tests.support.stack import FreshDatabase, Stack, fresh_database
from tests.support.world import ALPHA, BETA, World, world

from quantlab.kernel.instants import SECOND_NS
from quantlab_adapters.internet.webhook_sender import HttpxWebhookSender
from quantlab_app.ports.errors import StoreUnavailable
from quantlab_app.ports.outbound import Delivery, EndpointChange
from quantlab_app.use_cases import webhook_delivery
from quantlab_app.use_cases.audit import append_pending
from quantlab_app.use_cases.retention import WEBHOOK_DAYS
from quantlab_app.use_cases.webhook_endpoints import (
    NewSecret,
    OneDelivery,
    Refused,
    SeqRange,
    TimeRange,
    change_endpoint,
    create_endpoint,
    delete_endpoint,
    list_deliveries,
    read_endpoint,
    replay,
    rotate_secret,
    send_test,
)

pytestmark = pytest.mark.stack
BUY = {"symbol": "EURUSD", "action": "buy", "quantity": "1"}
FILLED = [
    "webhook.received", "webhook.validated", "order.accepted", "order.filled", "position.opened",
    "webhook.trade_executed",
]  # fmt: skip
DAY_S = 86_400


class SetClock:
    """The machine's clock, moved by hand."""

    def __init__(self, start_ns: int) -> None:
        self.at_ns = start_ns

    def now_ns(self) -> int:
        return self.at_ns

    def ahead(self, seconds: float) -> None:
        self.at_ns += int(seconds * SECOND_NS)


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


@pytest.fixture
async def house(stack: Stack, redis_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with house_on(stack, redis_url, tmp_path) as made:
        yield made


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as made:
        yield made


def types(received: list[Received]) -> list[str]:
    return [one.document["type"] for one in received]


async def test_every_event_of_an_account_arrives_signed_and_in_order(
    house: House, receiver: Receiver
) -> None:
    made = await house.endpoint(receiver.url)
    account_id = await house.small.account(ALPHA)
    await house.trade(account_id)
    await house.trade(account_id)
    assert await house.until_quiet() == len(receiver.received)
    taken = receiver.take()
    assert all(one.holds(made.secret) for one in taken)
    ours = [one for one in taken if one.document["data"]["accountId"] == account_id]
    assert [one.place[1] for one in ours] == list(range(1, len(ours) + 1))
    assert types(ours)[1:7] == FILLED
    one = ours[4]
    logged = await house.ports.event_log.events_after(house.small.scope(ALPHA), account_id, 4, 1)
    assert one.document["data"] == {
        "tenantId": ALPHA,
        "accountId": account_id,
        "seq": 5,
        "eventType": "order.filled",
        "payload": logged[0].payload,
    }
    assert "webhook_endpoint.created" in types(taken), "a tenant's own events come as well"
    deliveries = await house.log(made.endpoint.endpoint_id)
    assert {d.status for d in deliveries} == {"delivered"}
    assert {(a.status, a.error, a.answer) for d in deliveries for a in d.attempts} == {
        (200, None, "ok")
    }
    assert await house.until_quiet() == 0


async def test_an_endpoint_gets_the_events_it_asked_for(house: House, receiver: Receiver) -> None:
    await house.endpoint(receiver.url, "order.filled", "position.*")
    await house.trade(await house.small.account(ALPHA))
    await house.until_quiet()
    assert types(receiver.take()) == ["order.filled", "position.opened"]


async def test_without_an_endpoint_nothing_is_handed_on(house: House) -> None:
    await house.trade(await house.small.account(ALPHA))
    assert await handler.waiting(house.ports) == []
    with psycopg.connect(house.database.superuser_dsn) as connection:
        left = connection.execute("select count(*) from quantlab.outbox where topic = 3").fetchone()
    assert left == (0,)


async def test_a_failure_is_tried_again_by_the_published_schedule(
    house: House, receiver: Receiver
) -> None:
    made = await house.endpoint(receiver.url, "order.filled")
    receiver.usual = status(500, "out of order")
    await house.trade(await house.small.account(ALPHA))
    waits = []
    while True:
        await house.until_quiet()
        (delivery,) = await house.log(made.endpoint.endpoint_id)
        if delivery.status != "pending":
            break
        wait_s = (delivery.next_attempt_ns - house.clock.at_ns) / SECOND_NS
        house.clock.ahead(wait_s - 0.001)
        assert await house.turn() == 0, "not before its time"
        house.clock.ahead(0.002)
        waits.append(wait_s)
    assert delivery.status == "failed"
    for wait_s, published_s in zip(
        waits, (5, 300, 1_800, 7_200, 18_000, 36_000, 36_000), strict=True
    ):
        assert published_s <= wait_s <= 1.2 * published_s
    assert len(delivery.attempts) == 8
    assert {(a.status, a.answer) for a in delivery.attempts} == {(500, "out of order")}
    taken = receiver.take()
    assert len({one.message_id for one in taken}) == 1
    assert len({one.body for one in taken}) == 1, "the same bytes each time"
    assert len({one.headers["webhook-timestamp"] for one in taken}) == 8
    house.clock.ahead(40 * DAY_S)
    assert await house.turn() == 0


async def test_what_fails_holds_up_no_other(house: House, receiver: Receiver) -> None:
    await house.endpoint(receiver.url, "order.*", "position.*")
    receiver.answers = [status(500), hang_up]
    await house.trade(await house.small.account(ALPHA))
    await house.until_quiet()
    house.clock.ahead(7)
    await house.until_quiet()
    places = [one.place[1] for one in receiver.take()]
    assert places[0] == 4
    assert sorted(set(places)) == [4, 5, 6]
    assert sorted(places) == [4, 4, 5, 5, 6]


@pytest.mark.parametrize("answer", [status(429), status(502), status(504), stay_silent, hang_up])
async def test_an_overloaded_endpoint_is_left_alone_for_a_while(
    house: House, receiver: Receiver, answer: Any
) -> None:
    made = await house.endpoint(receiver.url, "order.*", "position.*")
    receiver.answers = [answer]
    await house.trade(await house.small.account(ALPHA))
    assert await house.until_quiet() == 1, "the others wait as well"
    shown = await read_endpoint(house.ports, house.small.scope(ALPHA), made.endpoint.endpoint_id)
    assert shown.paused_until_ns == house.clock.at_ns + 5 * SECOND_NS
    house.clock.ahead(7)
    assert await house.until_quiet() == 3
    assert {d.status for d in await house.log(made.endpoint.endpoint_id)} == {"delivered"}


async def test_retry_after_is_respected(house: House, receiver: Receiver) -> None:
    await house.endpoint(receiver.url, "order.filled")
    receiver.answers = [status(429, "later", retry_after="600")]
    await house.trade(await house.small.account(ALPHA))
    await house.until_quiet()
    house.clock.ahead(599)
    assert await house.until_quiet() == 0
    house.clock.ahead(2)
    assert await house.until_quiet() == 1


async def test_gone_disables_the_endpoint_at_once_and_says_so(
    house: House, receiver: Receiver
) -> None:
    made = await house.endpoint(receiver.url, "order.*", "position.*")
    scope, endpoint_id = house.small.scope(ALPHA), made.endpoint.endpoint_id
    receiver.answers = [status(410)]
    account_id = await house.small.account(ALPHA)
    await house.trade(account_id)
    assert await house.until_quiet() == 1
    shown = await read_endpoint(house.ports, scope, endpoint_id)
    assert (shown.status, shown.disabled_reason) == ("disabled", "gone")
    assert {d.status for d in await house.log(endpoint_id)} == {"failed"}
    assert (await house.event_types())[-1] == "webhook_endpoint.disabled"
    await house.trade(account_id)
    house.clock.ahead(DAY_S)
    assert await house.until_quiet() == 0
    assert len(receiver.take()) == 1
    assert await send_test(house.ports, scope, endpoint_id) == Refused(
        None, "expected an active endpoint"
    )


async def test_five_days_of_failures_disable_an_endpoint_and_a_success_forgives(
    house: House, receiver: Receiver
) -> None:
    made = await house.endpoint(receiver.url, "order.filled")
    scope, endpoint_id = house.small.scope(ALPHA), made.endpoint.endpoint_id
    receiver.usual = status(500)

    async def day() -> None:
        for _ in range(24):
            house.clock.ahead(DAY_S / 24)
            await house.until_quiet()

    async def event() -> None:
        await send_test(house.ports, scope, endpoint_id)
        await house.until_quiet()

    await event()
    began_ns = house.clock.at_ns
    for _ in range(4):
        await day()
        await event()
    shown = await read_endpoint(house.ports, scope, endpoint_id)
    assert (shown.status, shown.failing_since_ns) == ("active", began_ns)
    receiver.answers = [status(200)]
    await event()
    shown = await read_endpoint(house.ports, scope, endpoint_id)
    assert shown.failing_since_ns is None
    await event()
    began_ns = house.clock.at_ns
    for _ in range(4):
        await day()
        await event()
    house.clock.at_ns = began_ns + 5 * DAY_S * SECOND_NS - 1
    await event()
    assert (await read_endpoint(house.ports, scope, endpoint_id)).status == "active"
    house.clock.at_ns += 1
    await event()
    shown = await read_endpoint(house.ports, scope, endpoint_id)
    assert (shown.status, shown.disabled_reason) == ("disabled", "failing")
    receiver.take()
    receiver.usual = status(200)
    change = EndpointChange(status="active")
    again = await change_endpoint(house.ports, scope, endpoint_id, change)
    assert not isinstance(again, Refused)
    assert (again.status, again.disabled_reason, again.failing_since_ns) == ("active", None, None)
    await event()
    assert types(receiver.take()) == ["webhook.test"]


async def test_a_crash_between_sending_and_recording_sends_again_under_the_same_id(
    house: House, receiver: Receiver
) -> None:
    made = await house.endpoint(receiver.url, "order.filled")
    await house.trade(await house.small.account(ALPHA))
    whole = house.ports

    class Dying:
        """Deliveries whose process ends before anything is written down or given back."""

        def __getattr__(self, name: str) -> Any:
            if name in ("record", "release"):
                return self._die
            return getattr(whole.webhook_deliveries, name)

        async def _die(self, *_: object) -> None:
            raise StoreUnavailable("PostgreSQL: gone")

    house.small.ports = replace(whole, webhook_deliveries=Dying())
    with pytest.raises(StoreUnavailable):
        await house.turn()
    house.small.ports = whole
    assert await house.turn() == 0, "whoever held the endpoint may still be at it"
    house.clock.at_ns += webhook_delivery.LEASE_NS
    assert await house.until_quiet() == 1
    first, second = receiver.take()
    assert first.message_id == second.message_id
    assert first.body == second.body
    (delivery,) = await house.log(made.endpoint.endpoint_id)
    assert (delivery.status, len(delivery.attempts)) == ("delivered", 1)


async def test_two_hosts_at_once_send_each_event_once(house: House, receiver: Receiver) -> None:
    await house.endpoint(receiver.url)
    for _ in range(4):
        await house.trade(await house.small.account(ALPHA))
    await asyncio.gather(*(handler.handle(house.ports, [ALPHA]) for _ in range(4)))
    await house.until_quiet()
    ids = [one.message_id for one in receiver.take()]
    assert len(ids) == len(set(ids)) >= 28


async def test_a_slow_endpoint_keeps_no_other_waiting(
    stack: Stack, redis_url: str, tmp_path: Path, receiver: Receiver
) -> None:
    async with (
        house_on(stack, redis_url, tmp_path, timeout_s=30) as house,
        receiving() as slow,
    ):
        open_again = asyncio.Event()

        async def wait(writer: asyncio.StreamWriter) -> None:
            await open_again.wait()
            await status(200)(writer)

        slow.usual = wait
        await house.endpoint(slow.url, "order.filled")
        await house.endpoint(receiver.url, "order.filled")
        await house.trade(await house.small.account(ALPHA))
        turn = asyncio.create_task(house.turn())
        while not (slow.received and receiver.received):
            await asyncio.sleep(0.01)
        await house.trade(await house.small.account(ALPHA))
        while len(receiver.received) < 2:
            await asyncio.sleep(0.01)
        assert len(slow.received) == 1
        assert not turn.done()
        open_again.set()
        await turn
        await house.until_quiet()
        assert len(slow.received) == len(receiver.received) == 2


async def test_a_test_event_comes_whatever_was_asked_for(house: House, receiver: Receiver) -> None:
    made = await house.endpoint(receiver.url, "order.filled")
    scope, endpoint_id = house.small.scope(ALPHA), made.endpoint.endpoint_id
    delivery_id = await send_test(house.ports, scope, endpoint_id)
    assert await house.until_quiet() == 1
    (one,) = receiver.take()
    assert one.holds(made.secret)
    assert one.document["type"] == "webhook.test"
    assert one.document["data"]["payload"] == {"endpointId": endpoint_id}
    assert [d.delivery_id for d in await house.log(endpoint_id)] == [delivery_id]


async def test_both_secrets_sign_until_the_grace_is_over(house: House, receiver: Receiver) -> None:
    made = await house.endpoint(receiver.url, "order.filled")
    scope, endpoint_id = house.small.scope(ALPHA), made.endpoint.endpoint_id
    fresh = await rotate_secret(house.ports, scope, endpoint_id)
    assert fresh.secret != made.secret
    await send_test(house.ports, scope, endpoint_id)
    await house.until_quiet()
    (one,) = receiver.take()
    assert one.holds(made.secret)
    assert one.holds(fresh.secret)
    house.clock.ahead(DAY_S)
    await send_test(house.ports, scope, endpoint_id)
    await house.until_quiet()
    (one,) = receiver.take()
    assert len(one.headers["webhook-signature"].split()) == 1


async def test_replays(house: House, receiver: Receiver) -> None:
    before_ns = house.clock.at_ns
    account_id = await house.small.account(ALPHA)
    await house.trade(account_id)
    made = await house.endpoint(receiver.url, "order.*", "position.*")
    scope, endpoint_id = house.small.scope(ALPHA), made.endpoint.endpoint_id
    house.clock.ahead(1)
    assert await house.until_quiet() == 0, "what was before the endpoint does not come by itself"

    span = SeqRange(account_id, 1, 5)
    assert await replay(house.ports, scope, endpoint_id, span) == 2
    await house.until_quiet()
    first = receiver.take()
    assert [one.place for one in first] == [(account_id, 4), (account_id, 5)]
    times = TimeRange(before_ns - 60 * SECOND_NS, house.clock.at_ns + 60 * SECOND_NS)
    assert await replay(house.ports, scope, endpoint_id, times) == 3
    await house.until_quiet()
    second = receiver.take()
    assert [one.place[1] for one in second] == [4, 5, 6]
    assert [one.message_id for one in second[:2]] == [one.message_id for one in first]
    assert [one.body for one in second[:2]] == [one.body for one in first]
    nothing = TimeRange(before_ns - 60 * SECOND_NS, before_ns - 59 * SECOND_NS)
    assert await replay(house.ports, scope, endpoint_id, nothing) == 0

    delivery = (await house.log(endpoint_id))[0]
    one_only = OneDelivery(delivery.delivery_id)
    assert await replay(house.ports, scope, endpoint_id, one_only) == 1
    await house.until_quiet()
    assert [one.message_id for one in receiver.take()] == [delivery.message_id]
    attempts = [len(d.attempts) for d in await house.log(endpoint_id)]
    assert sorted(attempts) == [1, 2, 3]


async def test_a_failed_delivery_is_replayed_with_a_fresh_schedule(
    house: House, receiver: Receiver
) -> None:
    made = await house.endpoint(receiver.url, "order.filled")
    scope, endpoint_id = house.small.scope(ALPHA), made.endpoint.endpoint_id
    receiver.usual = status(500)
    await house.trade(await house.small.account(ALPHA))
    for _ in range(30):
        await house.until_quiet()
        house.clock.ahead(DAY_S / 12)
    (delivery,) = await house.log(endpoint_id)
    assert delivery.status == "failed"
    await replay(house.ports, scope, endpoint_id, OneDelivery(delivery.delivery_id))
    await house.until_quiet()
    (delivery,) = await house.log(endpoint_id)
    assert (delivery.status, len(delivery.attempts)) == ("pending", 9)
    assert delivery.next_attempt_ns - house.clock.at_ns <= 6 * SECOND_NS


async def test_tenants_see_and_get_their_own_alone(house: House, receiver: Receiver) -> None:
    async with receiving() as theirs:
        alpha = await house.endpoint(receiver.url)
        beta = await house.endpoint(theirs.url, tenant_id=BETA)
        for tenant_id in (ALPHA, BETA):
            await house.trade(await house.small.account(tenant_id), tenant_id)
        await house.until_quiet()
        for made, place, tenant_id in ((alpha, receiver, ALPHA), (beta, theirs, BETA)):
            taken = place.take()
            assert {one.document["data"]["tenantId"] for one in taken} == {tenant_id}
            assert all(one.holds(made.secret) for one in taken)
        for tenant_id, foreign in ((ALPHA, beta), (BETA, alpha)):
            endpoint_id = foreign.endpoint.endpoint_id
            scope = house.small.scope(tenant_id)
            assert await house.ports.webhook_endpoints.find(scope, endpoint_id) is None
            page = await house.ports.webhook_deliveries.page(
                scope, endpoint_id, status=None, before=None, limit=10
            )
            assert page == []
            ports = house.ports.webhook_endpoints
            assert not await ports.change(scope, endpoint_id, EndpointChange(url="https://x.test"))
            assert not await ports.rotate(scope, endpoint_id, b"x", 0)
            assert not await ports.remove(scope, endpoint_id)


async def test_a_disabled_endpoint_gets_nothing_and_a_deleted_one_leaves_nothing_waiting(
    house: House, receiver: Receiver
) -> None:
    made = await house.endpoint(receiver.url, "order.*")
    scope, endpoint_id = house.small.scope(ALPHA), made.endpoint.endpoint_id
    account_id = await house.small.account(ALPHA)
    await house.trade(account_id)
    await change_endpoint(house.ports, scope, endpoint_id, EndpointChange(status="disabled"))
    await house.chain()
    assert await house.until_quiet() == 0
    await change_endpoint(house.ports, scope, endpoint_id, EndpointChange(status="active"))
    await house.trade(account_id)
    await delete_endpoint(house.ports, scope, endpoint_id)
    await house.event_types()
    await house.chain()
    assert await handler.waiting(house.ports) == []
    await house.endpoint(receiver.url, "order.*")
    assert await house.until_quiet() == 0, "a new one gets nothing of what came before it"


async def test_secrets_lie_sealed(house: House, receiver: Receiver) -> None:
    made = await house.endpoint(receiver.url)
    with psycopg.connect(house.database.superuser_dsn) as connection:
        rows = connection.execute("select secret_cipher from quantlab.webhook_endpoint").fetchall()
        text = str(connection.execute("select * from quantlab.inbox").fetchall())
    assert len(rows) == 1
    assert made.secret.encode() not in bytes(rows[0][0])
    assert made.secret not in text
    assert receiver.url not in text


async def test_the_log_is_forgotten_in_time_and_what_is_pending_is_not(
    house: House, receiver: Receiver
) -> None:
    made = await house.endpoint(receiver.url, "order.filled")
    scope, endpoint_id = house.small.scope(ALPHA), made.endpoint.endpoint_id
    await house.trade(await house.small.account(ALPHA))
    await house.until_quiet()
    house.clock.ahead((WEBHOOK_DAYS + 1) * DAY_S)
    receiver.usual = status(500)
    await send_test(house.ports, scope, endpoint_id)
    await house.until_quiet()
    before_ns = house.clock.at_ns - WEBHOOK_DAYS * DAY_S * SECOND_NS
    deliveries = house.ports.webhook_deliveries
    assert await deliveries.forget_before(BETA, before_ns) == 0
    assert await deliveries.forget_before(ALPHA, before_ns) == 2
    left = await house.log(endpoint_id)
    assert [(d.event_type, d.status, len(d.attempts)) for d in left] == [
        ("webhook.test", "pending", 1)
    ]
