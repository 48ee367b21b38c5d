"""The tenants: one custom resource per file of agent/configs/tenants."""

import hashlib
import json
from pathlib import Path
from typing import Any, Final

from aws_cdk import ArnFormat, CustomResource, Duration, Stack
from constructs import Construct

from quantlab_cdk.functions import function_name, pascal
from quantlab_cdk.stage import Stage
from quantlab_manifest import DeployWake, Manifest

RESOURCE: Final = "tenant"
TYPE: Final = "Custom::QuantLabTenant"
# What CloudFormation sends to a function may hold 256 KB, the request around it included; a
# template may hold 1 MB.
DOCUMENT_BYTES_MAX: Final = 200_000
SHARED: Final = ("instruments.json", "tenant.schema.json", "profiles/*.json")


class TenantFileError(Exception):
    """A tenant's file that cannot be deployed."""


class Tenants(Stack):
    """A stack of its own, because the stores' secret is filled between the spine and this."""

    def __init__(self, scope: Construct, stage: Stage, manifests: tuple[Manifest, ...]) -> None:
        super().__init__(
            scope,
            "Tenants",
            stack_name=f"{stage.prefix}-tenants",
            description="QuantLabEngine: tenants and their configurations.",
            env=stage.environment,
        )
        provisioner = _provisioner(manifests)
        arn = self.format_arn(
            service="lambda",
            resource="function",
            resource_name=function_name(stage.prefix, provisioner),
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        shared = shared_digest(stage.configs)
        for path in sorted(stage.configs.glob("tenants/*.json")):
            document = tenant_document(path)
            CustomResource(
                self,
                f"Tenant{pascal(path.stem.replace('-', '_'))}",
                resource_type=TYPE,
                service_token=arn,
                service_timeout=Duration.seconds(provisioner.timeout_s * 2),
                properties={
                    "tenantId": document["tenantId"],
                    "document": json.dumps(document, separators=(",", ":"), ensure_ascii=False),
                    "sharedDigest": shared,
                },
            )


def tenant_document(path: Path) -> dict[str, Any]:
    """Read a tenant's file; what it says is judged by the function that provisions."""
    content = path.read_bytes()
    if len(content) > DOCUMENT_BYTES_MAX:
        raise TenantFileError(
            f"{path.name}: expected at most {DOCUMENT_BYTES_MAX} bytes, got {len(content)}"
        )
    document = json.loads(content)
    if not isinstance(document, dict) or document.get("tenantId") != path.stem:
        raise TenantFileError(f"{path.name}: expected an object whose tenantId is {path.stem}")
    return document


def shared_digest(configs: Path) -> str:
    """Return what changes when something changes that tenants refer to."""
    digest = hashlib.sha256()
    for pattern in SHARED:
        for path in sorted(configs.glob(pattern)):
            digest.update(f"{path.name}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _provisioner(manifests: tuple[Manifest, ...]) -> Manifest:
    for manifest in manifests:
        if manifest.wake == DeployWake(RESOURCE):
            return manifest
    raise TenantFileError("expected a function that deploys tenants, found none")
