"""Token buckets and tenants' stamps in Redis; what waits for one round trip shares the next."""

import asyncio
import hashlib
import secrets
from typing import Any

from redis.exceptions import NoScriptError

from quantlab.tenancy.config import RateLimits
from quantlab_adapters.redis.client import Client, translated
from quantlab_adapters.redis.exchange import Exchanges
from quantlab_app.ports.errors import Fault
from quantlab_app.ports.signals import Taken

PIPELINE_MAX = 200
BUCKETS = ("account", "bot", "tenant")

# Draws a token from each bucket, or from none. KEYS: stamp, then the buckets. ARGV: tokens to
# draw (negative gives back), then capacity and refill per minute of each bucket, in order.
# Answers {stamp or "", index of the first empty bucket or 0, milliseconds until it has a token}.
_TAKE = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local draw = tonumber(ARGV[1])
local left, index, wait = {}, 0, 0
for i = 2, #KEYS do
  local capacity, per_minute = tonumber(ARGV[2 * i - 2]), tonumber(ARGV[2 * i - 1])
  local b = redis.call('HMGET', KEYS[i], 'v', 't')
  local tokens = tonumber(b[1]) or capacity
  local elapsed = math.max(0, now - (tonumber(b[2]) or now))
  tokens = math.min(capacity, tokens + elapsed * per_minute / 60000)
  if tokens < draw and index == 0 then
    index = i - 1
    wait = math.ceil((draw - tokens) * 60000 / per_minute)
  end
  left[i] = math.min(capacity, tokens - draw)
end
if index == 0 then
  for i = 2, #KEYS do
    redis.call('HSET', KEYS[i], 'v', tostring(left[i]), 't', tostring(now))
    redis.call('PEXPIRE', KEYS[i], 3600000)
  end
end
return {redis.call('GET', KEYS[1]) or '', index, wait}
"""
_TAKE_SHA = hashlib.sha1(_TAKE.encode()).hexdigest()  # noqa: S324 - Redis names scripts so

_Waiting = tuple[list[str], list[str], asyncio.Future[Any]]


class RedisSignalLimits:
    """SignalLimits port."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis
        self._exchanges = Exchanges(redis)
        self._waiting: list[_Waiting] = []
        self._flusher: asyncio.Task[None] | None = None

    async def take(self, tenant_id: str, bot_id: str, account_id: str, limits: RateLimits) -> Taken:
        stamp, index, wait_ms = await self._draw(1, tenant_id, bot_id, account_id, limits)
        return Taken(stamp.decode(), BUCKETS[index - 1] if index else None, wait_ms)

    async def give_back(
        self, tenant_id: str, bot_id: str, account_id: str, limits: RateLimits
    ) -> None:
        await self._draw(-1, tenant_id, bot_id, account_id, limits)

    async def _draw(
        self, tokens: int, tenant_id: str, bot_id: str, account_id: str, limits: RateLimits
    ) -> Any:
        slot = f"signals:{{{tenant_id}}}"
        keys = [
            stamp_key(tenant_id),
            f"{slot}:account:{account_id}",
            f"{slot}:bot:{bot_id}",
            f"{slot}:tenant",
        ]
        values = [str(tokens)]
        for limit in (limits.account, limits.bot, limits.tenant):
            values += [str(limit.burst), str(limit.per_minute)]
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((keys, values, future))
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush())
        return await future

    async def _flush(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting[:PIPELINE_MAX], self._waiting[PIPELINE_MAX:]
            try:
                with translated():
                    answers = await self._send(group)
            except Fault as fault:
                for _, _, future in group:
                    if not future.done():
                        future.set_exception(fault)
                continue
            for (_, _, future), answer in zip(group, answers, strict=True):
                if not future.done():
                    future.set_result(answer)

    async def _send(self, group: list[_Waiting]) -> list[Any]:
        try:
            return await self._run(group)
        except NoScriptError:
            await self._redis.script_load(_TAKE)
            return await self._run(group)

    async def _run(self, group: list[_Waiting]) -> list[Any]:
        return await self._exchanges.do(
            [("EVALSHA", _TAKE_SHA, len(keys), *keys, *values) for keys, values, _ in group]
        )


class RedisStamps:
    """Stamps port: a random mark, so that a lost one can never look like an old one."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis

    async def renew(self, tenant_id: str) -> None:
        with translated():
            await self._redis.set(stamp_key(tenant_id), secrets.token_hex(8))

    async def current(self, tenant_id: str) -> str:
        """Return the tenant's stamp, making one where there is none."""
        with translated():
            await self._redis.set(stamp_key(tenant_id), secrets.token_hex(8), nx=True)
            stamp = await self._redis.get(stamp_key(tenant_id))
        return stamp.decode() if isinstance(stamp, bytes) else stamp or ""


def stamp_key(tenant_id: str) -> str:
    """Return the key of a tenant's stamp, in the slot of its buckets."""
    return f"signals:{{{tenant_id}}}:stamp"
