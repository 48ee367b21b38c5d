"""The platform under measurement: the supervised group of `make up`, with the world of the bench.

Run as `python -m bench.group STATE PORT FEED`, QUANTLAB_CONFIGS naming the folder world.py wrote.
Prints one JSON line when it is healthy; SIGTERM ends it.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from bench.world import ACCOUNT_TYPE, ACCOUNTS, HOST
from quantlab.tenancy.config import TenantConfig
from quantlab.tenancy.permissions import Role
from quantlab.tenancy.scope import system_scope
from quantlab_app.ports.container import Ports
from quantlab_app.use_cases.accounts import open_account
from quantlab_app.use_cases.api_keys import create_api_key
from quantlab_app.use_cases.bots import create_bot
from quantlab_app.use_cases.provisioning import provision
from quantlab_app.use_cases.users import create_user
from quantlab_edge.compose import build
from quantlab_edge.settings import Settings
from quantlab_edge.tenant_files import read_configs, read_tenants
from quantlab_server import plan
from quantlab_server.logs import Output
from quantlab_server.private_files import private_folder
from quantlab_server.refusal import Refusal
from quantlab_server.stores import StoreUrls
from quantlab_server.supervisor import Options, Ready, Supervisor


def seed(urls: StoreUrls, state: Path) -> dict[str, Any]:
    """Provision every tenant of the configs folder with accounts and a bot for each."""
    return asyncio.run(_seed(urls, state, Path(os.environ["QUANTLAB_CONFIGS"])))


async def _seed(urls: StoreUrls, state: Path, configs: Path) -> dict[str, Any]:
    settings = Settings(
        database_url=urls.app_dsn, redis_url=urls.redis_url, state=state, configs=configs
    )
    ports = await build(settings)
    try:
        tenants = []
        for file in read_tenants(read_configs(configs)):
            if file.config is None:
                raise Refusal(f"a tenant file of the bench does not hold: {file.problems}")
            tenants.append(await _tenant(ports, file.config))
        return {"tenants": tenants}
    finally:
        await ports.close()


async def _tenant(ports: Ports, config: TenantConfig) -> dict[str, Any]:
    scope = system_scope(config.tenant_id, "bench", "bench-provisioning")
    await provision(ports, scope, config)
    made = await create_api_key(ports, scope, name="bench", role=Role.TENANT_ADMIN)
    if not isinstance(made, tuple):
        raise Refusal(f"no API key for {config.tenant_id}: {made}")
    trader = await create_user(
        ports,
        scope,
        email=f"trader@{config.tenant_id}.example",
        name="Trader",
        role=Role.TRADER,
        password=ports.ids.token(16),
    )
    if isinstance(trader, str):
        raise Refusal(f"no trader for {config.tenant_id}: {trader}")
    accounts, bots = [], []
    for number in range(ACCOUNTS):
        account_id = await open_account(ports, scope, trader.user_id, ACCOUNT_TYPE)
        bot = await create_bot(ports, scope, f"bot {number + 1}", account_id)
        accounts.append(account_id)
        bots.append({"botId": bot.bot_id, "secret": bot.secret, "accountId": account_id})
    return {
        "tenantId": config.tenant_id,
        "apiKey": made[1],
        "accounts": accounts,
        "bots": bots,
    }


def announce(ready: Ready) -> None:
    print(json.dumps({"tenants": ready.demo["tenants"], "processes": dict(ready.processes)}))
    sys.stdout.flush()


def main(state: Path, port: int, feed: str) -> None:
    options = Options(private_folder(state.absolute()), HOST, port, feed)
    output = Output(options.state / "logs", None)
    supervisor = Supervisor(options, output, seed=seed, announce=announce)
    try:
        supervisor.run(plan.roles_of(plan.manifests()))
    except Refusal as refusal:
        sys.exit(str(refusal))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
