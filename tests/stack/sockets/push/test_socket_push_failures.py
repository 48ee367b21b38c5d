"""The worker that posts to a gateway's sockets, where it, the gateway or the stores fail."""

import asyncio

import pytest
from tests.support import sockets
from tests.support.push_parts import MINE, listening, served
from tests.support.pushes import Gateway, MemoryPushes, Worker
from tests.support.sockets import ACCOUNT, House

from quantlab_app.ports.sockets import Progress
from quantlab_edge import hub_connection, hub_push
from quantlab_edge.socket import SOCKETS

pytestmark = pytest.mark.stack


@pytest.mark.parametrize("flowing", [False, True])
async def test_a_worker_that_follows_another_goes_on_where_it_ended(
    gateway: Gateway, worker: Worker, house: House, flowing: bool
) -> None:
    trader = await gateway.connect("c1")
    head = (await trader.subscribe(MINE, "quotes:EURUSD"))["seq"][MINE]
    one_at_a_time = asyncio.Lock()
    stop = asyncio.Event()

    async def happen(count: int) -> None:
        async with one_at_a_time:
            await house.happen(ACCOUNT, count)

    async def flow() -> None:
        while flowing and not stop.is_set():
            await happen(5)

    background = asyncio.create_task(flow())
    await happen(3)
    for _ in range(3):
        await worker.stop()
        await happen(4)
        await worker.start()
    await happen(2)
    stop.set()
    await background
    count = house.seqs[ACCOUNT] - head
    assert await trader.events(count) == list(range(head + 1, head + count + 1))
    assert await trader.silent()
    await house.quote("EURUSD", 108_000, 1)
    assert (await trader.receive())["type"] == "quote"


async def test_after_a_kill_events_that_may_be_missing_are_hinted_at(
    gateway: Gateway, worker: Worker, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    trader = await gateway.connect("c1")
    head = (await trader.subscribe(MINE))["seq"][MINE]
    await house.happen(ACCOUNT, 3)
    await trader.events(3)
    await worker.hub._note(exact=False)
    monkeypatch.setattr(hub_push, "NOTE_EVERY_S", 60.0)
    await house.happen(ACCOUNT, 2)
    await trader.events(2)
    await worker.kill()
    await house.happen(ACCOUNT, 4)
    await worker.start()
    hint = await trader.receive()
    assert (hint["type"], hint["channel"]) == ("resync", MINE)
    assert head + 4 <= hint["fromSeq"] <= head + 6
    await house.happen(ACCOUNT, 2)
    assert await trader.events(2) == [head + 10, head + 11]


async def test_through_kills_nothing_is_missing_without_a_hint_and_nothing_comes_twice(
    gateway: Gateway, worker: Worker, house: House, pushes: MemoryPushes
) -> None:
    trader = await gateway.connect("c1")
    head = known = (await trader.subscribe(MINE))["seq"][MINE]
    stop = asyncio.Event()

    async def flow() -> None:
        while not stop.is_set():
            await house.happen(ACCOUNT, 3)

    flowing = asyncio.create_task(flow())
    for round_ms in (5, 80, 20, 1_200, 0):
        await asyncio.sleep(round_ms / 1_000)
        await worker.kill()
        await asyncio.sleep(0.02)
        await worker.start()
    await asyncio.sleep(0.3)
    stop.set()
    await flowing

    async def caught_up() -> bool:
        return trader.posted[-1].get("seq") == house.seqs[ACCOUNT]

    await sockets.eventually(caught_up)
    may_miss = False
    for message in trader.posted[1:]:
        if message["type"] == "resync":
            assert head < message["fromSeq"] <= known + 1
            may_miss = True
            continue
        assert message["seq"] > known
        assert may_miss or message["seq"] == known + 1
        known, may_miss = message["seq"], False
    assert sum(message["type"] == "resync" for message in trader.posted) <= 5


async def test_subscribed_while_no_worker_ran_starts_without_a_loss(
    gateway: Gateway, worker: Worker, house: House
) -> None:
    await worker.stop()
    start = house.seqs.get(ACCOUNT, 0)
    await house.happen(ACCOUNT, 2)
    early = await gateway.connect("early")
    await early.subscribe(MINE, afterSeq={MINE: start})
    ahead = await gateway.connect("ahead")
    await ahead.subscribe(MINE, afterSeq={MINE: 1_000_000})
    await house.happen(ACCOUNT, 2)
    await worker.start()
    assert await early.events(4) == [start + 1, start + 2, start + 3, start + 4]
    assert (await ahead.receive())["fromSeq"] == 1
    assert await ahead.silent()


async def test_control_messages_lost_on_the_bus_are_made_up_for(
    gateway: Gateway, worker: Worker, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    trader = await gateway.connect("c1")
    await trader.subscribe(MINE)
    leaving = await gateway.connect("c2")
    await leaving.subscribe(MINE)
    await served(worker, "c1", "c2")
    head = house.seqs[ACCOUNT]

    async def lose(topic: str, body: bytes) -> None:
        assert topic == SOCKETS

    with monkeypatch.context() as lossy:
        lossy.setattr(house.ports.event_bus, "publish", lose)
        await trader.say(action="unsubscribe", channels=[MINE])
        await trader.say(action="subscribe", channels=["quotes:EURUSD"])
        await leaving.leave()
    await worker.hub._look()
    await listening(worker, "c1", "quotes:EURUSD")
    await served(worker, "c1")
    with monkeypatch.context() as lossy:
        lossy.setattr(house.ports.event_bus, "publish", lose)
        await trader.say(action="subscribe", channels=[MINE], afterSeq={MINE: max(head - 1, 0)})
    await house.happen(ACCOUNT, 1)
    await worker.hub._look()
    kinds = [await trader.receive() for _ in range(3)]
    assert [message["type"] for message in kinds] == ["unsubscribed", "subscribed", "subscribed"]
    assert await trader.events(1 + min(head, 1)) == list(range(max(head, 1), head + 2))


async def test_a_step_whose_answer_was_lost_makes_no_resync(
    gateway: Gateway, worker: Worker, house: House
) -> None:
    trader = await gateway.connect("c1")
    head = (await trader.subscribe(MINE))["seq"][MINE]
    await house.happen(ACCOUNT, 3)
    await trader.events(3)
    connection, _ = worker.hub._held["c1"]
    before = connection.marks[MINE]
    await worker.hub._note(exact=False)
    connection.marks[MINE] = before
    await worker.hub._look()
    assert await trader.silent()
    assert connection.marks[MINE] == Progress(head + 3, loose=True)


async def test_a_store_that_has_forgotten_is_told_again(
    gateway: Gateway, worker: Worker, house: House
) -> None:
    trader = await gateway.connect("c1")
    head = (await trader.subscribe(MINE, "quotes:EURUSD"))["seq"][MINE]
    await house.happen(ACCOUNT, 1)
    await trader.events(1)
    redis = house.ports.redis  # type: ignore[attr-defined]
    await redis.flushdb()
    await worker.hub._look()
    (record,) = await house.ports.subscriptions.connections()
    assert record.connection_id == "c1"
    assert record.channels.keys() == {MINE, "quotes:EURUSD"}
    await house.happen(ACCOUNT, 2)
    assert await trader.events(2) == [head + 2, head + 3]
    assert await trader.silent()


async def test_a_record_that_went_alone_ends_its_connection(
    gateway: Gateway, worker: Worker, house: House, pushes: MemoryPushes
) -> None:
    trader = await gateway.connect("c1")
    await gateway.connect("c2")
    await served(worker, "c1", "c2")
    holder = await house.ports.subscriptions.holder("c1")
    assert holder is not None
    await house.ports.subscriptions.close(holder, "c1")
    await worker.hub._look()
    assert (await trader.receive())["code"] == "unavailable"
    await served(worker, "c2")
    assert pushes.dropped == ["c1"]


async def test_a_gone_connection_is_forgotten_and_holds_nobody_up(
    gateway: Gateway, worker: Worker, house: House, pushes: MemoryPushes
) -> None:
    gone, stays = await gateway.connect("gone"), await gateway.connect("stays")
    await gone.subscribe(MINE)
    head = (await stays.subscribe(MINE))["seq"][MINE]
    pushes.open.discard("gone")
    await house.happen(ACCOUNT, 2)
    assert await stays.events(2) == [head + 1, head + 2]
    await served(worker, "stays")
    assert [record.connection_id for record in await house.ports.subscriptions.connections()] == [
        "stays"
    ]
    assert pushes.dropped == []


async def test_a_slow_and_a_failing_connection_hold_nobody_up_and_keep_their_order(
    gateway: Gateway, house: House, pushes: MemoryPushes
) -> None:
    peers = [await gateway.connect(name) for name in ("slow", "failing", "well")]
    heads = [(await peer.subscribe(MINE))["seq"][MINE] for peer in peers]
    pushes.gates["slow"] = asyncio.Event()
    pushes.failing.add("failing")
    seqs = [seq for _ in range(20) for seq in await house.happen(ACCOUNT, 3)]
    assert await peers[2].events(60) == seqs
    assert await peers[0].silent(0)
    pushes.gates["slow"].set()
    pushes.failing.clear()
    assert [await peer.events(60) for peer in peers[:2]] == [seqs, seqs]
    assert set(heads) == {seqs[0] - 1}


async def test_a_stalled_connection_is_dropped(
    gateway: Gateway,
    worker: Worker,
    house: House,
    pushes: MemoryPushes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trader = await gateway.connect("c1")
    await trader.subscribe(MINE)
    monkeypatch.setattr(hub_connection, "STALL_S_MAX", 0.5)
    pushes.gates["c1"] = asyncio.Event()
    await house.happen(ACCOUNT, 2)
    await served(worker)
    assert pushes.dropped == ["c1"]


async def test_a_session_that_ends_while_the_gateway_fails_gets_nothing_more(
    gateway: Gateway, worker: Worker, house: House, pushes: MemoryPushes
) -> None:
    trader = await gateway.connect("c1")
    await trader.subscribe(MINE)
    pushes.failing.add("c1")
    await house.happen(ACCOUNT, 3)
    house.sessions.standing.clear()

    async def forgotten() -> bool:
        return not await house.ports.subscriptions.connections()

    await sockets.eventually(forgotten, 10)
    pushes.failing.clear()
    await served(worker)
    assert await trader.silent()
    assert pushes.dropped == ["c1"]


async def test_a_slow_gateway_leads_to_a_resync_in_its_place(
    gateway: Gateway, house: House, pushes: MemoryPushes
) -> None:
    trader = await gateway.connect("c1")
    head = (await trader.subscribe(MINE))["seq"][MINE]
    await house.happen(ACCOUNT, 1)
    await trader.events(1)
    gate = pushes.gates["c1"] = asyncio.Event()
    lost = hub_connection.QUEUE_MAX + 50
    for _ in range(lost // 50):
        await house.happen(ACCOUNT, 50)
    await asyncio.sleep(0.2)
    gate.set()
    seqs, message = [], await trader.receive()
    while message["type"] == "event":
        seqs.append(message["seq"])
        message = await trader.receive()
    assert seqs == list(range(head + 2, head + 2 + len(seqs)))
    assert message == {"type": "resync", "channel": MINE, "fromSeq": seqs[-1] + 1}
    await house.happen(ACCOUNT, 2)
    assert await trader.events(2) == [head + lost + 2, head + lost + 3]
