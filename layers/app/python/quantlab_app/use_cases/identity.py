"""Who is calling: access tokens and API keys, held against what stands right now.

A credential stands when the cache or, on a miss, the database says so; when neither answers
the request fails. It must not issue anything: that is identity_tokens and api_keys.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from quantlab.kernel.instants import SECOND_NS
from quantlab.tenancy.permissions import Role
from quantlab.tenancy.scope import Actor, Scope, system_scope
from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import NotFound
from quantlab_app.ports.sessions import (
    Credential,
    CredentialKind,
    Ended,
    LiveCredential,
    TicketHolder,
)

if TYPE_CHECKING:
    from quantlab_app.ports.identity import User

API_KEY_PREFIX: Final = "qle_"
API_KEY_CHARS_MAX: Final = 100
TOKEN_CHARS_MAX: Final = 4096


def lookup_hash(text: str) -> bytes:
    """Return the digest under which a credential's text is kept."""
    return hashlib.sha256(text.encode()).digest()


def identity_scope(tenant_id: str, correlation_id: str) -> Scope:
    """Return the scope in which identity itself reads a tenant before anybody is known."""
    return system_scope(tenant_id, "identity", correlation_id)


async def authenticate_token(ports: Ports, token: str, correlation_id: str) -> Credential | None:
    """Return what an access token proves, None when it or its session does not stand."""
    if len(token) > TOKEN_CHARS_MAX:
        return None
    now_ns = ports.clock.now_ns()
    claims = await ports.access_tokens.verify(token, now_ns)
    if claims is None:
        return None
    live = await live_session(ports, claims.home_tenant_id, claims.session_id, correlation_id)
    if live is None or live.actor.id != claims.subject:
        return None
    elsewhere = claims.tenant_id != claims.home_tenant_id
    if elsewhere and live.actor.role != Role.PLATFORM_ADMIN:
        return None
    return Credential(
        scope=Scope(claims.tenant_id, live.actor, correlation_id),
        kind="session",
        reference=claims.session_id,
        home_tenant_id=claims.home_tenant_id,
        expires_ns=claims.expires_ns,
    )


async def authenticate_api_key(ports: Ports, key: str, correlation_id: str) -> Credential | None:
    """Return what an API key proves, None when it does not stand."""
    if not key.startswith(API_KEY_PREFIX) or len(key) > API_KEY_CHARS_MAX:
        return None
    reference = lookup_hash(key).hex()
    live = await live_api_key(ports, reference, correlation_id)
    if live is None:
        return None
    return Credential(
        scope=Scope(live.tenant_id, live.actor, correlation_id),
        kind="api_key",
        reference=reference,
        home_tenant_id=live.tenant_id,
        expires_ns=live.expires_ns,
    )


async def still_stands(ports: Ports, holder: TicketHolder) -> bool:
    """Say whether the credential behind an open socket still stands."""
    now_ns = ports.clock.now_ns()
    if holder.expires_ns <= now_ns:
        return False
    correlation_id = holder.scope.correlation_id
    if holder.kind == "api_key":
        live = await live_api_key(ports, holder.reference, correlation_id)
    else:
        live = await live_session(ports, holder.home_tenant_id, holder.reference, correlation_id)
    return live is not None and live.actor == holder.scope.actor


async def own_user(ports: Ports, scope: Scope) -> User:
    """Return the user who is acting; NotFound for a program."""
    user = await ports.users.find(scope, scope.actor.id) if scope.actor.kind == "user" else None
    if user is None:
        raise NotFound("user")
    return user


async def open_ticket(ports: Ports, credential: Credential) -> str:
    """Issue the single-use ticket with which the credential opens one socket."""
    limit_ns = ports.identity_policy.api_key_socket_ttl_s * SECOND_NS
    ends = (credential.expires_ns, ports.clock.now_ns() + limit_ns)
    return await ports.tickets.issue(
        TicketHolder(
            scope=credential.scope,
            kind=credential.kind,
            reference=credential.reference,
            home_tenant_id=credential.home_tenant_id,
            expires_ns=min(end for end in ends if end is not None),
        )
    )


async def live_session(
    ports: Ports, tenant_id: str, session_id: str, correlation_id: str
) -> LiveCredential | None:
    """Return the session if it stands, from the cache or the database."""
    name = session_name(tenant_id, session_id)
    known = await ports.credential_cache.get("session", name)
    if known is None:
        known = await _read_session(ports, tenant_id, session_id, correlation_id)
        await _remember(ports, "session", name, known)
    return _standing(known, ports.clock.now_ns())


async def live_api_key(ports: Ports, reference: str, correlation_id: str) -> LiveCredential | None:
    """Return the API key if it stands, from the cache or the database."""
    known = await ports.credential_cache.get("api_key", reference)
    if known is None:
        known = await _read_api_key(ports, reference, correlation_id)
        await _remember(ports, "api_key", reference, known)
    return _standing(known, ports.clock.now_ns())


def session_name(tenant_id: str, session_id: str) -> str:
    """Return the session's name in the cache."""
    return f"{tenant_id}:{session_id}"


def _standing(known: LiveCredential | Ended | None, now_ns: int) -> LiveCredential | None:
    if not isinstance(known, LiveCredential):
        return None
    if known.expires_ns is not None and known.expires_ns <= now_ns:
        return None
    return known


async def _remember(
    ports: Ports, kind: CredentialKind, name: str, known: LiveCredential | Ended | None
) -> None:
    if isinstance(known, LiveCredential):
        await ports.credential_cache.put(kind, name, known)


async def _read_session(
    ports: Ports, tenant_id: str, session_id: str, correlation_id: str
) -> LiveCredential | None:
    scope = identity_scope(tenant_id, correlation_id)
    session = await ports.sessions.find(scope, session_id, ports.clock.now_ns())
    if session is None:
        return None
    actor = Actor("user", session.user_id, session.role)
    return LiveCredential(tenant_id, actor, session.expires_ns)


async def _read_api_key(ports: Ports, reference: str, correlation_id: str) -> LiveCredential | None:
    entry = await ports.directory.find("api_key", bytes.fromhex(reference))
    if entry is None:
        return None
    key = await ports.api_keys.find(
        identity_scope(entry.tenant_id, correlation_id), entry.object_id
    )
    if key is None or key.revoked_ns is not None:
        return None
    actor = Actor("api_key", key.api_key_id, key.role, key.scopes)
    return LiveCredential(entry.tenant_id, actor, key.expires_ns)
