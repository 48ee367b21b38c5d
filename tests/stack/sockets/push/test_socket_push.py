"""The worker that posts to a gateway's sockets, on real stores and behind the real functions."""

import asyncio
from dataclasses import replace

import pytest
from tests.support import sockets
from tests.support.push_parts import MINE, listening, served
from tests.support.pushes import Gateway, MemoryPushes, Worker
from tests.support.sockets import ACCOUNT, COLLEAGUES_ACCOUNT, House

from quantlab.tenancy.permissions import Role
from quantlab_app.ports.sockets import OpenConnection, Progress
from quantlab_edge.socket import SOCKETS, Control, control_text

pytestmark = pytest.mark.stack
COLLEAGUES = f"account:{COLLEAGUES_ACCOUNT}"
OVER = ["unauthorized"]


async def test_events_follow_the_answer_as_the_contract_writes_them(
    gateway: Gateway, house: House
) -> None:
    trader = await gateway.connect("c1=")
    answer = await trader.subscribe(MINE)
    head = answer["seq"][MINE]
    await house.happen(ACCOUNT, 2)
    assert await trader.receive() == {
        "type": "event",
        "channel": MINE,
        "seq": head + 1,
        "event": {
            "eventType": "order.filled",
            "timestamp": "2023-11-14T22:13:20.000000Z",
            "payload": {"n": head + 1},
        },
    }
    assert await trader.events(1) == [head + 2]


async def test_resume_has_neither_gap_nor_duplicate_while_events_flow(
    gateway: Gateway, house: House
) -> None:
    await house.happen(ACCOUNT, 700)
    start = house.seqs[ACCOUNT] - 650
    stop = asyncio.Event()

    async def flow() -> None:
        while not stop.is_set():
            await house.happen(ACCOUNT, 3)

    flowing = asyncio.create_task(flow())
    try:
        trader = await gateway.connect("c1")
        await trader.subscribe(MINE, afterSeq={MINE: start})
        seqs = await trader.events(1_200)
    finally:
        stop.set()
        await flowing
    assert seqs == list(range(start + 1, start + 1_201))


async def test_a_round_leaves_what_is_new_to_its_control_message(
    gateway: Gateway, worker: Worker, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lose(topic: str, body: bytes) -> None:
        assert topic == SOCKETS
        assert body

    trader = await gateway.connect("c1")
    await served(worker, "c1")
    with monkeypatch.context() as lossy:
        lossy.setattr(house.ports.event_bus, "publish", lose)
        await trader.subscribe(MINE, "quotes:EURUSD")
    await worker.hub._look(patient=True)
    assert worker.hub._held["c1"][0].channels == []
    await worker.hub._look(patient=True)
    await listening(worker, "c1", MINE, "quotes:EURUSD")
    await house.happen(ACCOUNT, 1)
    assert await trader.events(1) == [house.seqs[ACCOUNT]]


async def test_looking_again_and_again_changes_nothing(
    gateway: Gateway, worker: Worker, house: House
) -> None:
    trader = await gateway.connect("c1")
    head = (await trader.subscribe(MINE, "bars:EURUSD:1m"))["seq"][MINE]
    for _ in range(5):
        await house.happen(ACCOUNT, 2)
        await worker.hub._look()
        await worker.hub._note(exact=False)
    assert await trader.events(10) == list(range(head + 1, head + 11))
    assert await trader.silent()


async def test_sockets_end_with_their_session_and_their_token(
    gateway: Gateway, worker: Worker, house: House, pushes: MemoryPushes
) -> None:
    short = await gateway.connect("short", life_s=1.0)
    ended = await gateway.connect("ended")
    await ended.subscribe(MINE)
    await served(worker, "short", "ended")
    house.sessions.standing.clear()
    assert [(await peer.receive(8))["code"] for peer in (short, ended)] == OVER * 2
    await served(worker)
    assert sorted(pushes.dropped) == ["ended", "short"]
    assert not await house.ports.subscriptions.connections()
    await house.happen(ACCOUNT, 1)
    assert await ended.silent()


async def test_unsubscribed_and_disconnected_fall_silent(
    gateway: Gateway, worker: Worker, house: House, pushes: MemoryPushes
) -> None:
    trader = await gateway.connect("c1")
    head = (await trader.subscribe(MINE))["seq"][MINE]
    await listening(worker, "c1", MINE)
    await trader.say(action="unsubscribe", channels=[MINE])
    assert await trader.receive() == {"type": "unsubscribed", "channels": [MINE]}
    await listening(worker, "c1")
    await house.happen(ACCOUNT, 4)
    assert await trader.silent()
    await trader.subscribe(MINE, afterSeq={MINE: head})
    assert await trader.events(4) == list(range(head + 1, head + 5))
    await trader.leave()
    await served(worker)
    await house.happen(ACCOUNT, 1)
    assert await trader.silent()
    assert pushes.dropped == []


async def test_subscribing_again_starts_anew(gateway: Gateway, house: House) -> None:
    trader = await gateway.connect("c1")
    head = (await trader.subscribe(MINE))["seq"][MINE]
    await house.happen(ACCOUNT, 3)
    await trader.events(3)
    await trader.subscribe(MINE, afterSeq={MINE: head + 1})
    assert await trader.events(2) == [head + 2, head + 3]
    await house.happen(ACCOUNT, 1)
    assert await trader.events(1) == [head + 4]


async def test_quotes_that_wait_are_replaced_by_the_newest(
    gateway: Gateway, worker: Worker, house: House, pushes: MemoryPushes
) -> None:
    trader = await gateway.connect("c1")
    await trader.subscribe("quotes:EURUSD")
    await listening(worker, "c1", "quotes:EURUSD")
    gate = pushes.gates["c1"] = asyncio.Event()
    for seq in range(1, 101):
        await house.quote("EURUSD", 108_000 + seq, seq)
    await asyncio.sleep(0.2)
    gate.set()
    await asyncio.sleep(0.2)
    quotes = [message["seq"] for message in trader.posted if message["type"] == "quote"]
    assert len(quotes) <= 3
    assert quotes[-1] == 100
    other = await gateway.connect("c2")
    await other.subscribe("quotes:EURUSD")
    assert (await other.receive())["seq"] == 100


async def test_nobody_is_served_on_a_word_alone(
    gateway: Gateway, worker: Worker, house: House, pushes: MemoryPushes
) -> None:
    pushes.open.add("stranger")
    for body in (control_text(Control("stranger", sockets.TENANT)), b"{}", b"nonsense"):
        await house.ports.event_bus.publish(SOCKETS, body)
    trader = await gateway.connect("c1", role=Role.RISK_MANAGER)
    await trader.subscribe(MINE, COLLEAGUES)
    await listening(worker, "c1", MINE, COLLEAGUES)
    await served(worker, "c1")


async def test_progress_moves_only_from_what_was_known(house: House) -> None:
    subscriptions = house.ports.subscriptions
    redeemed = await house.ports.tickets.redeem(await house.ticket())
    assert redeemed is not None
    holder = replace(redeemed, batched=True)
    assert await subscriptions.open(holder, "one", 2)
    assert await subscriptions.add(holder, "one", {"a": Progress(5), "b": Progress()}, 3)
    steps = {"a": (Progress(5), Progress(5, loose=True)), "b": (Progress(1), Progress(2))}
    assert await subscriptions.advance(holder, "one", steps) == {"a"}
    assert await subscriptions.advance(holder, "one", steps) == frozenset()
    expected = OpenConnection("one", holder, {"a": Progress(5, loose=True), "b": Progress()})
    assert await subscriptions.connection(sockets.TENANT, "one") == expected
    assert await subscriptions.connection(sockets.OTHER_TENANT, "one") is None
    assert await subscriptions.connections() == [expected]
    await subscriptions.close(holder, "one")
    assert await subscriptions.connections() == []
