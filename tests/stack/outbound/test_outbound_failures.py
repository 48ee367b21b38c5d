"""Outbound webhooks to receivers that fail: tries, patience, and what a crash leaves."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from functions.queue.webhook_deliver import handler
from tests.support.outbound_house import DAY_S, House, house_on, types
from tests.support.receiver import Receiver, hang_up, receiving, status, stay_silent
from tests.support.stack import Stack
from tests.support.world import ALPHA

from quantlab.kernel.instants import SECOND_NS
from quantlab_app.ports.errors import StoreUnavailable
from quantlab_app.ports.outbound import EndpointChange
from quantlab_app.use_cases import webhook_delivery
from quantlab_app.use_cases.webhook_endpoints import (
    Refused,
    change_endpoint,
    read_endpoint,
    send_test,
)

pytestmark = pytest.mark.stack


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
