"""Tenant configurations as recorded: every version stays, one of them is current."""

from typing import Protocol

from quantlab.tenancy.config import TenantConfig
from quantlab.tenancy.scope import Scope


class TenantConfigs(Protocol):
    """The recorded configuration versions of the scope's tenant."""

    async def current(self, scope: Scope) -> TenantConfig:
        """Return the version new accounts start from; NotFound when the tenant has none."""
        ...

    async def pinned(self, scope: Scope, version: str) -> TenantConfig:
        """Return the version an account was created under; NotFound when it was never recorded."""
        ...

    async def record(self, scope: Scope, config: TenantConfig) -> bool:
        """Make a configuration current, keeping earlier versions; True when it was not current."""
        ...
