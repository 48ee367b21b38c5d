"""A tenant comes to be, and takes over a new version of its configuration."""

from quantlab.tenancy.config import TenantConfig
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.container import Ports
from quantlab_app.use_cases.tenant_events import note


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
