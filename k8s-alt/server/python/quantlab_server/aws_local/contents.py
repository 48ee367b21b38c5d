"""Fill a freshly deployed local cloud with the demo's contents: `python -m ... STATE`.

A process of its own, so that boto3 and the cloud's variables are in no other. Tenants and their API
keys come from the stacks; users, accounts and bots are made here the first time.
"""

import asyncio
import json
import sys
from pathlib import Path

from quantlab.tenancy.scope import Scope
from quantlab_app.ports.container import Ports
from quantlab_edge.compose_aws import OnAws
from quantlab_edge.composition import PORT_NAMES
from quantlab_edge.settings_aws import AwsSettings, read_aws_settings
from quantlab_server import demo as demos
from quantlab_server.aws_local.ending import ended
from quantlab_server.aws_local.secrets import API_KEY, keep_keys
from quantlab_server.demo_file import FILE
from quantlab_server.private_files import write_private


async def fill(settings: AwsSettings, state: Path) -> None:
    """Keep what the local cloud forgets at its end, and write STATE/demo.json."""
    cloud = OnAws(settings)
    ports = await cloud.ports(PORT_NAMES, str)
    try:
        await keep_keys(cloud, settings, state)

        async def api_key(scope: Scope) -> str:
            return await _api_key(ports, scope.tenant_id)

        path = state / FILE
        document = await demos.contents(ports, path, api_key)
        for tenant in document["tenants"]:
            tenant["apiKey"] = await _api_key(ports, tenant["tenantId"])
        write_private(path, json.dumps(document, indent=2))
    finally:
        await ports.close()


async def _api_key(ports: Ports, tenant_id: str) -> str:
    return (await ports.secrets.resolve(API_KEY, tenant_id=tenant_id)).decode()


if __name__ == "__main__":
    sys.exit(ended(lambda: asyncio.run(fill(read_aws_settings(), Path(sys.argv[1])))))
