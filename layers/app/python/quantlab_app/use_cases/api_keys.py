"""API keys: made once, shown once, ended at once."""

from enum import StrEnum
from typing import Final

from quantlab.tenancy.permissions import Permission, Role, narrowed
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import NotFound
from quantlab_app.ports.identity import ApiKey
from quantlab_app.use_cases.identity import API_KEY_PREFIX, lookup_hash

API_KEY_BYTES: Final = 32
NAME_CHARS_MAX: Final = 100
KEY_ROLES: Final = frozenset({Role.TENANT_ADMIN, Role.RISK_MANAGER, Role.VIEWER})


class ApiKeyRefusal(StrEnum):
    """Why a key was not made, in order of precedence."""

    ROLE_NOT_ALLOWED = "role_not_allowed"
    SCOPE_NOT_ALLOWED = "scope_not_allowed"
    EXPIRES_IN_PAST = "expires_in_past"


async def create_api_key(
    ports: Ports,
    scope: Scope,
    *,
    name: str,
    role: Role,
    scopes: frozenset[Permission] | None = None,
    expires_ns: int | None = None,
) -> tuple[ApiKey, str] | ApiKeyRefusal:
    """Make a key with the role's permissions or some of them; return it and its text."""
    if role not in KEY_ROLES:
        return ApiKeyRefusal.ROLE_NOT_ALLOWED
    granted = narrowed(role, Permission if scopes is None else scopes)
    if granted != (scopes or granted) or not all(scope.may(item) for item in granted):
        return ApiKeyRefusal.SCOPE_NOT_ALLOWED
    now_ns = ports.clock.now_ns()
    if expires_ns is not None and expires_ns <= now_ns:
        return ApiKeyRefusal.EXPIRES_IN_PAST
    text = API_KEY_PREFIX + ports.ids.token(API_KEY_BYTES)
    key = ApiKey(
        api_key_id=ports.ids.new_id(),
        name=name[:NAME_CHARS_MAX],
        role=role,
        scopes=granted,
        created_by=scope.actor.id,
        created_ns=now_ns,
        expires_ns=expires_ns,
    )
    await ports.api_keys.add(scope, key, lookup_hash(text))
    return key, text


async def list_api_keys(
    ports: Ports, scope: Scope, limit: int, after: tuple[int, str] | None
) -> list[ApiKey]:
    """Return up to limit keys, oldest first, ended ones too."""
    return await ports.api_keys.page(scope, limit, after)


async def revoke_api_key(ports: Ports, scope: Scope, api_key_id: str) -> None:
    """End a key: the database first, then what every process remembers; NotFound without one."""
    key_hash = await ports.api_keys.revoke(scope, api_key_id, ports.clock.now_ns())
    if key_hash is None:
        raise NotFound("api key")
    await ports.credential_cache.end("api_key", (key_hash.hex(),))
