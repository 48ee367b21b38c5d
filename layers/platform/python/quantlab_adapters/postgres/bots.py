"""Bots in PostgreSQL, and the short memory of them on the accepting path."""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from quantlab.tenancy.scope import Scope, system_scope
from quantlab_adapters.postgres.configs import PostgresTenantConfigs
from quantlab_adapters.postgres.database import Database
from quantlab_app.ports.bots import Bot, BotAccount, KnownBot, NewBot
from quantlab_app.ports.errors import Fault
from quantlab_app.ports.secrets import Keys

# A change renews the tenant's stamp, which every signal compares; these are the net below it.
KEPT_S = 30.0
RENEW_AFTER_S = 20.0
RECENT_S = 1.0
KEPT_MAX = 20_000
SECRET_PURPOSE = "bot_secret"  # noqa: S105 - the name of a purpose

_BOT = """
select bot_id::text, name, status, account_id::text, account_ids::text[], token_enabled,
  source_addresses::text[], (extract(epoch from created_at) * 1000000)::bigint as created_us
from bot where tenant_id = %(tenant)s
"""
_KNOWN = """
select bot_id::text, status, account_id::text, account_ids::text[], secret_cipher,
  case when previous_valid_until > now() then previous_secret_cipher end as previous_cipher,
  extract(epoch from previous_valid_until - now())::float8 as previous_left_s,
  token_enabled, source_addresses::text[]
from bot where tenant_id = %s and bot_id = %s
"""
_BOT_ACCOUNTS = """
select account_id::text, status, account_type, config_version
from account where tenant_id = %s and account_id = any(%s::uuid[])
"""
_FIND = "select tenant_id, object_id from find_in_directory(%s, %s)"
_ENTER = """
insert into directory (tenant_id, kind, lookup_hash, object_id) values (%s, %s, %s, %s)
"""

_Key = tuple[str, bytes]
_log = structlog.get_logger(__name__)

StampOf = Callable[[str], Awaitable[str]]


class PostgresBots:
    """Bots port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, scope: Scope, bot: NewBot) -> None:
        async with self._database.tenant(scope.tenant_id) as connection:
            await connection.execute(
                "insert into bot (tenant_id, bot_id, name, status, account_id, account_ids,"
                " secret_cipher, token_hash, token_enabled, source_addresses)"
                " values (%s, %s, %s, 'active', %s, %s::uuid[], %s, %s, %s, %s::cidr[])",
                (
                    scope.tenant_id,
                    bot.bot_id,
                    bot.name,
                    bot.account_id,
                    list(bot.account_ids),
                    bot.secret_cipher,
                    bot.token_hash,
                    bot.token_enabled,
                    list(bot.source_addresses),
                ),
            )
            for kind, digest in (("bot", _digest(bot.bot_id)), ("bot_token", bot.token_hash)):
                await connection.execute(_ENTER, (scope.tenant_id, kind, digest, bot.bot_id))

    async def page(
        self, scope: Scope, *, account_ids: Sequence[str] | None, after: str | None, limit: int
    ) -> Sequence[Bot]:
        return await self._bots(
            scope,
            " and (%(accounts)s::uuid[] is null or account_ids <@ %(accounts)s::uuid[])"
            " and (%(after)s::uuid is null or bot_id > %(after)s) order by bot_id limit %(limit)s",
            accounts=None if account_ids is None else list(account_ids),
            after=after,
            limit=limit,
        )

    async def find(self, scope: Scope, bot_id: str) -> Bot | None:
        found = await self._bots(scope, " and bot_id = %(bot)s", bot=bot_id)
        return found[0] if found else None

    async def _bots(self, scope: Scope, condition: str, **parameters: Any) -> list[Bot]:
        async with self._database.tenant(scope.tenant_id) as connection:
            cursor = await connection.execute(
                _BOT + condition, {"tenant": scope.tenant_id, **parameters}
            )
            rows = await cursor.fetchall()
        return [
            Bot(
                bot_id=row["bot_id"],
                name=row["name"],
                status=row["status"],
                account_id=row["account_id"],
                account_ids=tuple(row["account_ids"]),
                token_enabled=row["token_enabled"],
                source_addresses=tuple(row["source_addresses"]),
                created_at_ns=row["created_us"] * 1000,
            )
            for row in rows
        ]

    async def set_status(self, scope: Scope, bot_id: str, status: str) -> bool:
        async with self._database.tenant(scope.tenant_id) as connection:
            cursor = await connection.execute(
                "update bot set status = %s where tenant_id = %s and bot_id = %s",
                (status, scope.tenant_id, bot_id),
            )
            return cursor.rowcount == 1

    async def rotate(
        self,
        scope: Scope,
        bot_id: str,
        secret_cipher: bytes,
        token_hash: bytes | None,
        grace_s: int,
    ) -> bool:
        async with self._database.tenant(scope.tenant_id) as connection:
            cursor = await connection.execute(
                "update bot set previous_secret_cipher = secret_cipher, secret_cipher = %s,"
                " previous_valid_until = now() + make_interval(secs => %s)"
                " where tenant_id = %s and bot_id = %s",
                (secret_cipher, grace_s, scope.tenant_id, bot_id),
            )
            if cursor.rowcount != 1:
                return False
            if token_hash is not None:
                await connection.execute(
                    "update bot set token_hash = %s where tenant_id = %s and bot_id = %s",
                    (token_hash, scope.tenant_id, bot_id),
                )
                await connection.execute(
                    "delete from directory where tenant_id = %s and kind = 'bot_token'"
                    " and object_id = %s",
                    (scope.tenant_id, bot_id),
                )
                await connection.execute(_ENTER, (scope.tenant_id, "bot_token", token_hash, bot_id))
            return True


@dataclass(frozen=True, slots=True)
class _Kept:
    read_at: float
    ends_at: float
    bot: KnownBot | None


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
        self._renewals: dict[_Key, asyncio.Task[None]] = {}

    async def by_id(
        self, bot_id: str, *, fresh: bool = False, recent: bool = False
    ) -> KnownBot | None:
        return await self._known("bot", _digest(bot_id), _age_s(fresh=fresh, recent=recent))

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
                if now - kept.read_at > RENEW_AFTER_S and key not in self._renewals:
                    self._renewals[key] = asyncio.create_task(self._renew(key))
                return kept.bot
        return await self._read_and_keep(key)

    async def _renew(self, key: _Key) -> None:
        """Read a bot in use before it grows too old, so that no signal waits for it."""
        try:
            await self._read_and_keep(key)
        except Fault as fault:
            _log.warning("known bot not renewed", cause=str(fault))
        finally:
            del self._renewals[key]

    async def _read_and_keep(self, key: _Key) -> KnownBot | None:
        if len(self._kept) >= KEPT_MAX:
            self._kept.clear()
        read_at = time.monotonic()
        bot, valid_s = await self._read(*key)
        self._kept[key] = _Kept(read_at, read_at + valid_s, bot)
        return bot

    async def _read(self, kind: str, lookup_hash: bytes) -> tuple[KnownBot | None, float]:
        """Return a bot and for how long that holds: a secret's grace ends on time."""
        async with self._database.plain() as connection:
            found = await (await connection.execute(_FIND, (kind, lookup_hash))).fetchone()
        if found is None:
            return None, RECENT_S
        tenant_id: str = found["tenant_id"]
        stamp = await self._stamp_of(tenant_id)
        async with self._database.tenant(tenant_id) as connection:
            cursor = await connection.execute(_KNOWN, (tenant_id, found["object_id"]))
            row = await cursor.fetchone()
            if row is None:
                return None, RECENT_S
            cursor = await connection.execute(_BOT_ACCOUNTS, (tenant_id, row["account_ids"]))
            accounts = await cursor.fetchall()
        valid_s = KEPT_S if row["previous_cipher"] is None else row["previous_left_s"]
        return await self._assembled(tenant_id, stamp, row, accounts), min(KEPT_S, valid_s)

    async def _assembled(
        self, tenant_id: str, stamp: str, row: dict[str, Any], accounts: list[dict[str, Any]]
    ) -> KnownBot:
        scope = system_scope(tenant_id, "known_bots", "")
        config = await self._configs.current(scope)
        ciphers = [row["secret_cipher"], row["previous_cipher"]]
        secrets = [
            (await self._keys.decrypt(tenant_id, SECRET_PURPOSE, bytes(cipher))).decode()
            for cipher in ciphers
            if cipher is not None
        ]
        known = {}
        for account in accounts:
            pinned = await self._configs.pinned(scope, account["config_version"])
            kind = pinned.account_types[account["account_type"]]
            known[account["account_id"]] = BotAccount(
                account["account_id"], account["status"], frozenset(kind.instruments)
            )
        return KnownBot(
            tenant_id=tenant_id,
            bot_id=row["bot_id"],
            status=row["status"],
            default_account_id=row["account_id"],
            accounts=known,
            secrets=tuple(secrets),
            token_enabled=row["token_enabled"],
            source_addresses=tuple(row["source_addresses"]),
            webhooks=config.webhooks,
            limits=config.rate_limits,
            stamp=stamp,
        )


def _age_s(*, fresh: bool, recent: bool) -> float:
    return 0.0 if fresh else RECENT_S if recent else KEPT_S


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
