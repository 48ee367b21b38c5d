"""Put into a local cloud's secrets what this machine knows: `python -m ... STATE`.

The operator's part on AWS: where the stores are. When the cloud is younger than the database, also
the keys of what the database holds sealed, and the API keys that the database knows.
"""

import asyncio
import json
import sys
import uuid
from pathlib import Path
from typing import Final

from quantlab_edge.compose_aws import OnAws
from quantlab_edge.settings_aws import AwsSettings, read_aws_settings
from quantlab_server import demo_file as demos
from quantlab_server.aws_local.ending import ended
from quantlab_server.private_files import read_json_object, write_private
from quantlab_server.stores import urls_of

API_KEY: Final = "secret:api-key"
KEYS_FILE: Final = "cloud-keys.json"


async def fill(settings: AwsSettings, state: Path) -> None:
    """Give the stores' secret its content, and the others what an earlier cloud held."""
    urls = urls_of(state)
    stores = {"databaseUrl": urls.app_dsn, "redisUrl": urls.redis_url}
    contents = {settings.stores_secret: json.dumps(stores)}
    kept = state / KEYS_FILE
    if kept.exists():
        contents[settings.keys_secret] = json.dumps(read_json_object(kept))
    cloud = OnAws(settings)
    try:
        values = await cloud.values()
        for secret, content in contents.items():
            await values.put_once(secret, content, str(uuid.uuid5(uuid.NAMESPACE_URL, content)))
        vault = await cloud.vault()
        for tenant in demos.kept(state / demos.FILE)["tenants"]:
            await vault.keep(API_KEY, tenant["apiKey"], tenant_id=tenant["tenantId"])
    finally:
        await cloud.close()


async def keep_keys(cloud: OnAws, settings: AwsSettings, state: Path) -> None:
    """Write down the keys: what PostgreSQL holds sealed outlives this cloud."""
    keys = await (await cloud.values()).read(settings.keys_secret)
    write_private(state / KEYS_FILE, keys.decode())


if __name__ == "__main__":
    sys.exit(ended(lambda: asyncio.run(fill(read_aws_settings(), Path(sys.argv[1])))))
