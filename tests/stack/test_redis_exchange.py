"""Commands in one round trip, and channels: answers, errors, and connections that are lost."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.exceptions import RedisError, ResponseError

from quantlab_adapters.redis import exchange
from quantlab_adapters.redis.client import Client, connect
from quantlab_adapters.redis.exchange import Exchanges, subscribed

pytestmark = pytest.mark.stack


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Client]:
    made = connect(redis_url)
    yield made
    await made.aclose()


async def _killed(client: Client) -> None:
    """Have the server close every connection but the one that asks."""
    for kind in ("normal", "pubsub"):
        await client.client_kill_filter(_type=kind, skipme=True)


async def test_answers_come_in_order_and_the_first_error_is_raised(client: Client) -> None:
    exchanges = Exchanges(client)
    large = b"x" * 3_000_000
    asked = [("SET", "a", large), ("GET", "a"), ("HMGET", "none", "b", "c")]
    assert await exchanges.do(asked) == [b"OK", large, [None, None]]
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await exchanges.do([("HGET", "a", "b"), ("GET", "a"), ("NONSENSE",)])
    assert await exchanges.do([("GET", "none")]) == [None]


async def test_a_lost_connection_is_made_anew(client: Client) -> None:
    exchanges = Exchanges(client)
    await asyncio.gather(*(exchanges.do([("SET", "a", number)]) for number in range(3)))
    await _killed(client)
    for _ in range(4):
        assert await exchanges.do([("EXISTS", "a")]) == [1]


async def test_one_given_up_leaves_no_answer_to_the_next(client: Client) -> None:
    exchanges = Exchanges(client)
    blocked = asyncio.create_task(exchanges.do([("BLPOP", "nothing", 60)]))
    await asyncio.sleep(0.05)
    blocked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await blocked
    assert await exchanges.do([("ECHO", "mine")]) == [b"mine"]


async def test_a_server_that_does_not_answer_is_given_up(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "ANSWER_S", 0.05)
    exchanges = Exchanges(client)
    with pytest.raises(RedisError, match="no answer in time"):
        await exchanges.do([("BLPOP", "nothing", 60)])
    monkeypatch.setattr(exchange, "ANSWER_S", 2.0)
    assert await exchanges.do([("ECHO", "mine")]) == [b"mine"]


async def test_what_a_burst_has_opened_is_everybodys_again(redis_url: str) -> None:
    client = connect(redis_url, max_connections=8)
    exchanges, others = Exchanges(client), Exchanges(client)
    await asyncio.gather(*(exchanges.do([("SET", "a", number)]) for number in range(8)))
    await asyncio.gather(*(others.do([("GET", "a")]) for _ in range(6)))
    await client.aclose()


async def test_channels_are_confirmed_heard_and_lost(client: Client) -> None:
    async with subscribed(client, ("one", "two")) as subscription:
        confirmed = [await subscription.next(2) for _ in range(2)]
        assert confirmed == [(b"subscribe", b"one", 1), (b"subscribe", b"two", 2)]
        assert await subscription.next(0.01) is None
        await client.publish("two", b"\x00said")
        assert await subscription.next(2) == (b"message", b"two", b"\x00said")
        await subscription.ping()
        assert await subscription.next(2) == (b"pong", b"", b"")
        await _killed(client)
        with pytest.raises(RedisError):
            await subscription.next(2)
