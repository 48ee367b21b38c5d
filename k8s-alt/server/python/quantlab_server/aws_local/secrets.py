"""Put into a local cloud's secrets what this machine knows: `python -m ... STATE`.

The operator's part on AWS: where the stores are and, when the cloud is younger than the database,
the keys that opened what the database holds sealed.
"""

import asyncio
import json
import sys
import uuid
from pathlib import Path
from typing import Final

from quantlab_edge.compose_aws import OnAws
from quantlab_edge.settings_aws import AwsSettings, read_aws_settings
from quantlab_server.aws_local.ending import ended
from quantlab_server.private_files import read_json_object, write_private
from quantlab_server.stores import urls_of

KEYS_FILE: Final = "cloud-keys.json"


async def fill(settings: AwsSettings, state: Path) -> None:
    """Give the stores' secret its content, and the keys' secret the keys of an earlier cloud."""
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
    finally:
        await cloud.close()


async def keep_keys(cloud: OnAws, settings: AwsSettings, state: Path) -> None:
    """Write down the keys: what PostgreSQL holds sealed outlives this cloud."""
    keys = await (await cloud.values()).read(settings.keys_secret)
    write_private(state / KEYS_FILE, keys.decode())


if __name__ == "__main__":
    sys.exit(ended(lambda: asyncio.run(fill(read_aws_settings(), Path(sys.argv[1])))))
