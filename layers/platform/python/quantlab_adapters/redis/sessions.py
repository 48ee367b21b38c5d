"""Credentials as last known, socket tickets and sign-in counters in Redis.

What the cache says of a standing credential is believed only while this process can rule out
that an end was lost: not within an entry's life after Redis failed, restarted or was first seen.
"""

import hashlib
import time
from typing import Any, Final, cast

import orjson
from redis.asyncio.connection import AbstractConnection

from quantlab.tenancy.permissions import Permission, Role
from quantlab.tenancy.scope import Actor, Scope
from quantlab_adapters.redis.client import Client, translated
from quantlab_app.ports.clock import Ids
from quantlab_app.ports.errors import StoreUnavailable
from quantlab_app.ports.sessions import CredentialKind, Ended, LiveCredential, TicketHolder

LIFE_S: Final = 30
END_LIFE_S: Final = 3600
_ENDED: Final = b"ended"

_TAKE: Final = """
local wait = 0
for i, key in ipairs(KEYS) do
  if tonumber(redis.call('get', key) or '0') >= tonumber(ARGV[i + 1]) then
    wait = math.max(wait, redis.call('pttl', key), 1)
  end
end
if wait > 0 then return wait end
for _, key in ipairs(KEYS) do
  if redis.call('incr', key) == 1 then redis.call('pexpire', key, ARGV[1]) end
end
return 0
"""
_GIVE_BACK: Final = """
for _, key in ipairs(KEYS) do
  if tonumber(redis.call('get', key) or '0') > 0 then redis.call('decr', key) end
end
return 0
"""


class ServerWatch:
    """Notice that a connection reached another run of the server than the last one did."""

    def __init__(self) -> None:
        self._run_id: bytes | None = None
        self.distrusted_until = 0.0

    def distrust(self) -> None:
        self.distrusted_until = time.monotonic() + LIFE_S + 1

    async def connected(self, connection: AbstractConnection) -> None:
        """Finish a new connection; the client calls this for each."""
        await connection.on_connect()
        await connection.send_command("INFO", "server")
        info: bytes = await connection.read_response()
        run_id = info.partition(b"run_id:")[2].partition(b"\r\n")[0]
        if run_id != self._run_id:
            self._run_id = run_id
            self.distrust()


class RedisCredentialCache:
    """CredentialCache port, on a client of its own whose connections the watch sees."""

    def __init__(self, redis: Client, watch: ServerWatch) -> None:
        self._redis = redis
        self._watch = watch

    async def get(self, kind: CredentialKind, name: str) -> LiveCredential | Ended | None:
        try:
            with translated():
                raw = cast(bytes | None, await self._redis.get(_key(kind, name)))
        except StoreUnavailable:
            self._watch.distrust()
            return None
        if raw is None:
            return None
        if raw == _ENDED:
            return Ended()
        if time.monotonic() < self._watch.distrusted_until:
            return None
        return _read_credential(raw)

    async def put(self, kind: CredentialKind, name: str, credential: LiveCredential) -> None:
        try:
            with translated():
                await self._redis.set(
                    _key(kind, name), orjson.dumps(_written(credential)), nx=True, ex=LIFE_S
                )
        except StoreUnavailable:
            self._watch.distrust()

    async def end(self, kind: CredentialKind, names: tuple[str, ...]) -> None:
        if not names:
            return
        try:
            with translated():
                async with self._redis.pipeline(transaction=False) as pipeline:
                    for name in names:
                        pipeline.set(_key(kind, name), _ENDED, ex=END_LIFE_S)
                    await pipeline.execute()
        except StoreUnavailable:
            self._watch.distrust()
            raise


class RedisTickets:
    """Tickets port."""

    def __init__(self, redis: Client, ids: Ids, *, ttl_s: int) -> None:
        self._redis = redis
        self._ids = ids
        self._ttl_s = ttl_s

    async def issue(self, holder: TicketHolder) -> str:
        ticket = self._ids.token(32)
        live = LiveCredential(holder.scope.tenant_id, holder.scope.actor, holder.expires_ns)
        value = {
            **_written(live),
            "kind": holder.kind,
            "reference": holder.reference,
            "home": holder.home_tenant_id,
            "correlation": holder.scope.correlation_id,
        }
        with translated():
            await self._redis.set(_ticket_key(ticket), orjson.dumps(value), ex=self._ttl_s)
        return ticket

    async def redeem(self, ticket: str) -> TicketHolder | None:
        with translated():
            raw = cast(bytes | None, await self._redis.getdel(_ticket_key(ticket)))
        if raw is None:
            return None
        value = orjson.loads(raw)
        live = _read_credential(raw)
        return TicketHolder(
            scope=Scope(live.tenant_id, live.actor, value["correlation"]),
            kind=value["kind"],
            reference=value["reference"],
            home_tenant_id=value["home"],
            expires_ns=value["expires"],
        )


class RedisLoginAttempts:
    """LoginAttempts port: a fixed window per name, all of them or none."""

    def __init__(self, redis: Client) -> None:
        self._take = redis.register_script(_TAKE)
        self._give_back = redis.register_script(_GIVE_BACK)

    async def take(self, names: tuple[tuple[str, int], ...], window_s: int) -> int | None:
        keys = [_attempt_key(name) for name, _ in names]
        most = [most for _, most in names]
        with translated():
            wait_ms: int = await self._take(keys=keys, args=[window_s * 1000, *most])
        return -(-wait_ms // 1000) or None

    async def give_back(self, names: tuple[str, ...]) -> None:
        with translated():
            await self._give_back(keys=[_attempt_key(name) for name in names])


def _key(kind: CredentialKind, name: str) -> str:
    return f"{kind}:{name}"


def _ticket_key(ticket: str) -> str:
    return f"ticket:{hashlib.sha256(ticket.encode()).hexdigest()}"


def _attempt_key(name: str) -> str:
    return f"attempt:{hashlib.sha256(name.encode()).hexdigest()}"


def _written(credential: LiveCredential) -> dict[str, Any]:
    actor = credential.actor
    return {
        "tenant": credential.tenant_id,
        "actor": [actor.kind, actor.id, actor.role],
        "scopes": None if actor.scopes is None else sorted(actor.scopes),
        "expires": credential.expires_ns,
    }


def _read_credential(raw: bytes) -> LiveCredential:
    value = orjson.loads(raw)
    kind, actor_id, role = value["actor"]
    scopes = value["scopes"]
    narrowed = None if scopes is None else frozenset(Permission(scope) for scope in scopes)
    actor = Actor(kind, actor_id, Role(role), narrowed)
    return LiveCredential(value["tenant"], actor, value["expires"])
