"""A tenant comes to be, and takes over a new version of its configuration."""

from typing import Final

from quantlab.tenancy.config import TenantConfig
from quantlab.tenancy.permissions import Role
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import Misconfigured
from quantlab_app.use_cases.api_keys import ApiKeyRefusal, create_api_key, revoke_api_key
from quantlab_app.use_cases.tenant_events import note

API_KEY: Final = "secret:api-key"
API_KEY_NAME: Final = "provisioning"


async def provision(ports: Ports, scope: Scope, config: TenantConfig) -> bool:
    """Make the tenant where it is missing and its configuration current; True when it was not.

    Accounts stay pinned to the version they were opened under.
    """
    await ports.tenants.ensure(config.tenant_id)
    changed = await ports.tenant_configs.record(scope, config)
    if changed:
        await ports.stamps.renew(config.tenant_id)
        await note(
            ports.inbox,
            ports.ids,
            scope,
            "config.version_created",
            {"version": config.version},
            now_ns=ports.clock.now_ns(),
        )
    return changed


async def deploy(ports: Ports, scope: Scope, config: TenantConfig) -> bool:
    """Provision a tenant of a platform that may be new: its keys, and the tenant's API key, once.

    True when the tenant or its configuration was not there; all of it may be done again.
    """
    await ports.vault.make_first_keys()
    changed = await provision(ports, scope, config)
    await _keep_api_key(ports, scope)
    return changed


async def _keep_api_key(ports: Ports, scope: Scope) -> None:
    """Make the first API key of a tenant and leave it where its operator finds it."""
    tenant_id = scope.tenant_id
    if await ports.vault.holds(API_KEY, tenant_id=tenant_id):
        return
    made = await create_api_key(ports, scope, name=API_KEY_NAME, role=Role.TENANT_ADMIN)
    if isinstance(made, ApiKeyRefusal):
        raise Misconfigured(f"a deployment may not make an API key: {made}")
    key, text = made
    if not await ports.vault.keep(API_KEY, text, tenant_id=tenant_id):
        # Another deployment was first, and its key is the one that was kept.
        await revoke_api_key(ports, scope, key.api_key_id)
