"""Messages that are published together share a round trip, and its failure."""

import asyncio
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from quantlab_adapters.redis.event_bus import RedisEventBus
from quantlab_app.ports.errors import StoreUnavailable


class Pipeline:
    def __init__(self, client: "Client") -> None:
        self.client = client
        self.messages: list[tuple[str, bytes]] = []

    def publish(self, topic: str, body: bytes) -> None:
        self.messages.append((topic, body))

    async def execute(self) -> None:
        await asyncio.sleep(0.01)
        if self.client.lost:
            raise RedisConnectionError
        self.client.trips.append(self.messages)


class Client:
    def __init__(self) -> None:
        self.trips: list[list[tuple[str, bytes]]] = []
        self.lost = False

    def pipeline(self, **options: Any) -> Pipeline:
        assert options == {"transaction": False}
        return Pipeline(self)


async def test_what_waits_shares_the_next_round_trip_in_order() -> None:
    client = Client()
    bus = RedisEventBus(client)  # type: ignore[arg-type]
    first = asyncio.gather(bus.publish("events", b"1"), bus.publish("accounts", b"2"))
    await asyncio.sleep(0.005)
    await asyncio.gather(first, bus.publish("events", b"3"), bus.publish("events", b"4"))
    assert client.trips == [
        [("events", b"1"), ("accounts", b"2")],
        [("events", b"3"), ("events", b"4")],
    ]


async def test_a_lost_server_is_said_to_everybody_who_waits_and_to_nobody_after() -> None:
    client = Client()
    client.lost = True
    bus = RedisEventBus(client)  # type: ignore[arg-type]
    answers = await asyncio.gather(
        bus.publish("events", b"1"), bus.publish("events", b"2"), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [StoreUnavailable, StoreUnavailable]
    client.lost = False
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(bus.publish("events", b"given up"), 0.001)
    await bus.publish("events", b"3")
    assert client.trips[-1][-1] == ("events", b"3")
