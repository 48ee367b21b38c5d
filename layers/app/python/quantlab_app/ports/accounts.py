"""Accounts as they are read and made; only the one writer changes them."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, Protocol

from quantlab.engine.opening import Course
from quantlab.kernel.records import dataclass
from quantlab.ledger.state import Account
from quantlab.ledger.trading_terms import STANDARD, TradingTerms
from quantlab.market.fill_model import FillModel
from quantlab.rules.terms import Profile
from quantlab.tenancy.scope import Scope


@dataclass(frozen=True, slots=True)
class OwnedAccount:
    """An account and the user it belongs to."""

    account: Account
    user_id: str | None
    created_at_ns: int
    name: str | None = None
    client_reference: str | None = None


@dataclass(frozen=True, slots=True)
class NewAccount:
    """An account to be opened with its first deposit.

    One that takes over from another has that one's user, name and links where it names none.
    """

    account: Account
    user_id: str | None
    created_ns: int
    opened_payload: Mapping[str, Any]
    name: str | None = None
    client_reference: str | None = None
    previous_account_id: str | None = None


Row = Mapping[str, Any]


class Accounts(Protocol):
    """Reads that may skip the core, and the opening of accounts."""

    async def open(self, scope: Scope, accounts: Sequence[NewAccount]) -> None:
        """Store new accounts with their deposit and account.created event, all or none."""
        ...

    async def find(self, scope: Scope, account_id: str) -> OwnedAccount | None:
        """Return one account with its positions and closed days."""
        ...

    async def page(
        self, scope: Scope, *, user_id: str | None, after: str | None, limit: int
    ) -> Sequence[OwnedAccount]:
        """Return accounts in order of identifier, of one user where given."""
        ...

    async def ids_of(self, scope: Scope, user_id: str) -> Sequence[str]:
        """Return the accounts that belong to a user."""
        ...

    async def watched(self, tenant_id: str) -> Sequence[OwnedAccount]:
        """Return the accounts with an open position or a working order."""
        ...

    async def watched_seqs(self, tenant_id: str) -> Mapping[str, int]:
        """Return the last event of each account with an open position or a working order."""
        ...

    async def many(self, tenant_id: str, account_ids: Sequence[str]) -> Sequence[OwnedAccount]:
        """Return those of some accounts that exist."""
        ...

    async def active_ids(self, tenant_id: str, due_before_ns: int | None) -> Sequence[str]:
        """Return accounts that are not closed, where given only those with a reset due by then."""
        ...

    async def due_resets(self, tenant_id: str, now_ns: int) -> Mapping[str, int]:
        """Return the resets that have passed, by account, of accounts that are not closed."""
        ...

    async def orders(
        self,
        scope: Scope,
        account_id: str,
        before: int | None,
        limit: int,
        statuses: Sequence[str] | None = None,
    ) -> Sequence[Row]:
        """Return orders, working and ended, that moved last first; of some statuses where given."""
        ...

    async def orders_named(
        self, scope: Scope, account_id: str, order_ids: Sequence[str]
    ) -> Sequence[Row]:
        """Return orders by identifier, in the order of their last events."""
        ...

    async def order(self, scope: Scope, account_id: str, order_id: str) -> Row | None:
        """Return one order."""
        ...

    async def order_of_signal(self, scope: Scope, signal_id: str) -> Row | None:
        """Return the first order a command led to."""
        ...

    async def fills(
        self, scope: Scope, account_id: str, before: int | None, limit: int
    ) -> Sequence[Row]:
        """Return fills, newest first."""
        ...

    async def ledger(
        self, scope: Scope, account_id: str, before: tuple[int, str] | None, limit: int
    ) -> Sequence[Row]:
        """Return ledger entries before one of that seq and kind, newest first."""
        ...

    async def violations(
        self, scope: Scope, account_id: str, before: int | None, limit: int
    ) -> Sequence[Row]:
        """Return violations, newest first."""
        ...

    async def snapshots(
        self, scope: Scope, account_id: str, before: int | None, limit: int
    ) -> Sequence[Row]:
        """Return what the account was at the turns of its life, newest first."""
        ...

    async def taken_references(self, scope: Scope, references: Sequence[str]) -> Sequence[str]:
        """Return those client references that an account of the tenant has."""
        ...


class Tenants(Protocol):
    """The tenants themselves."""

    async def ensure(self, tenant_id: str) -> bool:
        """Make the tenant's row if it is missing; True when it was."""
        ...

    async def active(self) -> Sequence[str]:
        """Return every active tenant."""
        ...

    async def with_due_reset(self, now_ns: int) -> Sequence[str]:
        """Return tenants with an account whose day is over."""
        ...


@dataclass(frozen=True, slots=True)
class Rulebook:
    """What an account's pinned configuration says of it."""

    profile: Profile
    instruments: frozenset[str]
    account_type: str
    retention_days: int
    course: Course
    fill_models: Mapping[str, FillModel] = field(default_factory=dict)
    trading: TradingTerms = STANDARD


class Rulebooks(Protocol):
    """Pinned rules, resolved once per version, account type and initial balance."""

    async def of(self, account: Account) -> Rulebook:
        """Return the rulebook an account is pinned to."""
        ...
