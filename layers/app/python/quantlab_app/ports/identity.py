"""Users, credentials and what proves them: the ports of identity.

It must not decide who may do what: that is quantlab.tenancy.permissions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from quantlab.tenancy.permissions import Permission, Role
from quantlab.tenancy.scope import Scope

UserStatus = Literal["invited", "active", "disabled"]
MailTokenKind = Literal["invitation", "verification", "reset"]
DirectoryKind = Literal["login", "api_key", "host", "refresh_token", "mail_token"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityPolicy:
    """Lifetimes and limits of identity, from settings."""

    public_url: str
    access_ttl_s: int = 900
    refresh_ttl_s: int = 14 * 86_400
    session_ttl_s: int = 90 * 86_400
    invitation_ttl_s: int = 7 * 86_400
    verification_ttl_s: int = 2 * 86_400
    reset_ttl_s: int = 3600
    ticket_ttl_s: int = 30
    api_key_socket_ttl_s: int = 3600
    login_attempts_max: int = 10
    source_attempts_max: int = 200
    attempts_window_s: int = 300

    @property
    def secure_cookies(self) -> bool:
        """Say whether browsers reach us over TLS."""
        return self.public_url.startswith("https://")


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person of a tenant; email is lower case, totp_cipher is sealed by the key port."""

    user_id: str
    email: str
    name: str
    role: Role
    status: UserStatus
    created_ns: int
    email_verified: bool = False
    password_hash: str | None = field(default=None, repr=False)
    totp_cipher: bytes | None = field(default=None, repr=False)
    totp_enabled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MailToken:
    """A one-time token that a mail carried; only its hash is kept."""

    token_hash: bytes = field(repr=False)
    kind: MailTokenKind
    user_id: str
    expires_ns: int


@dataclass(frozen=True, slots=True)
class Redeemed:
    """What a mail token did: whose it was, and the sessions that ended by it."""

    user_id: str
    ended_session_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A program's credential: its role narrowed to scopes. The key itself is never kept."""

    api_key_id: str
    name: str
    role: Role
    scopes: frozenset[Permission]
    created_by: str
    created_ns: int
    expires_ns: int | None = None
    revoked_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessClaims:
    """What an access token says. home_tenant_id holds the session; tenant_id is acted in."""

    subject: str
    session_id: str
    tenant_id: str
    home_tenant_id: str
    role: str
    issued_ns: int
    expires_ns: int


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """What a digest leads to before the tenant is known."""

    tenant_id: str
    object_id: str


class Directory(Protocol):
    """The table of what must be found before the tenant is known; exact match only."""

    async def find(self, kind: DirectoryKind, lookup_hash: bytes) -> DirectoryEntry | None:
        """Return what the digest leads to."""
        ...


class Users(Protocol):
    """The users of the scope's tenant."""

    async def add(self, scope: Scope, user: User, token: MailToken | None = None) -> None:
        """Add a user and perhaps the invitation; Conflict when the tenant has the e-mail."""
        ...

    async def find(self, scope: Scope, user_id: str) -> User | None:
        """Return the user."""
        ...

    async def find_by_email(self, scope: Scope, email: str) -> User | None:
        """Return the user with the lower-case e-mail."""
        ...

    async def page(self, scope: Scope, limit: int, after: tuple[int, str] | None) -> list[User]:
        """Return up to limit users after (created_ns, user_id), oldest first."""
        ...

    async def set_password(
        self, scope: Scope, user_id: str, password_hash: str, *, replacing: str
    ) -> bool:
        """Replace the password hash if it is still the one named; reset tokens end with it."""
        ...

    async def set_status(
        self, scope: Scope, user_id: str, status: UserStatus, now_ns: int, *, keep_admin: bool
    ) -> tuple[str, ...] | None:
        """Change the status; return the sessions that ended by it, None for an unknown user.

        With keep_admin, Conflict when the tenant would have no active administrator left.
        """
        ...

    async def set_totp(self, scope: Scope, user_id: str, cipher: bytes | None) -> None:
        """Keep a sealed secret not yet confirmed, or forget the enrolment."""
        ...

    async def use_totp_step(self, scope: Scope, user_id: str, step: int) -> bool:
        """Take a code's time step and enable the enrolment; False when it or a later was used."""
        ...

    async def add_mail_token(self, scope: Scope, token: MailToken) -> None:
        """Keep a mail token; earlier ones of the same kind and user end."""
        ...

    async def redeem_mail_token(
        self,
        scope: Scope,
        kind: MailTokenKind,
        token_hash: bytes,
        now_ns: int,
        password_hash: str | None = None,
    ) -> Redeemed | None:
        """Use a token once and do what it is for, in one transaction."""
        ...


class ApiKeys(Protocol):
    """The API keys of the scope's tenant."""

    async def add(self, scope: Scope, key: ApiKey, key_hash: bytes) -> None:
        """Add a key under the hash of its text."""
        ...

    async def page(self, scope: Scope, limit: int, after: tuple[int, str] | None) -> list[ApiKey]:
        """Return up to limit keys after (created_ns, api_key_id), oldest first."""
        ...

    async def find(self, scope: Scope, api_key_id: str) -> ApiKey | None:
        """Return the key."""
        ...

    async def revoke(self, scope: Scope, api_key_id: str, now_ns: int) -> bytes | None:
        """End a key for good; return the hash of its text, None when there is no such key."""
        ...


class AccountOwners(Protocol):
    """Whose account it is."""

    async def owner_of(self, scope: Scope, account_id: str) -> str | None:
        """Return the user id of the account's owner; NotFound when there is no such account."""
        ...


class AccessTokens(Protocol):
    """Signed access tokens."""

    async def issue(self, claims: AccessClaims) -> str:
        """Return the signed token."""
        ...

    async def verify(self, token: str, now_ns: int) -> AccessClaims | None:
        """Return what a token of ours says, None for any other text."""
        ...

    async def jwks(self) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """Return the public keys as a JWK set (RFC 7517)."""
        ...


class Passwords(Protocol):
    """Slow hashes of passwords."""

    async def hash(self, password: str) -> str:
        """Return the encoded hash."""
        ...

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Say whether the password fits; None takes as long as any and never fits."""
        ...

    def outdated(self, password_hash: str) -> bool:
        """Say whether the hash was made with other parameters than today's."""
        ...


class OneTimeCodes(Protocol):
    """Time-based one-time codes (RFC 6238)."""

    def new_secret(self) -> str:
        """Return a fresh base-32 secret."""
        ...

    def uri(self, secret: str, account: str, issuer: str) -> str:
        """Return the otpauth URI that authenticator apps read."""
        ...

    def step_of(self, secret: str, code: str, now_ns: int) -> int | None:
        """Return the time step a code belongs to, None when it fits none near now."""
        ...
