"""Make a tenant of a deployment and keep it current; what it holds outlives the deployment."""

from pathlib import Path

from quantlab.kernel.ids import derive_id
from quantlab.tenancy.config import TenantConfig
from quantlab.tenancy.scope import system_scope
from quantlab_app.ports.container import Ports
from quantlab_app.use_cases.provisioning import deploy
from quantlab_edge.deployments import RefusedResource, Resource, ResourceRequest
from quantlab_edge.packed import packed_configs
from quantlab_edge.tenant_files import check_tenant, read_configs


async def handle(ports: Ports, request: ResourceRequest) -> Resource:
    """Do what a deployment asks for; to delete a tenant is no deployment's business."""
    tenant_id = request.text("tenantId")
    identity = f"tenant/{tenant_id}"
    if request.wish == "Delete":
        return Resource(identity, {})
    config = _checked(tenant_id, request.text("document"))
    scope = system_scope(tenant_id, "deployment", derive_id("deployment", request.request_id))
    await deploy(ports, scope, config)
    return Resource(identity, {"tenantId": tenant_id, "version": config.version})


def _checked(tenant_id: str, document: str) -> TenantConfig:
    file = check_tenant(
        Path(f"{tenant_id}.json"), document.encode(), read_configs(packed_configs())
    )
    if file.config is None:
        raise RefusedResource("; ".join(str(problem) for problem in file.problems))
    return file.config
