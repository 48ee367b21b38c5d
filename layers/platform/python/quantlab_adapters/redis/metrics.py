"""The board where processes leave their numbers, in Redis."""

from typing import Final, cast

from quantlab_adapters.redis.client import Client, translated

LIFE_S: Final = 20
_PREFIX: Final = "metrics:"


class RedisMetricsBoard:
    """MetricsBoard port: one short-lived key a process."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis

    async def put(self, role: str, instance: str, text: str) -> None:
        with translated():
            await self._redis.set(f"{_PREFIX}{role}/{instance}", text, ex=LIFE_S)

    async def entries(self) -> list[tuple[str, str, str]]:
        found: list[tuple[str, str, str]] = []
        with translated():
            keys = sorted([key async for key in self._redis.scan_iter(f"{_PREFIX}*", count=1000)])
            texts = await self._redis.mget(keys) if keys else []
        for key, text in zip(keys, texts, strict=True):
            role, _, instance = cast(bytes, key).decode().removeprefix(_PREFIX).rpartition("/")
            if text is not None:
                found.append((role, instance, cast(bytes, text).decode()))
        return found
