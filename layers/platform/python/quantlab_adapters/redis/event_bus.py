"""Fan-out by publish and subscribe, and a listener that outlives the server it listens to."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from quantlab_adapters.redis.client import Client, translated

SILENCE_S_MAX: Final = 5.0
RETRY_S_MIN: Final = 0.05
RETRY_S_MAX: Final = 1.0

_log = structlog.get_logger(__name__)


class RedisEventBus:
    """EventBus port on Redis channels."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis

    async def publish(self, topic: str, body: bytes) -> None:
        with translated():
            await self._redis.publish(topic, body)

    async def listen(
        self,
        topics: Sequence[str],
        on_message: Callable[[str, bytes], None],
        on_attached: Callable[[], None],
    ) -> None:
        wait_s = RETRY_S_MIN

        def attached() -> None:
            nonlocal wait_s
            wait_s = RETRY_S_MIN
            on_attached()

        while True:
            try:
                await self._listen_once(topics, on_message, attached)
            except (RedisError, OSError) as error:
                _log.warning("event_bus_lost", error=type(error).__name__, retry_s=wait_s)
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, RETRY_S_MAX)

    async def _listen_once(
        self,
        topics: Sequence[str],
        on_message: Callable[[str, bytes], None],
        on_attached: Callable[[], None],
    ) -> None:
        pubsub = self._redis.pubsub()
        try:
            await pubsub.subscribe(*topics)
            await _deliver(pubsub, len(topics), on_message, on_attached)
        finally:
            with contextlib.suppress(RedisError, OSError):
                await pubsub.aclose()  # type: ignore[no-untyped-call]


async def _deliver(
    pubsub: PubSub,
    topics: int,
    on_message: Callable[[str, bytes], None],
    on_attached: Callable[[], None],
) -> None:
    """Hand messages on; return when the server stays silent after being asked for a sign of life.

    The client subscribes again by itself when it reconnects; the confirmations tell us that it did.
    """
    confirmed = 0
    asked = False
    while True:
        message = await pubsub.get_message(timeout=SILENCE_S_MAX)
        if message is None:
            if asked:
                return
            asked = True
            await pubsub.ping()
            continue
        asked = False
        kind = message["type"]
        if kind == "message":
            on_message(message["channel"].decode(), message["data"])
        elif kind == "subscribe":
            confirmed += 1
            if confirmed % topics == 0:
                on_attached()
