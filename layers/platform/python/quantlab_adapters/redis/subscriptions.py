"""Who is connected and listens to what, for every process of the house.

Every key carries the tenant except one pointer from connection to tenant, which API Gateway needs:
its messages name the connection and nothing else. Every key ends by itself.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Final, cast

from quantlab.tenancy.permissions import Permission, Role
from quantlab.tenancy.scope import Actor, Scope
from quantlab_adapters.redis.client import Client, translated
from quantlab_app.ports.clock import Clock
from quantlab_app.ports.sessions import TicketHolder
from quantlab_app.ports.sockets import OpenConnection, Progress

SECOND_NS: Final = 1_000_000_000
PAGE: Final = 500

# The keys of one connection end together, at the second after its token does.
_OPEN = """
redis.call('zremrangebyscore', KEYS[1], '-inf', ARGV[2])
if not redis.call('zscore', KEYS[1], ARGV[1])
    and redis.call('zcard', KEYS[1]) >= tonumber(ARGV[6]) then return 0 end
redis.call('zadd', KEYS[1], ARGV[3], ARGV[1])
if redis.call('ttl', KEYS[1]) < ARGV[3] - ARGV[2] then
    redis.call('expireat', KEYS[1], ARGV[3]) end
redis.call('set', KEYS[2], ARGV[5], 'EXAT', ARGV[3])
redis.call('set', KEYS[3], ARGV[4], 'EXAT', ARGV[3])
return 1
"""
# Channels and their progress alternate in the arguments, from the fifth on.
_ADD = """
local new = 0
for i = 5, #ARGV, 2 do
  if redis.call('hexists', KEYS[1], ARGV[i]) == 0 then new = new + 1 end
end
if redis.call('hlen', KEYS[1]) + new > tonumber(ARGV[4]) then return 0 end
for i = 5, #ARGV, 2 do
  local listeners = KEYS[(i - 1) / 2]
  redis.call('hset', KEYS[1], ARGV[i], ARGV[i + 1])
  redis.call('zremrangebyscore', listeners, '-inf', ARGV[2])
  redis.call('zadd', listeners, ARGV[3], ARGV[1])
  if redis.call('ttl', listeners) < ARGV[3] - ARGV[2] then
    redis.call('expireat', listeners, ARGV[3]) end
end
redis.call('expireat', KEYS[1], ARGV[3])
return 1
"""
_ADVANCE = """
local moved = {}
for i = 1, #ARGV, 3 do
  if redis.call('hget', KEYS[1], ARGV[i]) == ARGV[i + 1] then
    redis.call('hset', KEYS[1], ARGV[i], ARGV[i + 2])
    moved[#moved + 1] = ARGV[i]
  end
end
return moved
"""


class RedisSubscriptions:
    """Subscriptions port on sorted sets whose scores are the ends of the tokens."""

    def __init__(self, redis: Client, clock: Clock) -> None:
        self._redis = redis
        self._clock = clock
        self._open = redis.register_script(_OPEN)
        self._add = redis.register_script(_ADD)
        self._advance = redis.register_script(_ADVANCE)

    async def open(self, holder: TicketHolder, connection_id: str, limit: int) -> bool:
        tenant_id = holder.scope.tenant_id
        keys = [
            _key(tenant_id, "open"),
            _key(tenant_id, "holder", connection_id),
            _pointer(connection_id),
        ]
        arguments: list[str | int] = [
            connection_id, self._now_s(), _end_s(holder), tenant_id, _encode(holder), limit,
        ]  # fmt: skip
        with translated():
            return bool(await self._open(keys=keys, args=arguments))

    async def holder(self, connection_id: str) -> TicketHolder | None:
        with translated():
            tenant_id = await self._redis.get(_pointer(connection_id))
            if tenant_id is None:
                return None
            key = _key(cast("bytes", tenant_id).decode(), "holder", connection_id)
            record = await self._redis.get(key)
        return None if record is None else _decode(cast("bytes", record))

    async def add(
        self,
        holder: TicketHolder,
        connection_id: str,
        channels: Mapping[str, Progress],
        limit: int,
    ) -> bool:
        tenant_id = holder.scope.tenant_id
        keys = [
            _key(tenant_id, "channels", connection_id),
            *(_key(tenant_id, "listeners", channel) for channel in channels),
        ]
        arguments: list[str | int] = [connection_id, self._now_s(), _end_s(holder), limit]
        for channel, progress in channels.items():
            arguments += (channel, _encode_progress(progress))
        with translated():
            return bool(await self._add(keys=keys, args=arguments))

    async def advance(
        self,
        holder: TicketHolder,
        connection_id: str,
        steps: Mapping[str, tuple[Progress, Progress]],
    ) -> frozenset[str]:
        key = _key(holder.scope.tenant_id, "channels", connection_id)
        arguments: list[str] = []
        for channel, (former, latter) in steps.items():
            arguments += (channel, _encode_progress(former), _encode_progress(latter))
        with translated():
            moved = await self._advance(keys=[key], args=arguments)
        return frozenset(member.decode() for member in cast("list[bytes]", moved))

    async def remove(
        self, holder: TicketHolder, connection_id: str, channels: Sequence[str]
    ) -> None:
        if not channels:
            return
        tenant_id = holder.scope.tenant_id
        with translated():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.hdel(_key(tenant_id, "channels", connection_id), *channels)
                for channel in channels:
                    pipe.zrem(_key(tenant_id, "listeners", channel), connection_id)
                await pipe.execute()

    async def close(self, holder: TicketHolder, connection_id: str) -> None:
        tenant_id = holder.scope.tenant_id
        channels = await self.channels(holder.scope, connection_id)
        with translated():
            async with self._redis.pipeline(transaction=True) as pipe:
                for channel in channels:
                    pipe.zrem(_key(tenant_id, "listeners", channel), connection_id)
                pipe.zrem(_key(tenant_id, "open"), connection_id)
                pipe.delete(
                    _key(tenant_id, "channels", connection_id),
                    _key(tenant_id, "holder", connection_id),
                    _pointer(connection_id),
                )
                await pipe.execute()

    async def channels(self, scope: Scope, connection_id: str) -> frozenset[str]:
        with translated():
            members = await self._redis.hkeys(_key(scope.tenant_id, "channels", connection_id))
        return frozenset(member.decode() for member in cast("list[bytes]", members))

    async def connection(self, tenant_id: str, connection_id: str) -> OpenConnection | None:
        found = await self._read([(tenant_id, connection_id)])
        return found[0] if found else None

    async def connections(self) -> Sequence[OpenConnection]:
        found: dict[str, OpenConnection] = {}
        cursor = None
        while cursor != 0:
            with translated():
                cursor, keys = await self._redis.scan(cursor or 0, match=_pointer("*"), count=PAGE)
                tenants = await self._redis.mget(keys) if keys else []
            pointers = zip(cast("list[bytes]", tenants), cast("list[bytes]", keys), strict=True)
            names = [
                (tenant_id.decode(), key.decode().removeprefix(_pointer("")))
                for tenant_id, key in pointers
                if tenant_id is not None
            ]
            # A scan may name a key twice.
            found |= {record.connection_id: record for record in await self._read(names)}
        return list(found.values())

    async def _read(self, names: Sequence[tuple[str, str]]) -> list[OpenConnection]:
        if not names:
            return []
        with translated():
            async with self._redis.pipeline(transaction=True) as pipe:
                for tenant_id, connection_id in names:
                    pipe.get(_key(tenant_id, "holder", connection_id))
                    pipe.hgetall(_key(tenant_id, "channels", connection_id))
                answers = await pipe.execute()
        return [
            OpenConnection(
                connection_id,
                _decode(record),
                {name.decode(): _decode_progress(value) for name, value in channels.items()},
            )
            for (_, connection_id), record, channels in zip(
                names, answers[::2], answers[1::2], strict=True
            )
            if record is not None
        ]

    async def subscribers(self, scope: Scope, channel: str) -> frozenset[str]:
        key = _key(scope.tenant_id, "listeners", channel)
        with translated():
            members = await self._redis.zrangebyscore(key, f"({self._now_s()}", "+inf")
        return frozenset(member.decode() for member in cast("list[bytes]", members))

    def _now_s(self) -> int:
        return self._clock.now_ns() // SECOND_NS


def _key(tenant_id: str, kind: str, *rest: str) -> str:
    return ":".join(("socket", tenant_id, kind, *rest))


def _pointer(connection_id: str) -> str:
    return f"socket-tenant:{connection_id}"


def _encode_progress(progress: Progress) -> str:
    return f"{progress.seq}+" if progress.loose else str(progress.seq)


def _decode_progress(value: bytes) -> Progress:
    return Progress(int(value.removesuffix(b"+")), loose=value.endswith(b"+"))


def _end_s(holder: TicketHolder) -> int:
    return holder.expires_ns // SECOND_NS + 1


def _encode(holder: TicketHolder) -> str:
    actor = holder.scope.actor
    return json.dumps(
        {
            "tenantId": holder.scope.tenant_id,
            "correlationId": holder.scope.correlation_id,
            "kind": actor.kind,
            "id": actor.id,
            "role": actor.role,
            "scopes": None if actor.scopes is None else sorted(actor.scopes),
            "credential": holder.kind,
            "reference": holder.reference,
            "homeTenantId": holder.home_tenant_id,
            "expiresNs": holder.expires_ns,
            "batched": holder.batched,
        }
    )


def _decode(record: bytes) -> TicketHolder:
    row = json.loads(record)
    scopes = row["scopes"]
    actor = Actor(
        row["kind"],
        row["id"],
        Role(row["role"]),
        None if scopes is None else frozenset(map(Permission, scopes)),
    )
    scope = Scope(row["tenantId"], actor, row["correlationId"])
    return TicketHolder(
        scope=scope,
        kind=row["credential"],
        reference=row["reference"],
        home_tenant_id=row["homeTenantId"],
        expires_ns=row["expiresNs"],
        batched=row.get("batched", False),
    )
