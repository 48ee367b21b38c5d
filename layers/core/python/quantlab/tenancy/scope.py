"""On whose behalf something happens: tenant, actor, correlation. There is no ambient tenant.

It must not know how the actor proved who it is.
"""

from typing import Literal

from quantlab.kernel.records import dataclass
from quantlab.tenancy.permissions import Permission, Role, allowed, owns_only

ActorKind = Literal["user", "api_key", "bot", "system"]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts. scopes narrow the role's permissions (API keys); None leaves them whole."""

    kind: ActorKind
    id: str
    role: Role
    scopes: frozenset[Permission] | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """The first argument of every use case and storage port."""

    tenant_id: str
    actor: Actor
    correlation_id: str

    def may(self, permission: Permission) -> bool:
        """Say whether the actor's role, narrowed by its scopes, holds the permission."""
        scopes = self.actor.scopes
        return allowed(self.actor.role, permission) and (scopes is None or permission in scopes)

    @property
    def owns_only(self) -> bool:
        """Say whether the actor sees only the accounts it owns."""
        return owns_only(self.actor.role)


def system_scope(tenant_id: str, name: str, correlation_id: str) -> Scope:
    """Return the scope of our own worker or schedule acting in one tenant."""
    return Scope(tenant_id, Actor("system", name, Role.TENANT_ADMIN), correlation_id)
