"""The demo tenants: users, accounts and bots whose credentials are kept in STATE/demo.json."""

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from quantlab.kernel.ids import derive_id
from quantlab.tenancy.config import TenantConfig
from quantlab.tenancy.permissions import Role
from quantlab.tenancy.scope import Scope, system_scope
from quantlab_app.ports.container import Ports
from quantlab_app.use_cases.accounts import open_account
from quantlab_app.use_cases.api_keys import create_api_key
from quantlab_app.use_cases.bots import create_bot
from quantlab_app.use_cases.provisioning import provision
from quantlab_app.use_cases.users import create_user
from quantlab_edge.compose import OPERATING, build
from quantlab_edge.settings import Settings
from quantlab_edge.tenant_files import read_configs, read_tenants
from quantlab_server.demo_file import FILE, config_folder, kept
from quantlab_server.private_files import write_private
from quantlab_server.refusal import Refusal
from quantlab_server.stores import StoreUrls

PASSWORD_BYTES: Final = 12
PEOPLE: Final = (
    ("admin", "Alex Admin", Role.TENANT_ADMIN, 0),
    ("risk", "Robin Risk", Role.RISK_MANAGER, 0),
    ("trader1", "Toni Trader", Role.TRADER, 2),
    ("trader2", "Taylor Trader", Role.TRADER, 1),
    ("viewer", "Vic Viewer", Role.VIEWER, 0),
)
SYMBOLS: Final = ("EURUSD", "XAUUSD", "BTCUSD")


def seed(urls: StoreUrls, state: Path) -> dict[str, Any]:
    """Provision the tenants of agent/configs; make their demo contents the first time.

    Returns what STATE/demo.json holds. Refusal when the file is gone but the tenants are not.
    """
    return asyncio.run(_seed(urls, state))


async def _seed(urls: StoreUrls, state: Path) -> dict[str, Any]:
    settings = Settings(
        database_url=urls.app_dsn, redis_url=urls.redis_url, state=state, configs=config_folder()
    )
    ports = await build(settings, OPERATING)
    try:
        for config in _configs():
            await provision(ports, provisioning_scope(config), config)
        return await contents(ports, state / FILE, lambda scope: _fresh_key(ports, scope))
    finally:
        await ports.close()


async def contents(
    ports: Ports, path: Path, api_key: Callable[[Scope], Awaitable[str]]
) -> dict[str, Any]:
    """Make users, accounts and bots of every provisioned tenant whose credentials are not kept."""
    document = kept(path)
    for config in _configs():
        scope = provisioning_scope(config)
        if any(tenant["tenantId"] == config.tenant_id for tenant in document["tenants"]):
            continue
        if await ports.users.page(scope, 1, None):
            raise Refusal(
                f"the demo tenant {config.tenant_id} exists but its credentials are not in {path}; "
                f"restore the file, or start anew in an empty folder instead of {path.parent}"
            )
        document["tenants"].append(await _fill(ports, scope, config, await api_key(scope)))
        write_private(path, json.dumps(document, indent=2))
    document["symbols"] = list(ports.catalog.instruments)
    return document


def provisioning_scope(config: TenantConfig) -> Scope:
    """Say for whom the demo's contents of a tenant are made."""
    return system_scope(config.tenant_id, "provisioning", derive_id("demo", config.version))


async def _fresh_key(ports: Ports, scope: Scope) -> str:
    made = await create_api_key(ports, scope, name="provisioning", role=Role.TENANT_ADMIN)
    if not isinstance(made, tuple):
        raise Refusal(f"no API key for {scope.tenant_id}: {made}")
    return made[1]


def _configs() -> list[TenantConfig]:
    configs = []
    for file in read_tenants(read_configs(config_folder())):
        if file.config is None:
            raise Refusal(f"a tenant file does not hold: {'; '.join(map(str, file.problems))}")
        configs.append(file.config)
    return configs


async def _fill(ports: Ports, scope: Scope, config: TenantConfig, api_key: str) -> dict[str, Any]:
    tenant: dict[str, Any] = {
        "tenantId": config.tenant_id,
        "apiKey": api_key,
        "users": [],
        "accounts": [],
        "bots": [],
    }
    kind = next(iter(config.account_types.values()))
    offered = [symbol for symbol in SYMBOLS if symbol in kind.instruments]
    for login, name, role, accounts in PEOPLE:
        user = await _user(ports, scope, login, name, role)
        tenant["users"].append(user)
        for _ in range(accounts):
            account_id = await open_account(ports, scope, user["userId"], kind.type_id)
            number = len(tenant["accounts"])
            tenant["accounts"].append(
                {"accountId": account_id, "userId": user["userId"], "currency": kind.currency}
            )
            bot = await create_bot(ports, scope, f"demo bot {number + 1}", account_id)
            tenant["bots"].append(
                {
                    "botId": bot.bot_id,
                    "secret": bot.secret,
                    "token": bot.token,
                    "accountId": account_id,
                    "symbol": offered[number % len(offered)],
                }
            )
    return tenant


async def _user(ports: Ports, scope: Scope, login: str, name: str, role: Role) -> dict[str, Any]:
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    email = f"{login}@{scope.tenant_id}.example"
    user = await create_user(ports, scope, email=email, name=name, role=role, password=password)
    if isinstance(user, str):
        raise Refusal(f"no demo user {email}: {user}")
    return {
        "userId": user.user_id,
        "email": email,
        "password": password,
        "role": role.value,
    }
