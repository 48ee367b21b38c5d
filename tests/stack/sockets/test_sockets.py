"""The hub behind a real server on the real stores: who may listen, and what reaches them."""

import asyncio
import json

import pytest
from tests.support import sockets
from tests.support.sockets import ACCOUNT, COLLEAGUES_ACCOUNT, FOREIGN_ACCOUNT, Client, House
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from quantlab.tenancy.permissions import Role
from quantlab_app.ports.sockets import Progress
from quantlab_edge import hub_connection

pytestmark = pytest.mark.stack

MINE = f"account:{ACCOUNT}"
COLLEAGUES = f"account:{COLLEAGUES_ACCOUNT}"
FOREIGN = f"account:{FOREIGN_ACCOUNT}"


async def attached(house: House) -> None:
    """Wait until the hub of a house listens to the bus."""
    redis = house.ports.redis  # type: ignore[attr-defined]

    async def listening() -> bool:
        return bool(dict(await redis.pubsub_numsub("events"))[b"events"])

    await sockets.eventually(listening)


async def test_a_ticket_opens_one_socket_only(house: House) -> None:
    ticket = await house.ticket()
    async with connect(house.url(ticket)) as first:
        await first.send('{"action":"ping"}')
        assert json.loads(await first.recv()) == {"type": "pong"}
        with pytest.raises(InvalidStatus) as refused:
            await connect(house.url(ticket))
    assert refused.value.response.status_code == 401
    assert json.loads(refused.value.response.body or b"")["code"] == "unauthorized"


async def test_a_batched_socket_gets_the_events_of_one_commit_in_one_frame(house: House) -> None:
    await house.read_seqs()
    async with connect(f"{house.url(await house.ticket())}&batched=1") as raw:
        trader = Client(raw)
        await trader.subscribe(MINE)
        await attached(house)
        seqs = await house.happen(ACCOUNT, 3)
        frame = json.loads(await asyncio.wait_for(raw.recv(), 5))
    assert [(message["type"], message["seq"]) for message in frame] == [
        ("event", seq) for seq in seqs
    ]


@pytest.mark.parametrize("ticket", ["", "unknown", "x" * 300])
async def test_a_bad_ticket_is_refused_before_the_handshake(house: House, ticket: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await connect(house.url(ticket))
    assert refused.value.response.status_code == 401


async def test_a_ticket_of_an_ended_session_is_refused(house: House) -> None:
    ticket = await house.ticket()
    house.sessions.standing.clear()
    with pytest.raises(InvalidStatus) as refused:
        await connect(house.url(ticket))
    assert refused.value.response.status_code == 401


async def test_channels_are_held_to_tenant_owner_and_instruments(house: House) -> None:
    async with house.client() as trader:
        answer = await trader.subscribe(
            MINE, COLLEAGUES, FOREIGN, "quotes:EURUSD", "quotes:DOGE", "bars:EURUSD:1m"
        )
        assert answer["channels"] == [MINE, "quotes:EURUSD", "bars:EURUSD:1m"]
        refused = [await trader.receive() for _ in range(3)]
    assert {(r["type"], r["code"], r["channel"]) for r in refused} == {
        ("error", "not_found", COLLEAGUES),
        ("error", "not_found", FOREIGN),
        ("error", "not_found", "quotes:DOGE"),
    }


async def test_a_risk_manager_sees_every_account_of_the_tenant_and_none_beyond(
    house: House,
) -> None:
    async with house.client(role=Role.RISK_MANAGER) as manager:
        answer = await manager.subscribe(MINE, COLLEAGUES, FOREIGN)
        assert answer["channels"] == [MINE, COLLEAGUES]
        assert (await manager.receive())["channel"] == FOREIGN


async def test_a_bus_message_of_another_tenant_does_not_cross(house: House) -> None:
    async with house.client() as trader:
        head = (await trader.subscribe(MINE))["seq"][MINE]
        await attached(house)
        await house.announce(ACCOUNT, [head + 1], sockets.OTHER_TENANT)
        assert await trader.silent()


async def test_events_arrive_as_the_contract_writes_them(house: House) -> None:
    async with house.client() as trader:
        head = (await trader.subscribe(MINE))["seq"][MINE]
        await house.happen(ACCOUNT, 1)
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


async def test_resume_has_neither_gap_nor_duplicate_while_events_flow(house: House) -> None:
    await house.happen(ACCOUNT, 700)
    start = house.seqs[ACCOUNT] - 650
    stop = asyncio.Event()

    async def flow() -> None:
        while not stop.is_set():
            await house.happen(ACCOUNT, 3)

    flowing = asyncio.create_task(flow())
    try:
        async with house.client() as trader:
            await trader.subscribe(MINE, after_seq={MINE: start})
            seqs = await trader.events(1_200)
    finally:
        stop.set()
        await flowing
    assert seqs == list(range(start + 1, start + 1_201))


async def test_events_out_of_order_and_lost_ones_are_read_from_the_log(house: House) -> None:
    async with house.client() as trader:
        head = (await trader.subscribe(MINE))["seq"][MINE]
        await attached(house)
        seqs = await house.commit(ACCOUNT, 6)
        await house.announce(ACCOUNT, seqs[4:])
        await house.announce(ACCOUNT, seqs[:2])
        assert await trader.events(6) == list(range(head + 1, head + 7))
        await house.announce(ACCOUNT, seqs)
        assert await trader.silent()


async def test_an_event_that_never_was_committed_leads_to_a_resync(house: House) -> None:
    async with house.client() as trader:
        head = (await trader.subscribe(MINE))["seq"][MINE]
        await attached(house)
        await house.announce(ACCOUNT, [head + 5])
        hint = {"type": "resync", "channel": MINE, "fromSeq": head + 1}
        assert await trader.receive(10) == hint


async def test_a_client_ahead_of_the_log_is_told_to_start_over(house: House) -> None:
    async with house.client() as trader:
        await trader.subscribe(MINE, after_seq={MINE: 1_000_000})
        assert await trader.receive() == {"type": "resync", "channel": MINE, "fromSeq": 1}
        await house.happen(ACCOUNT, 1)
        assert await trader.events(1) == [house.seqs[ACCOUNT]]


async def test_a_slow_client_gets_a_resync_and_goes_on(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = asyncio.Event()
    original = hub_connection.Connection._send_burst

    async def gated(self: hub_connection.Connection) -> None:
        await gate.wait()
        await original(self)

    async with house.client() as trader:
        head = (await trader.subscribe(MINE))["seq"][MINE]
        await attached(house)
        monkeypatch.setattr(hub_connection.Connection, "_send_burst", gated)
        lost = hub_connection.QUEUE_MAX + 50
        # The sender sleeps inside its last burst; one event wakes it into the gate.
        for _ in range(lost // 50):
            await house.happen(ACCOUNT, 50)
        await asyncio.sleep(0.2)
        gate.set()
        assert await trader.events(hub_connection.QUEUE_MAX) == list(
            range(head + 1, head + hub_connection.QUEUE_MAX + 1)
        )
        hint = await trader.receive()
        assert hint == {
            "type": "resync",
            "channel": MINE,
            "fromSeq": head + hub_connection.QUEUE_MAX + 1,
        }
        await house.happen(ACCOUNT, 2)
        assert await trader.events(2) == [head + lost + 1, head + lost + 2]


async def test_quotes_that_wait_are_replaced_by_the_newest(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = asyncio.Event()
    original = hub_connection.Connection._send_burst

    async def gated(self: hub_connection.Connection) -> None:
        await gate.wait()
        await original(self)

    async with house.client() as trader:
        await trader.subscribe("quotes:EURUSD")
        await attached(house)
        monkeypatch.setattr(hub_connection.Connection, "_send_burst", gated)
        for seq in range(1, 101):
            await house.quote("EURUSD", 108_000 + seq, seq)
        await asyncio.sleep(0.2)
        gate.set()
        quote = await trader.receive()
        assert (quote["type"], quote["channel"]) == ("quote", "quotes:EURUSD")
        assert (quote["bid"], quote["ask"], quote["seq"]) == ("1.08100", "1.08102", 100)
        assert await trader.silent()


async def test_a_new_listener_gets_the_latest_quote_at_once(house: House) -> None:
    async with house.client() as first, house.client() as second:
        await first.subscribe("quotes:EURUSD")
        await attached(house)
        await house.quote("EURUSD", 108_000, 7)
        assert (await first.receive())["seq"] == 7
        await second.subscribe("quotes:EURUSD")
        assert (await second.receive())["seq"] == 7


async def test_the_socket_closes_when_its_token_ends(house: House) -> None:
    async with house.client(life_s=0.8) as trader:
        assert await trader.closed_with() == (4401, [])


async def test_the_socket_closes_when_its_session_is_revoked(house: House) -> None:
    async with house.client() as trader:
        await trader.subscribe(MINE)
        house.sessions.standing.clear()
        assert await trader.closed_with(6) == (4401, [])


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '"subscribe"',
        '{"action":"shout"}',
        '{"action":"subscribe"}',
        '{"action":"subscribe","channels":[]}',
        '{"action":"subscribe","channels":["account:me"]}',
        '{"action":"subscribe","channels":["quotes:EURUSD"],"afterSeq":{"quotes:EURUSD":"1"}}',
        '{"action":"ping","loud":true}',
    ],
)
async def test_a_malformed_message_is_answered_with_an_error(house: House, text: str) -> None:
    async with house.client() as trader:
        await trader.raw.send(text)
        answer = await trader.receive()
        assert (answer["type"], answer["code"]) == ("error", "malformed")
        await trader.send(action="ping")
        assert await trader.receive() == {"type": "pong"}


async def test_repeated_misuse_closes_the_socket(house: House) -> None:
    async with house.client() as trader:
        for _ in range(hub_connection.MISUSES_MAX):
            await trader.raw.send(b"\x00\x01")
            assert (await trader.receive())["code"] == "malformed"
        await trader.raw.send(b"\x00\x01")
        code, _ = await trader.closed_with()
    assert code == 1008


async def test_too_many_messages_are_refused_and_then_end_the_socket(house: House) -> None:
    async with house.client() as trader:
        for _ in range(hub_connection.MESSAGES_BURST):
            await trader.send(action="ping")
            assert await trader.receive() == {"type": "pong"}
        codes = []
        while "rate_limited" not in codes:
            await trader.send(action="ping")
            codes.append((await trader.receive()).get("code"))
        for _ in range(hub_connection.MISUSES_MAX + 10):
            await trader.send(action="ping")
        code, _ = await trader.closed_with()
    assert code == 1008


async def test_a_message_over_the_limit_closes_the_socket(house: House) -> None:
    async with house.client() as trader:
        await trader.raw.send("x" * 5_000)
        assert await trader.closed_with() == (1009, [])


async def test_unsubscribed_channels_fall_silent_and_can_be_resumed(house: House) -> None:
    async with house.client() as trader:
        head = (await trader.subscribe(MINE))["seq"][MINE]
        await attached(house)
        await trader.send(action="unsubscribe", channels=[MINE])
        assert await trader.receive() == {"type": "unsubscribed", "channels": [MINE]}
        await house.happen(ACCOUNT, 4)
        assert await trader.silent()
        await trader.subscribe(MINE, after_seq={MINE: head})
        assert await trader.events(4) == list(range(head + 1, head + 5))


async def test_subscription_state_is_kept_and_cleaned(house: House) -> None:
    subscriptions = house.ports.subscriptions
    scope = sockets.scope_of_tests()
    async with house.client() as trader:
        await trader.subscribe(MINE, "quotes:EURUSD")
        (connection_id,) = await subscriptions.subscribers(scope, MINE)
        assert await subscriptions.channels(scope, connection_id) == {MINE, "quotes:EURUSD"}
        holder = await subscriptions.holder(connection_id)
        assert holder is not None
        assert (holder.scope.tenant_id, holder.scope.actor.id) == (sockets.TENANT, sockets.USER)
        redis = house.ports.redis  # type: ignore[attr-defined]
        keys = await redis.keys("socket*")
        assert len(keys) == 6
        assert min([await redis.ttl(key) for key in keys]) > 0

    async def gone() -> bool:
        return not await redis.keys("socket*")

    await sockets.eventually(gone)


def channels(*names: str) -> dict[str, Progress]:
    return dict.fromkeys(names, Progress())


async def test_limits_of_connections_and_subscriptions(house: House) -> None:
    subscriptions = house.ports.subscriptions
    holder = await house.ports.tickets.redeem(await house.ticket())
    assert holder is not None
    assert await subscriptions.open(holder, "one", 2)
    assert await subscriptions.open(holder, "two", 2)
    assert await subscriptions.open(holder, "two", 2)
    assert not await subscriptions.open(holder, "three", 2)
    await subscriptions.close(holder, "one")
    assert await subscriptions.open(holder, "three", 2)
    assert await subscriptions.add(holder, "two", channels("a", "b"), 3)
    assert not await subscriptions.add(holder, "two", channels("b", "c", "d"), 3)
    assert await subscriptions.channels(holder.scope, "two") == {"a", "b"}
    assert await subscriptions.add(holder, "two", channels("b", "c"), 3)
    await subscriptions.remove(holder, "two", ["a"])
    assert await subscriptions.subscribers(holder.scope, "a") == frozenset()
