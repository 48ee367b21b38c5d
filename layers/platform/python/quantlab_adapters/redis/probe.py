"""Whether Redis answers."""

from quantlab_adapters.redis.client import Client, translated


class RedisProbe:
    """Probe port."""

    name = "redis"

    def __init__(self, redis: Client) -> None:
        self._redis = redis

    async def touch(self) -> None:
        with translated():
            await self._redis.ping()
