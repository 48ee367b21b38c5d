"""Fan-out by publish and subscribe, and a listener that outlives the server it listens to."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from redis.exceptions import RedisError

from quantlab_adapters.redis.client import Client, translated
from quantlab_adapters.redis.exchange import Exchanges, Subscription, subscribed
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
        self._exchanges = Exchanges(redis)
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
        await self._exchanges.do([("PUBLISH", topic, body) for topic, body, _ in group])

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
        async with subscribed(self._redis, topics) as subscription:
            await _deliver(subscription, len(topics), on_message, on_attached)


async def _deliver(
    subscription: Subscription,
    topics: int,
    on_message: Callable[[str, bytes], None],
    on_attached: Callable[[], None],
) -> None:
    """Hand messages on; return when the server is silent after being asked for a sign of life."""
    confirmed = 0
    asked = False
    while True:
        told = await subscription.next(SILENCE_S_MAX)
        if told is None:
            if asked:
                return
            asked = True
            await subscription.ping()
            continue
        asked = False
        kind, channel, body = told
        if kind == b"message":
            on_message(channel.decode(), body)
        elif kind == b"subscribe":
            confirmed += 1
            if confirmed == topics:
                on_attached()
