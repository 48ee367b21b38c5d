"""What a visitor may see before anybody is known: the tenant behind a host name."""

from quantlab.tenancy.config import TenantConfig
from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import NotFound
from quantlab_app.use_cases.identity import identity_scope, lookup_hash


async def tenant_of_host(ports: Ports, host: str, correlation_id: str) -> TenantConfig:
    """Return the configuration of the tenant a host name belongs to; NotFound for no tenant's."""
    entry = await ports.directory.find("host", lookup_hash(host.strip().lower()))
    if entry is None:
        raise NotFound("host")
    return await ports.tenant_configs.current(identity_scope(entry.tenant_id, correlation_id))
