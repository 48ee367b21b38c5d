"""Link groups: accounts that rules about hedging and copying look at together."""

from typing import Annotated

from fastapi import Depends, Path
from pydantic import Field
from starlette.requests import Request

from quantlab.tenancy.permissions import Permission
from quantlab.tenancy.scope import Scope
from quantlab_app.use_cases import links
from quantlab_edge.http import ApiModel, principal
from quantlab_edge.http import router as new_router
from quantlab_edge.pagination import Cursor, Limit, decode_cursor, page
from quantlab_edge.parameters import UuidText
from quantlab_edge.requests import ports_of

router = new_router("link groups", prefix="/tenants/{tenantId}/link-groups")

MEMBERS_MAX = 1000
Manager = Annotated[Scope, Depends(principal(Permission.ACCOUNTS_MANAGE))]
GroupId = Annotated[
    str, Path(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="The group's name.")
]


class Members(ApiModel):
    """All accounts of a group; each leaves the group it was in. None ends the group."""

    account_ids: Annotated[list[UuidText], Field(max_length=MEMBERS_MAX)]


class Group(ApiModel):
    """A group and its accounts in order of identifier."""

    group_id: str
    account_ids: list[str]


class GroupPage(ApiModel):
    """A page of groups by name."""

    items: list[Group]
    next_cursor: str | None


@router.get("")
async def get_groups(
    request: Request, scope: Manager, limit: Limit = 100, cursor: Cursor = None
) -> GroupPage:
    """List groups by name."""
    after = decode_cursor(cursor, str)
    found = await links.list_groups(
        ports_of(request), scope, None if after is None else after[0], limit + 1
    )
    kept, following = page(list(found), limit, lambda name: (name,))
    items = [Group(group_id=name, account_ids=list(found[name])) for name in kept]
    return GroupPage(items=items, next_cursor=following)


@router.get("/{groupId}")
async def get_group(request: Request, scope: Manager, groupId: GroupId) -> Group:  # noqa: N803
    """Return one group."""
    account_ids = await links.read_group(ports_of(request), scope, groupId)
    return Group(group_id=groupId, account_ids=list(account_ids))


@router.put("/{groupId}")
async def put_group(
    request: Request,
    scope: Manager,
    groupId: GroupId,  # noqa: N803
    members: Members,
) -> Group:
    """Make these the accounts of a group."""
    account_ids = await links.put_group(ports_of(request), scope, groupId, members.account_ids)
    return Group(group_id=groupId, account_ids=list(account_ids))
