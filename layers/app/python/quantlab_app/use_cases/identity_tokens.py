"""Signing in, staying in, acting in another tenant, leaving: what issues and ends tokens.

A refused sign-in says nothing about which part was wrong, and takes as long as any other.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from quantlab.kernel.instants import SECOND_NS
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.container import Ports
from quantlab_app.ports.identity import AccessClaims, User
from quantlab_app.ports.sessions import Credential, RefreshToken, Reused, Rotated, Session
from quantlab_app.use_cases.identity import identity_scope, lookup_hash, session_name
from quantlab_app.use_cases.identity_totp import use_code

REFRESH_TOKEN_BYTES: Final = 32
PASSWORD_CHARS_MAX: Final = 128


class GrantRefusal(StrEnum):
    """Why no token was issued, in order of precedence."""

    RATE_LIMITED = "rate_limited"
    INVALID_GRANT = "invalid_grant"
    TOTP_REQUIRED = "totp_required"


@dataclass(frozen=True, slots=True)
class Refused:
    """No token; retry_after_s only when too many attempts were made."""

    reason: GrantRefusal
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a grant gives. refresh_token is empty when the session cannot be prolonged by it."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in_s: int
    session: Session
    tenant_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordGrant:
    """A sign-in. The tenant is named, or follows from the host, or from an e-mail alone."""

    email: str
    password: str = field(repr=False)
    tenant_id: str | None
    host: str | None
    totp_code: str | None = field(repr=False)
    source: str
    browser: bool
    correlation_id: str


async def grant_password(ports: Ports, grant: PasswordGrant) -> Tokens | Refused:
    """Open a session for an e-mail and password that fit, and a one-time code where asked."""
    email = grant.email.strip().lower()
    tenant_id = await _tenant_of(ports, grant, email)
    policy = ports.identity_policy
    login_name = f"login:{tenant_id or ''}:{email}"
    source_name = f"source:{grant.source}"
    wait_s = await ports.login_attempts.take(
        ((login_name, policy.login_attempts_max), (source_name, policy.source_attempts_max)),
        policy.attempts_window_s,
    )
    if wait_s is not None:
        return Refused(GrantRefusal.RATE_LIMITED, wait_s)
    scope = identity_scope(tenant_id or "", grant.correlation_id)
    user = await _proven_user(ports, scope, grant, email)
    if user is None:
        return Refused(GrantRefusal.INVALID_GRANT)
    refusal = await _check_code(ports, scope, user, grant.totp_code)
    if refusal is not GrantRefusal.INVALID_GRANT:
        await ports.login_attempts.give_back((login_name, source_name))
    if refusal is not None:
        return Refused(refusal)
    tokens = await _open_session(ports, scope, user, browser=grant.browser)
    if tokens is None:
        return Refused(GrantRefusal.INVALID_GRANT)
    await _rehash(ports, scope, user, grant.password)
    return tokens


async def grant_refresh(ports: Ports, refresh_token: str, correlation_id: str) -> Tokens | Refused:
    """Exchange a refresh token for the next; one that was used before ends its session."""
    refused = Refused(GrantRefusal.INVALID_GRANT)
    old_hash = lookup_hash(refresh_token)
    entry = await ports.directory.find("refresh_token", old_hash)
    if entry is None:
        return refused
    scope = identity_scope(entry.tenant_id, correlation_id)
    now_ns = ports.clock.now_ns()
    text, token = _new_refresh_token(ports, now_ns)
    outcome = await ports.sessions.rotate(scope, old_hash, token, now_ns)
    match outcome:
        case Rotated(session):
            return await _issue(ports, scope, session, text)
        case Reused(session_id):
            await end_sessions(ports, scope.tenant_id, (session_id,))
            return refused
        case _:
            return refused


async def switch_tenant(ports: Ports, credential: Credential, tenant_id: str) -> Tokens | None:
    """Issue a platform administrator an access token for one other tenant; None without session."""
    if credential.kind != "session":
        return None
    await ports.tenant_configs.current(identity_scope(tenant_id, credential.scope.correlation_id))
    scope = identity_scope(credential.home_tenant_id, credential.scope.correlation_id)
    session = await ports.sessions.find(scope, credential.reference, ports.clock.now_ns())
    return None if session is None else await _issue(ports, scope, session, "", tenant_id)


async def revoke_token(ports: Ports, token: str, correlation_id: str) -> None:
    """End the session a refresh or access token belongs to; unknown tokens change nothing."""
    entry = await ports.directory.find("refresh_token", lookup_hash(token))
    if entry is not None:
        scope = identity_scope(entry.tenant_id, correlation_id)
        session_id = await ports.sessions.session_of_refresh_token(scope, lookup_hash(token))
        if session_id is not None:
            await revoke_session(ports, scope, session_id)
        return
    claims = await ports.access_tokens.verify(token, ports.clock.now_ns())
    if claims is not None:
        scope = identity_scope(claims.home_tenant_id, correlation_id)
        await revoke_session(ports, scope, claims.session_id)


async def revoke_session(ports: Ports, scope: Scope, session_id: str) -> None:
    """End one session: the database first, then what every process remembers."""
    await ports.sessions.revoke(scope, session_id, "logout", ports.clock.now_ns())
    await end_sessions(ports, scope.tenant_id, (session_id,))


async def end_sessions(ports: Ports, tenant_id: str, session_ids: tuple[str, ...]) -> None:
    """Make the end of sessions known to every process."""
    names = tuple(session_name(tenant_id, session_id) for session_id in session_ids)
    await ports.credential_cache.end("session", names)


async def _tenant_of(ports: Ports, grant: PasswordGrant, email: str) -> str | None:
    if grant.tenant_id is not None:
        return grant.tenant_id
    if grant.host is not None:
        entry = await ports.directory.find("host", lookup_hash(grant.host))
        if entry is not None:
            return entry.tenant_id
    entry = await ports.directory.find("login", lookup_hash(email))
    return None if entry is None else entry.tenant_id


async def _proven_user(ports: Ports, scope: Scope, grant: PasswordGrant, email: str) -> User | None:
    user = await ports.users.find_by_email(scope, email)
    if user is not None and user.status != "active":
        user = None
    password = grant.password[:PASSWORD_CHARS_MAX]
    fits = await ports.passwords.verify(user.password_hash if user else None, password)
    whole = len(grant.password) <= PASSWORD_CHARS_MAX
    return user if fits and whole else None


async def _check_code(
    ports: Ports, scope: Scope, user: User, code: str | None
) -> GrantRefusal | None:
    if not user.totp_enabled:
        return None
    if code is None:
        return GrantRefusal.TOTP_REQUIRED
    good = await use_code(ports, scope, user, code)
    return None if good else GrantRefusal.INVALID_GRANT


async def _rehash(ports: Ports, scope: Scope, user: User, password: str) -> None:
    old = user.password_hash
    if old is not None and ports.passwords.outdated(old):
        new = await ports.passwords.hash(password)
        await ports.users.set_password(scope, user.user_id, new, replacing=old)


async def _open_session(ports: Ports, scope: Scope, user: User, *, browser: bool) -> Tokens | None:
    """Open a session; None where the password has been changed since it was found to fit."""
    now_ns = ports.clock.now_ns()
    session = Session(
        session_id=ports.ids.new_id(),
        user_id=user.user_id,
        role=user.role,
        browser=browser,
        created_ns=now_ns,
        expires_ns=now_ns + ports.identity_policy.session_ttl_s * SECOND_NS,
    )
    text, token = _new_refresh_token(ports, now_ns)
    if not await ports.sessions.open(scope, session, token, user.password_hash or ""):
        return None
    return await _issue(ports, scope, session, text)


def _new_refresh_token(ports: Ports, now_ns: int) -> tuple[str, RefreshToken]:
    text = ports.ids.token(REFRESH_TOKEN_BYTES)
    expires_ns = now_ns + ports.identity_policy.refresh_ttl_s * SECOND_NS
    return text, RefreshToken(lookup_hash(text), expires_ns)


async def _issue(
    ports: Ports, scope: Scope, session: Session, refresh_token: str, tenant_id: str | None = None
) -> Tokens:
    now_ns = ports.clock.now_ns()
    ttl_ns = ports.identity_policy.access_ttl_s * SECOND_NS
    expires_ns = min(now_ns + ttl_ns, session.expires_ns)
    acting_in = tenant_id or scope.tenant_id
    claims = AccessClaims(
        subject=session.user_id,
        session_id=session.session_id,
        tenant_id=acting_in,
        home_tenant_id=scope.tenant_id,
        role=session.role,
        issued_ns=now_ns,
        expires_ns=expires_ns,
    )
    access_token = await ports.access_tokens.issue(claims)
    expires_in_s = (expires_ns - now_ns) // SECOND_NS
    return Tokens(access_token, refresh_token, expires_in_s, session, acting_in)
