"""Bots in PostgreSQL."""

from collections.abc import Sequence
from typing import Any

from quantlab.tenancy.scope import Scope
from quantlab_adapters.postgres.database import Database
from quantlab_adapters.postgres.known_bots import lookup_digest
from quantlab_app.ports.bots import Bot, NewBot

_BOT = """
select bot_id::text, name, status, account_id::text, account_ids::text[], token_enabled,
  source_addresses::text[], (extract(epoch from created_at) * 1000000)::bigint as created_us
from bot where tenant_id = %(tenant)s
"""
_ENTER = """
insert into directory (tenant_id, kind, lookup_hash, object_id) values (%s, %s, %s, %s)
"""


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
            for kind, digest in (("bot", lookup_digest(bot.bot_id)), ("bot_token", bot.token_hash)):
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
