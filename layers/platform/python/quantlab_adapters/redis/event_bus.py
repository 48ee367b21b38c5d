"""Fan-out by publish and subscribe, and a listener that outlives the server it listens to."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from quantlab_adapters.redis.client import Client, translated
from quantlab_app.ports.errors import Fault

SILENCE_S_MAX: Final = 5.0
RETRY_S_MIN: Final = 0.05
RETRY_S_MAX: Final = 1.0

_log = structlog.get_logger(__name__)


_Waiting = tuple[str, bytes, asyncio.Future[None]]


class RedisEventBus:
    """EventBus port on Redis channels; what waits for one round trip shares the next."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis
        self._waiting: list[_Waiting] = []
        self._flusher: asyncio.Task[None] | None = None

    async def publish(self, topic: str, body: bytes) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((topic, body, future))
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush())
        await future

    async def _flush(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            fault: Fault | None = None
            try:
                with translated():
                    await self._send(group)
            except Fault as error:
                fault = error
            for _, _, future in group:
                if future.done():
                    continue
                if fault is None:
                    future.set_result(None)
                else:
                    future.set_exception(fault)

    async def _send(self, group: list[_Waiting]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for topic, body, _ in group:
            pipeline.publish(topic, body)
        await pipeline.execute()

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
