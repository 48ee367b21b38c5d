"""Commands of one round trip on a connection that is kept, and the messages of channels.

The client's pipelines and subscriptions take a connection from the pool, wrap every command and
every answer, and start a timer for each; on the order path that was twice the work of the rest.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from quantlab_adapters.redis.client import ANSWER_S, Client

IDLE_MAX: Final = 2

Command = tuple[str | bytes | int, ...]


class Exchanges:
    """Round trips of one user of a client; the pool closes their connections with its own."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis
        self._idle: list[AbstractConnection] = []

    async def do(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands together and return their answers; on a lost connection, once more.

        Raises:
            redis.exceptions.RedisError: the server is away, or the first answer that is an error.

        """
        connection = self._idle.pop() if self._idle else await self._connection()
        try:
            try:
                answers = await _exchanged(connection, commands)
            except RedisConnectionError:
                answers = await _exchanged(connection, commands)
        finally:
            await self._keep(connection)  # one that was lost connects again on its next use
        for answer in answers:
            if isinstance(answer, ResponseError):
                raise answer
        return answers

    async def _connection(self) -> AbstractConnection:
        connection = await _connection(self._redis)
        connection.socket_timeout = None  # one timer for a round trip is enough
        return connection

    async def _keep(self, connection: AbstractConnection) -> None:
        """Keep a few: what a burst has opened is everybody's again."""
        if len(self._idle) < IDLE_MAX:
            self._idle.append(connection)
        else:
            connection.socket_timeout = ANSWER_S
            await self._redis.connection_pool.release(connection)


async def _connection(redis: Client) -> AbstractConnection:
    found: AbstractConnection = await redis.connection_pool.get_connection()  # type: ignore[no-untyped-call]
    return found


async def _exchanged(connection: AbstractConnection, commands: Sequence[Command]) -> list[Any]:
    try:
        async with asyncio.timeout(ANSWER_S):
            packed = connection.pack_commands(commands)
            await connection.send_packed_command(packed, check_health=False)
            return [await _answer(connection) for _ in commands]
    except BaseException as error:
        await connection.disconnect(nowait=True)
        if isinstance(error, TimeoutError):
            raise RedisTimeoutError("no answer in time") from error
        raise


async def _answer(connection: AbstractConnection) -> Any:
    try:
        return await connection.read_response(timeout=math.inf)
    except ResponseError as error:
        return error


class Subscription:
    """What is said on some channels, from when they were confirmed."""

    def __init__(self, connection: AbstractConnection) -> None:
        self._connection = connection

    async def next(self, at_most_s: float) -> tuple[bytes, bytes, Any] | None:
        """Return the next push: its kind, its channel and what it says; None after at_most_s.

        Kinds are subscribe (once a channel), message and, after a ping, pong.

        Raises:
            redis.exceptions.RedisError: the connection is lost.

        """
        told = await self._connection.read_response(timeout=at_most_s)
        return None if told is None else (told[0], told[1], told[-1])

    async def ping(self) -> None:
        """Ask for a sign of life."""
        await self._connection.send_command("PING", check_health=False)


@asynccontextmanager
async def subscribed(redis: Client, channels: Sequence[str]) -> AsyncIterator[Subscription]:
    """Listen to some channels on a connection that is closed afterwards."""
    connection = await _connection(redis)
    try:
        await connection.send_command("SUBSCRIBE", *channels, check_health=False)
        yield Subscription(connection)
    finally:
        await connection.disconnect(nowait=True)
        await redis.connection_pool.release(connection)
