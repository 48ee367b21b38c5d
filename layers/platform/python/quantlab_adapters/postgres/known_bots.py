"""The short memory of bots on the accepting path."""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from quantlab.tenancy.config import TenantConfig
from quantlab.tenancy.scope import Scope, system_scope
from quantlab_adapters.postgres.configs import PostgresTenantConfigs
from quantlab_adapters.postgres.database import Database
from quantlab_app.ports.bots import BotAccount, KnownBot
from quantlab_app.ports.errors import Fault
from quantlab_app.ports.secrets import Keys

# A change renews the tenant's stamp, which every signal compares; these are the net below it.
KEPT_S = 30.0
RENEW_AFTER_S = 20.0
RENEW_WITH_OTHERS_AFTER_S = 10.0
RENEWED_AT_ONCE_MAX = 500
RECENT_S = 1.0
KEPT_MAX = 20_000
SECRET_PURPOSE = "bot_secret"  # noqa: S105 - the name of a purpose

_KNOWN = """
select bot_id::text, status, account_id::text, account_ids::text[], secret_cipher,
  case when previous_valid_until > now() then previous_secret_cipher end as previous_cipher,
  extract(epoch from previous_valid_until - now())::float8 as previous_left_s,
  token_enabled, source_addresses::text[]
from bot where tenant_id = %s and bot_id = any(%s::uuid[])
"""
_BOT_ACCOUNTS = """
select account_id::text, status, account_type, config_version
from account where tenant_id = %s and account_id = any(%s::uuid[])
"""
_FIND = """
select k.kind, k.lookup_hash, d.tenant_id, d.object_id::text
from unnest(%s::text[], %s::bytea[]) k(kind, lookup_hash)
cross join lateral find_in_directory(k.kind, k.lookup_hash) d
"""
_Key = tuple[str, bytes]
_log = structlog.get_logger(__name__)

StampOf = Callable[[str], Awaitable[str]]


@dataclass(slots=True)
class _Kept:
    read_at: float
    ends_at: float
    bot: KnownBot | None
    used: bool = False


class StoredKnownBots:
    """KnownBots port. stamp_of reads the tenant's stamp before anything else is read."""

    def __init__(
        self,
        database: Database,
        keys: Keys,
        configs: PostgresTenantConfigs,
        stamp_of: StampOf,
    ) -> None:
        self._database = database
        self._keys = keys
        self._configs = configs
        self._stamp_of = stamp_of
        self._kept: dict[_Key, _Kept] = {}
        self._renewals: dict[str, asyncio.Task[None]] = {}

    async def by_id(
        self, bot_id: str, *, fresh: bool = False, recent: bool = False
    ) -> KnownBot | None:
        return await self._known("bot", lookup_digest(bot_id), _age_s(fresh=fresh, recent=recent))

    async def by_token(
        self, token_hash: bytes, *, fresh: bool = False, recent: bool = False
    ) -> KnownBot | None:
        return await self._known("bot_token", token_hash, _age_s(fresh=fresh, recent=recent))

    async def _known(self, kind: str, lookup_hash: bytes, age_s: float) -> KnownBot | None:
        """Return what was read within age_s, else read; that nobody is there is kept a second."""
        key = (kind, lookup_hash)
        kept = self._kept.get(key)
        if kept is not None:
            now = time.monotonic()
            if now < kept.ends_at and now - kept.read_at < age_s:
                kept.used = True
                if kept.bot is not None and now - kept.read_at > RENEW_AFTER_S:
                    self._begin_renewal(kept.bot.tenant_id, now)
                return kept.bot
        await self._read_and_keep([key])
        return self._kept[key].bot

    def _begin_renewal(self, tenant_id: str, now: float) -> None:
        if tenant_id not in self._renewals:
            keys = self._used_for_long(tenant_id, now)
            self._renewals[tenant_id] = asyncio.create_task(self._renew(tenant_id, keys))

    def _used_for_long(self, tenant_id: str, now: float) -> list[_Key]:
        old = {
            key: kept.read_at
            for key, kept in self._kept.items()
            if kept.used and kept.bot is not None and kept.bot.tenant_id == tenant_id
            and now < kept.ends_at and now - kept.read_at > RENEW_WITH_OTHERS_AFTER_S
        }  # fmt: skip
        return sorted(old, key=old.__getitem__)[:RENEWED_AT_ONCE_MAX]

    async def _renew(self, tenant_id: str, keys: Sequence[_Key]) -> None:
        """Read a tenant's bots in use before they grow too old, so that no signal waits for it."""
        try:
            await self._read_and_keep(keys)
        except Fault as fault:
            _log.warning("known bots not renewed", tenant_id=tenant_id, cause=str(fault))
        finally:
            del self._renewals[tenant_id]

    async def _read_and_keep(self, keys: Sequence[_Key]) -> None:
        if len(self._kept) >= KEPT_MAX:
            self._kept.clear()
        read_at = time.monotonic()
        found = await self._read(keys)
        for key in keys:
            bot, valid_s = found.get(key, (None, RECENT_S))
            kept = self._kept.get(key)
            if kept is None or kept.read_at <= read_at:
                self._kept[key] = _Kept(read_at, read_at + valid_s, bot)

    async def _read(self, keys: Sequence[_Key]) -> dict[_Key, tuple[KnownBot, float]]:
        """Return the bots there are, and for how long each holds: a secret's grace ends on time."""
        kinds, hashes = [kind for kind, _ in keys], [lookup_hash for _, lookup_hash in keys]
        async with self._database.plain() as connection:
            rows = await (await connection.execute(_FIND, (kinds, hashes))).fetchall()
        by_tenant: dict[str, dict[_Key, str]] = {}
        for row in rows:
            key = (row["kind"], bytes(row["lookup_hash"]))
            by_tenant.setdefault(row["tenant_id"], {})[key] = row["object_id"]
        found: dict[_Key, tuple[KnownBot, float]] = {}
        for tenant_id, bot_ids in by_tenant.items():
            bots = await self._read_tenant(tenant_id, list(set(bot_ids.values())))
            found |= {key: bots[bot_id] for key, bot_id in bot_ids.items() if bot_id in bots}
        return found

    async def _read_tenant(
        self, tenant_id: str, bot_ids: Sequence[str]
    ) -> dict[str, tuple[KnownBot, float]]:
        stamp = await self._stamp_of(tenant_id)
        async with self._database.tenant(tenant_id) as connection:
            cursor = await connection.execute(_KNOWN, (tenant_id, bot_ids))
            bots = await cursor.fetchall()
            account_ids = list({account_id for row in bots for account_id in row["account_ids"]})
            cursor = await connection.execute(_BOT_ACCOUNTS, (tenant_id, account_ids))
            rows = await cursor.fetchall()
        scope = system_scope(tenant_id, "known_bots", "")
        config = await self._configs.current(scope)
        accounts = [await self._account(scope, row) for row in rows]
        by_id = {account.account_id: account for account in accounts}
        return {row["bot_id"]: await self._known_bot(config, stamp, row, by_id) for row in bots}

    async def _account(self, scope: Scope, row: dict[str, Any]) -> BotAccount:
        pinned = await self._configs.pinned(scope, row["config_version"])
        kind = pinned.account_types[row["account_type"]]
        return BotAccount(row["account_id"], row["status"], frozenset(kind.instruments))

    async def _known_bot(
        self,
        config: TenantConfig,
        stamp: str,
        row: dict[str, Any],
        accounts: dict[str, BotAccount],
    ) -> tuple[KnownBot, float]:
        ciphers = [row["secret_cipher"], row["previous_cipher"]]
        secrets = [
            (await self._keys.decrypt(config.tenant_id, SECRET_PURPOSE, bytes(cipher))).decode()
            for cipher in ciphers
            if cipher is not None
        ]
        bot = KnownBot(
            tenant_id=config.tenant_id,
            bot_id=row["bot_id"],
            status=row["status"],
            default_account_id=row["account_id"],
            accounts={one: accounts[one] for one in row["account_ids"] if one in accounts},
            secrets=tuple(secrets),
            token_enabled=row["token_enabled"],
            source_addresses=tuple(row["source_addresses"]),
            webhooks=config.webhooks,
            limits=config.rate_limits,
            stamp=stamp,
        )
        left_s = KEPT_S if row["previous_cipher"] is None else row["previous_left_s"]
        return bot, min(KEPT_S, left_s)


def _age_s(*, fresh: bool, recent: bool) -> float:
    return 0.0 if fresh else RECENT_S if recent else KEPT_S


def lookup_digest(text: str) -> bytes:
    """Return how the directory of all tenants' objects names a text."""
    return hashlib.sha256(text.encode()).digest()
