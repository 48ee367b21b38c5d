"""Which accounts an actor may see; what is not visible does not exist for it."""

from collections.abc import Sequence

from quantlab.tenancy.scope import Scope
from quantlab_app.ports.accounts import OwnedAccount
from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import NotFound


async def visible_ids(ports: Ports, scope: Scope) -> Sequence[str] | None:
    """Return the accounts the actor may see; None stands for every account of the tenant."""
    if not scope.owns_only:
        return None
    if scope.actor.kind != "user":
        return ()
    return await ports.accounts.ids_of(scope, scope.actor.id)


async def require_visible(ports: Ports, scope: Scope, account_ids: Sequence[str]) -> None:
    """Raise NotFound unless every account exists in the tenant and the actor may see it."""
    for account_id in account_ids:
        owner_id = await ports.account_owners.owner_of(scope, account_id)
        if scope.owns_only and (scope.actor.kind != "user" or owner_id != scope.actor.id):
            raise NotFound("account")


async def visible_account(ports: Ports, scope: Scope, account_id: str) -> OwnedAccount:
    """Return an account the actor may see; NotFound otherwise."""
    owned = await ports.accounts.find(scope, account_id)
    if owned is None:
        raise NotFound("account")
    if scope.owns_only and (scope.actor.kind != "user" or owned.user_id != scope.actor.id):
        raise NotFound("account")
    return owned
