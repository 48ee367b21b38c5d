"""Tenants and their configuration versions; pinned versions never change, so they are kept."""

import hashlib
from collections.abc import Sequence

import orjson

from quantlab.engine.opening import rules_of
from quantlab.ledger.state import Account
from quantlab.tenancy.config import TenantConfig, config_of_resolved
from quantlab.tenancy.scope import Scope, system_scope
from quantlab_adapters.postgres.database import Connection, Database
from quantlab_app.ports.accounts import Rulebook
from quantlab_app.ports.errors import Conflict, NotFound

KEPT_MAX = 256


class PostgresTenants:
    """Tenants port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ensure(self, tenant_id: str) -> bool:
        async with self._database.tenant(tenant_id) as connection:
            cursor = await connection.execute(
                "insert into tenant (tenant_id) values (%s) on conflict do nothing", (tenant_id,)
            )
            return cursor.rowcount == 1

    async def active(self) -> Sequence[str]:
        async with self._database.plain() as connection:
            cursor = await connection.execute("select t from active_tenants() t")
            return [row["t"] for row in await cursor.fetchall()]

    async def with_due_reset(self, now_ns: int) -> Sequence[str]:
        async with self._database.plain() as connection:
            cursor = await connection.execute(
                "select t from tenants_with_due_reset(%s) t", (now_ns,)
            )
            return [row["t"] for row in await cursor.fetchall()]


class PostgresTenantConfigs:
    """TenantConfigs port."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: dict[tuple[str, str], TenantConfig] = {}

    async def current(self, scope: Scope) -> TenantConfig:
        async with self._database.tenant(scope.tenant_id) as connection:
            cursor = await connection.execute(
                "select config_version from tenant where tenant_id = %s", (scope.tenant_id,)
            )
            row = await cursor.fetchone()
        if row is None or row["config_version"] is None:
            raise NotFound(f"tenant {scope.tenant_id} has no configuration")
        return await self.pinned(scope, row["config_version"])

    async def pinned(self, scope: Scope, version: str) -> TenantConfig:
        key = (scope.tenant_id, version)
        kept = self._kept.get(key)
        if kept is not None:
            return kept
        async with self._database.tenant(scope.tenant_id) as connection:
            cursor = await connection.execute(
                "select document from tenant_config where tenant_id = %s and version = %s", key
            )
            row = await cursor.fetchone()
        if row is None:
            raise NotFound(f"tenant {scope.tenant_id} has no configuration {version}")
        if len(self._kept) >= KEPT_MAX:
            self._kept.clear()
        return self._kept.setdefault(key, config_of_resolved(row["document"]))

    async def record(self, scope: Scope, config: TenantConfig) -> bool:
        async with self._database.tenant(scope.tenant_id) as connection:
            await connection.execute(
                "insert into tenant_config (tenant_id, version, document) values (%s, %s, %s)"
                " on conflict do nothing",
                (scope.tenant_id, config.version, orjson.dumps(config.document).decode()),
            )
            cursor = await connection.execute(
                "update tenant set config_version = %(version)s where tenant_id = %(tenant)s"
                " and config_version is distinct from %(version)s",
                {"version": config.version, "tenant": scope.tenant_id},
            )
            changed = cursor.rowcount == 1
            await _publish_hosts(connection, scope.tenant_id, config.branding.host_names)
            return changed


async def _publish_hosts(connection: Connection, tenant_id: str, host_names: Sequence[str]) -> None:
    """Let the host names lead to the tenant; Conflict when one leads elsewhere already."""
    hashes = [hashlib.sha256(name.lower().encode()).digest() for name in host_names]
    values = {"tenant": tenant_id, "hashes": hashes}
    await connection.execute(
        "delete from directory where tenant_id = %(tenant)s and kind = 'host'"
        " and lookup_hash <> all(%(hashes)s::bytea[])",
        values,
    )
    await connection.execute(
        "insert into directory (tenant_id, kind, lookup_hash, object_id)"
        " select %(tenant)s, 'host', h, %(tenant)s from unnest(%(hashes)s::bytea[]) h"
        " on conflict do nothing",
        values,
    )
    cursor = await connection.execute(
        "select count(*) as own from directory where tenant_id = %(tenant)s and kind = 'host'",
        values,
    )
    row = await cursor.fetchone()
    if row is None or row["own"] != len(set(hashes)):
        raise Conflict(f"a host name of tenant {tenant_id} belongs to another tenant")


class PinnedRulebooks:
    """Rulebooks port: profiles resolved to integers once per version, account type and balance."""

    def __init__(self, configs: PostgresTenantConfigs) -> None:
        self._configs = configs
        self._kept: dict[tuple[str, str, str, int], Rulebook] = {}

    async def of(self, account: Account) -> Rulebook:
        initial_minor = account.initial_balance_minor
        key = (account.tenant_id, account.config_version, account.account_type, initial_minor)
        kept = self._kept.get(key)
        if kept is not None:
            return kept
        scope = system_scope(account.tenant_id, "rulebooks", "")
        config = await self._configs.pinned(scope, account.config_version)
        kind = config.account_types.get(account.account_type)
        if kind is None:
            raise NotFound(f"configuration {config.version} has no type {account.account_type}")
        rules = rules_of(config.account_types, account, config.fill_models)
        book = Rulebook(
            rules.profile,
            rules.instruments,
            kind.type_id,
            kind.retention_days,
            rules.course,
            rules.fill_models,
            rules.trading,
        )
        if len(self._kept) >= KEPT_MAX:
            self._kept.clear()
        return self._kept.setdefault(key, book)
