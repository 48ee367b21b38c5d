"""Sessions, and the short-lived state of credentials: cache, tickets and attempt counters."""

from dataclasses import dataclass, field
from typing import Literal, Protocol

from quantlab.tenancy.permissions import Role
from quantlab.tenancy.scope import Actor, Scope

CredentialKind = Literal["session", "api_key"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A login and the family of refresh tokens that descends from it."""

    session_id: str
    user_id: str
    role: Role
    browser: bool
    created_ns: int
    expires_ns: int


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A refresh token as kept: never its text."""

    token_hash: bytes = field(repr=False)
    expires_ns: int = 0


@dataclass(frozen=True, slots=True)
class Rotated:
    """The old refresh token was good and is used up; the new one stands."""

    session: Session


@dataclass(frozen=True, slots=True)
class Reused:
    """A used refresh token came back: the session has ended with all its tokens."""

    session_id: str


@dataclass(frozen=True, slots=True)
class LiveCredential:
    """A session or API key that stands: who acts by it, where, and until when."""

    tenant_id: str
    actor: Actor
    expires_ns: int | None


@dataclass(frozen=True, slots=True)
class Ended:
    """A session or API key that is known to have ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """An authenticated request: its scope, what proves it, and when that ends."""

    scope: Scope
    kind: CredentialKind
    reference: str
    home_tenant_id: str
    expires_ns: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketHolder:
    """Who a socket ticket was issued to; the socket closes at expires_ns at the latest.

    batched says that the socket takes several messages in one frame.
    """

    scope: Scope
    kind: CredentialKind
    reference: str
    home_tenant_id: str
    expires_ns: int
    batched: bool = False


class Sessions(Protocol):
    """The sessions of the scope's tenant, in the database."""

    async def open(
        self, scope: Scope, session: Session, token: RefreshToken, proven_hash: str
    ) -> bool:
        """Add a session with its first refresh token; False where its user may not any more.

        proven_hash is the password's that was found to fit: it must still be that of the user.
        """
        ...

    async def find(self, scope: Scope, session_id: str, now_ns: int) -> Session | None:
        """Return a session that stands, of a user who is active, with the role of today."""
        ...

    async def rotate(
        self, scope: Scope, old_hash: bytes, new: RefreshToken, now_ns: int
    ) -> Rotated | Reused | None:
        """Use a refresh token up under its family's lock; None when it never held or expired."""
        ...

    async def session_of_refresh_token(self, scope: Scope, token_hash: bytes) -> str | None:
        """Return the session a refresh token belongs to, used or not."""
        ...

    async def revoke(self, scope: Scope, session_id: str, reason: str, now_ns: int) -> bool:
        """End a session; False when there is none."""
        ...

    async def revoke_others(
        self, scope: Scope, user_id: str, kept_session_id: str, reason: str, now_ns: int
    ) -> tuple[str, ...]:
        """End every session of a user but one; return those that ended."""
        ...


class CredentialCache(Protocol):
    """What was last known of credentials, shared by all processes; entries live for seconds."""

    async def get(self, kind: CredentialKind, name: str) -> LiveCredential | Ended | None:
        """Return what is known; None when nothing is, or when what is known may be stale."""
        ...

    async def put(self, kind: CredentialKind, name: str, credential: LiveCredential) -> None:
        """Remember a credential that stands, unless its end is already known."""
        ...

    async def end(self, kind: CredentialKind, names: tuple[str, ...]) -> None:
        """Remember that the credentials have ended; returns when every process can see it."""
        ...


class Tickets(Protocol):
    """Single-use tickets that open a socket."""

    async def issue(self, holder: TicketHolder) -> str:
        """Return a fresh ticket."""
        ...

    async def redeem(self, ticket: str) -> TicketHolder | None:
        """Return the ticket's holder once; None ever after."""
        ...


class LoginAttempts(Protocol):
    """Counters that slow guessing down; without the store nobody may guess."""

    async def take(self, names: tuple[tuple[str, int], ...], window_s: int) -> int | None:
        """Count an attempt under each (name, most); return seconds to wait when one is full."""
        ...

    async def give_back(self, names: tuple[str, ...]) -> None:
        """Forget the attempt just counted, because it was a good one."""
        ...
