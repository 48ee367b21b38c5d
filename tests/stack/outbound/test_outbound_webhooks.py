"""Outbound webhooks on real stores, to a real receiver: what arrives, for whom, and again."""

import psycopg
import pytest
from functions.queue.webhook_deliver import handler
from tests.support.outbound_house import DAY_S, House, types
from tests.support.receiver import Receiver, receiving, status
from tests.support.world import ALPHA, BETA

from quantlab.kernel.instants import SECOND_NS
from quantlab_app.ports.outbound import EndpointChange
from quantlab_app.use_cases.retention import WEBHOOK_DAYS
from quantlab_app.use_cases.webhook_endpoints import (
    OneDelivery,
    SeqRange,
    TimeRange,
    change_endpoint,
    delete_endpoint,
    replay,
    rotate_secret,
    send_test,
)

pytestmark = pytest.mark.stack
FILLED = [
    "webhook.received", "webhook.validated", "order.accepted", "order.filled", "position.opened",
    "webhook.trade_executed",
]  # fmt: skip


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
