"""A tenant's configuration as it is recorded, replaced and pinned."""

import json
from pathlib import Path

import pytest
from tests.support.stack import Stack, fresh_database
from tests.support.world import ALPHA, BETA, world

from quantlab.tenancy.config import config_of_resolved
from quantlab_app.ports.errors import Conflict, NotFound
from quantlab_app.use_cases.branding import tenant_of_host
from quantlab_app.use_cases.provisioning import provision

pytestmark = pytest.mark.stack


async def test_a_change_is_a_new_version_and_accounts_keep_theirs(
    stack: Stack, redis_url: str, tmp_path: Path
) -> None:
    with fresh_database(stack) as database:
        async with world(database.app_dsn, redis_url, tmp_path) as small:
            scope, ports = small.scope(ALPHA), small.ports
            account_id = await small.account(ALPHA)
            old = small.configs[ALPHA]
            document = json.loads(json.dumps(old.document))
            document["branding"]["hostNames"] = ["new.example"]
            new = config_of_resolved(document)

            assert new.version != old.version
            assert await provision(ports, scope, new) is True
            assert await provision(ports, scope, new) is False
            assert (await ports.tenant_configs.current(scope)).version == new.version
            assert (await ports.tenant_configs.pinned(scope, old.version)).version == old.version
            assert (await small.find(ALPHA, account_id)).config_version == old.version
            await small.settle(ALPHA)
            stream = "00000000-0000-0000-0000-000000000000"
            noted = await ports.event_log.events_after(scope, stream, after_seq=0, limit=10)
            assert [event.event_type for event in noted] == ["config.version_created"]


async def test_host_names_lead_to_their_tenant_and_to_no_other(
    stack: Stack, redis_url: str, tmp_path: Path
) -> None:
    with fresh_database(stack) as database:
        async with world(database.app_dsn, redis_url, tmp_path) as small:
            ports = small.ports
            found = await tenant_of_host(ports, "NORTHWIND.localhost", "test")
            assert found.tenant_id == ALPHA
            document = json.loads(json.dumps(small.configs[BETA].document))
            document["branding"]["hostNames"] = ["northwind.localhost"]
            with pytest.raises(Conflict):
                await provision(ports, small.scope(BETA), config_of_resolved(document))
            document["branding"]["hostNames"] = ["harbor.example"]
            await provision(ports, small.scope(BETA), config_of_resolved(document))
            with pytest.raises(NotFound):
                await tenant_of_host(ports, "blue-harbor.localhost", "test")
