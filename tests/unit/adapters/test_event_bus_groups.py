"""Messages that are published together share a round trip, and its failure."""

import asyncio
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from quantlab_adapters.redis.event_bus import RedisEventBus
from quantlab_app.ports.errors import StoreUnavailable


class Exchanges:
    def __init__(self) -> None:
        self.trips: list[list[tuple[str, bytes]]] = []
        self.lost = False

    async def do(self, commands: list[tuple[str, str, bytes]]) -> list[Any]:
        await asyncio.sleep(0.01)
        if self.lost:
            raise RedisConnectionError
        assert {command for command, _, _ in commands} == {"PUBLISH"}
        self.trips.append([(topic, body) for _, topic, body in commands])
        return [0] * len(commands)


@pytest.fixture
def exchanges() -> Exchanges:
    return Exchanges()


@pytest.fixture
def bus(exchanges: Exchanges) -> RedisEventBus:
    made = RedisEventBus(None)  # type: ignore[arg-type]
    made._exchanges = exchanges  # type: ignore[assignment]
    return made


async def test_what_waits_shares_the_next_round_trip_in_order(
    bus: RedisEventBus, exchanges: Exchanges
) -> None:
    first = asyncio.gather(bus.publish("events", b"1"), bus.publish("accounts", b"2"))
    await asyncio.sleep(0.005)
    await asyncio.gather(first, bus.publish("events", b"3"), bus.publish("events", b"4"))
    assert exchanges.trips == [
        [("events", b"1"), ("accounts", b"2")],
        [("events", b"3"), ("events", b"4")],
    ]


async def test_a_lost_server_is_said_to_everybody_who_waits_and_to_nobody_after(
    bus: RedisEventBus, exchanges: Exchanges
) -> None:
    exchanges.lost = True
    answers = await asyncio.gather(
        bus.publish("events", b"1"), bus.publish("events", b"2"), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [StoreUnavailable, StoreUnavailable]
    exchanges.lost = False
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(bus.publish("events", b"given up"), 0.001)
    await bus.publish("events", b"3")
    assert exchanges.trips[-1][-1] == ("events", b"3")
