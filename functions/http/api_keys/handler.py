"""API keys of a tenant."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from quantlab.kernel.instants import format_rfc3339, parse_rfc3339
from quantlab.tenancy.permissions import Permission, Role
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.identity import ApiKey
from quantlab_app.use_cases import api_keys
from quantlab_app.use_cases.api_keys import ApiKeyRefusal
from quantlab_edge.http import ApiModel, principal, require_uuid
from quantlab_edge.http import router as new_router
from quantlab_edge.pagination import Cursor, Limit, decode_cursor, page
from quantlab_edge.problems import FieldError, ProblemError
from quantlab_edge.requests import ports_of

router = new_router("api keys")

Manager = Annotated[Scope, Depends(principal(Permission.API_KEYS_MANAGE))]
_REFUSED = {
    ApiKeyRefusal.ROLE_NOT_ALLOWED: ("/role", "tenant_admin, risk_manager or viewer"),
    ApiKeyRefusal.SCOPE_NOT_ALLOWED: ("/scopes", "permissions of the role and of your own"),
    ApiKeyRefusal.EXPIRES_IN_PAST: ("/expiresAt", "a time in the future"),
}


class NewApiKey(ApiModel):
    """A key to make. Without scopes it may do whatever its role may."""

    name: str = Field(min_length=1, max_length=api_keys.NAME_CHARS_MAX)
    role: Role = Role.VIEWER
    scopes: list[Permission] | None = Field(default=None, min_length=1)
    expires_at: str | None = None


class ApiKeyView(ApiModel):
    """A key as it can be seen later: without its text."""

    api_key_id: str
    name: str
    role: Role
    scopes: list[Permission]
    created_by: str
    created_at: str
    expires_at: str | None
    revoked_at: str | None


class ApiKeyMade(ApiKeyView):
    """A new key; its text is shown this once."""

    api_key: str


class ApiKeyPage(ApiModel):
    """A page of keys."""

    items: list[ApiKeyView]
    next_cursor: str | None


@router.get("/tenants/{tenantId}/api-keys")
async def list_api_keys(
    request: Request, scope: Manager, limit: Limit = 100, cursor: Cursor = None
) -> ApiKeyPage:
    """List the tenant's keys, oldest first, ended ones too."""
    after = decode_cursor(cursor, int, UUID)
    rows = await api_keys.list_api_keys(ports_of(request), scope, limit + 1, after)
    kept, following = page(rows, limit, lambda key: (key.created_ns, key.api_key_id))
    return ApiKeyPage(items=[ApiKeyView(**_fields(key)) for key in kept], next_cursor=following)


@router.post("/tenants/{tenantId}/api-keys", status_code=201)
async def create_api_key(
    request: Request, response: Response, scope: Manager, new: NewApiKey
) -> ApiKeyMade:
    """Make a key and show it this once."""
    expires_ns = None if new.expires_at is None else parse_rfc3339(new.expires_at)
    if expires_ns is None and new.expires_at is not None:
        raise _invalid("/expiresAt", "an RFC 3339 time", new.expires_at)
    made = await api_keys.create_api_key(
        ports_of(request),
        scope,
        name=new.name,
        role=new.role,
        scopes=None if new.scopes is None else frozenset(new.scopes),
        expires_ns=expires_ns,
    )
    if isinstance(made, ApiKeyRefusal):
        raise _invalid(*_REFUSED[made], made)
    key, text = made
    response.headers["cache-control"] = "no-store"
    return ApiKeyMade(**_fields(key), api_key=text)


@router.delete("/tenants/{tenantId}/api-keys/{apiKeyId}", status_code=204)
async def revoke_api_key(request: Request, scope: Manager, apiKeyId: str) -> None:  # noqa: N803
    """End a key; it is refused from the next request on."""
    require_uuid(apiKeyId)
    await api_keys.revoke_api_key(ports_of(request), scope, apiKeyId)


def _invalid(pointer: str, expected: str, got: str) -> ProblemError:
    return ProblemError(
        "invalid_fields", "The key cannot be made.", [FieldError(pointer, expected, got[:60])]
    )


def _fields(key: ApiKey) -> dict[str, object]:
    return {
        "api_key_id": key.api_key_id,
        "name": key.name,
        "role": key.role,
        "scopes": sorted(key.scopes),
        "created_by": key.created_by,
        "created_at": format_rfc3339(key.created_ns),
        "expires_at": _time(key.expires_ns),
        "revoked_at": _time(key.revoked_ns),
    }


def _time(ts_ns: int | None) -> str | None:
    return None if ts_ns is None else format_rfc3339(ts_ns)
