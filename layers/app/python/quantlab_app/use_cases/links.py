"""Linked accounts: groups that operators make, and the accounts each rule may compare."""

from collections.abc import Mapping, Sequence

from quantlab.kernel.canonical import Json
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import NotFound
from quantlab_app.use_cases.tenant_events import note
from quantlab_app.use_cases.visibility import visible_account


async def list_groups(
    ports: Ports, scope: Scope, after: str | None, limit: int
) -> Mapping[str, Sequence[str]]:
    """Return groups by name with their accounts."""
    return await ports.account_links.groups(scope, after, limit)


async def read_group(ports: Ports, scope: Scope, group_id: str) -> Sequence[str]:
    """Return the accounts of a group; NotFound when there is no such group."""
    account_ids = await ports.account_links.group(scope, group_id)
    if not account_ids:
        raise NotFound("group")
    return account_ids


async def put_group(
    ports: Ports, scope: Scope, group_id: str, account_ids: Sequence[str]
) -> Sequence[str]:
    """Make these the accounts of a group, none to end it; NotFound when one does not exist."""
    distinct = list(dict.fromkeys(account_ids))
    await ports.account_links.put(scope, group_id, distinct)
    payload: dict[str, Json] = {
        "groupId": group_id,
        "accountIds": list(distinct),
        "by": f"{scope.actor.kind}:{scope.actor.id}",
    }
    now_ns = ports.clock.now_ns()
    await note(ports.inbox, ports.ids, scope, "account_links.changed", payload, now_ns=now_ns)
    return await ports.account_links.group(scope, group_id)


async def linked_accounts(ports: Ports, scope: Scope, account_id: str) -> Sequence[str]:
    """Return the open accounts that trade together with one: its user's and its group's others."""
    await visible_account(ports, scope, account_id)
    return await ports.account_links.linked_to(scope, account_id)
