"""The Redis client and the fault its absence becomes."""

from collections.abc import Awaitable, Callable
from typing import Final

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from quantlab_app.ports.errors import StoreUnavailable

Client = Redis

ANSWER_S: Final = 2


def connect(
    url: str,
    *,
    max_connections: int = 64,
    on_connect: Callable[[AbstractConnection], Awaitable[None]] | None = None,
) -> Client:
    """Make a lazy client that retries once on a connection the server has dropped.

    on_connect, where given, finishes every new connection in place of the client's own greeting.
    """
    return Redis.from_url(
        url,
        max_connections=max_connections,
        protocol=2,
        socket_connect_timeout=2,
        socket_timeout=ANSWER_S,
        retry=Retry(ConstantBackoff(0.01), 1),
        retry_on_error=[RedisConnectionError],
        decode_responses=False,
        redis_connect_func=on_connect,
    )


class translated:  # noqa: N801 - reads as a verb where it is used
    """Turn the client's errors into faults."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, ResponseError) and not str(error).startswith(("LOADING", "MISCONF")):
            return
        if isinstance(error, RedisError | OSError):
            raise StoreUnavailable(f"Redis: {type(error).__name__}") from error
