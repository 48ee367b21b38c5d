"""Bots: who may send signals, under which secrets, for which accounts."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Protocol

from quantlab.kernel.records import dataclass
from quantlab.tenancy.config import RateLimits, WebhookSettings
from quantlab.tenancy.scope import Scope


@dataclass(frozen=True, slots=True)
class BotAccount:
    """An account a bot may trade, as far as accepting a signal needs it."""

    account_id: str
    status: str
    symbols: frozenset[str]


@dataclass(frozen=True, slots=True)
class KnownBot:
    """A bot with everything that accepting its signals needs.

    stamp changes whenever anything of the tenant changes that could make this stale.
    """

    tenant_id: str
    bot_id: str
    status: str
    default_account_id: str
    accounts: Mapping[str, BotAccount]
    secrets: tuple[str, ...] = field(repr=False)
    token_enabled: bool
    source_addresses: tuple[str, ...]
    webhooks: WebhookSettings
    limits: RateLimits
    stamp: str


@dataclass(frozen=True, slots=True)
class Bot:
    """A bot as it is administered; its secret is never part of it."""

    bot_id: str
    name: str
    status: str
    account_id: str
    account_ids: tuple[str, ...]
    token_enabled: bool
    source_addresses: tuple[str, ...]
    created_at_ns: int


@dataclass(frozen=True, slots=True)
class NewBot:
    """A bot to be made, with its secret already encrypted and its token already hashed."""

    bot_id: str
    name: str
    account_id: str
    account_ids: tuple[str, ...]
    secret_cipher: bytes
    token_hash: bytes
    token_enabled: bool
    source_addresses: tuple[str, ...]


class KnownBots(Protocol):
    """Bots as the accepting path sees them, kept for seconds and never past a change of stamp."""

    async def by_id(
        self, bot_id: str, *, fresh: bool = False, recent: bool = False
    ) -> KnownBot | None:
        """Return the bot of that identifier: from the store when fresh.

        When recent, what was read within the last second is good enough: a flood of wrong
        signatures costs one read a second.
        """
        ...

    async def by_token(
        self, token_hash: bytes, *, fresh: bool = False, recent: bool = False
    ) -> KnownBot | None:
        """Return the bot whose URL token has that SHA-256."""
        ...


class Bots(Protocol):
    """The administration of bots."""

    async def add(self, scope: Scope, bot: NewBot) -> None:
        """Store a new bot with its look-up entries."""
        ...

    async def page(
        self, scope: Scope, *, account_ids: Sequence[str] | None, after: str | None, limit: int
    ) -> Sequence[Bot]:
        """Return bots by identifier, where accounts are given those that trade no other."""
        ...

    async def find(self, scope: Scope, bot_id: str) -> Bot | None:
        """Return one bot."""
        ...

    async def set_status(self, scope: Scope, bot_id: str, status: str) -> bool:
        """Enable or disable a bot; False when there is none."""
        ...

    async def rotate(
        self,
        scope: Scope,
        bot_id: str,
        secret_cipher: bytes,
        token_hash: bytes | None,
        grace_s: int,
    ) -> bool:
        """Replace the secret, and the token where given; the old secret lives for the grace."""
        ...


class Stamps(Protocol):
    """One mark per tenant that every change of bots, accounts or configuration renews."""

    async def renew(self, tenant_id: str) -> None:
        """Make everything cached of the tenant stale."""
        ...
