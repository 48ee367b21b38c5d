"""Ranges of ticks that were marked bad, and what each did to the accounts that saw it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from quantlab.engine.bad_ticks import BadTicks
from quantlab.tenancy.scope import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class BadTickRange:
    """A range as it was marked; ticks is how many the log held of it. Withdrawn ones stay."""

    range_id: str
    bad: BadTicks
    ticks: int
    reason: str
    marked_by: str
    marked_ns: int
    withdrawn_by: str | None = None
    withdrawn_ns: int | None = None
    withdrawn_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountDifference:
    """What a range did to an account, as last recomputed; event_seq is the account's then.

    amount_minor is what a correction would book, None where it is not known. problem says why the
    account could not be recomputed: then the document is empty.
    """

    range_id: str
    account_id: str
    event_seq: int
    affected: bool
    amount_minor: int | None
    document: Mapping[str, Any]
    digest: str
    problem: str | None
    computed_ns: int


class BadTickRanges(Protocol):
    """Marks and differences of a tenant; a mark is never changed but for its withdrawal."""

    async def add(self, scope: Scope, new: BadTickRange) -> bool:
        """Store a range; False when its id is taken."""
        ...

    async def find(self, scope: Scope, range_id: str) -> BadTickRange | None:
        """Return one range."""
        ...

    async def page(
        self, scope: Scope, before: tuple[int, str] | None, limit: int
    ) -> Sequence[BadTickRange]:
        """Return ranges, newest first, before one of that moment and id."""
        ...

    async def standing_before(
        self, scope: Scope, marked: BadTickRange | None
    ) -> Sequence[BadTickRange]:
        """Return the ranges marked before this one, or all, and not withdrawn, oldest first."""
        ...

    async def withdraw(
        self, scope: Scope, range_id: str, by: str, reason: str, now_ns: int
    ) -> bool:
        """Withdraw a range; False where it is withdrawn already, or corrected an account.

        An approval of a correction that is pending, approved or executed stands in the way.
        """
        ...

    async def accounts_to_compute(
        self, scope: Scope, range_id: str, from_seq: int, symbols: Sequence[str], limit: int
    ) -> Sequence[str]:
        """Return accounts that traded in the symbols and decided anything at or after the tick.

        Those with a difference of the range are left out.
        """
        ...

    async def store(self, scope: Scope, difference: AccountDifference) -> None:
        """Store a difference in place of an earlier one of the same range and account.

        One that a correction rests on, asked for or carried out, stays as it is.
        """
        ...

    async def differences(
        self, scope: Scope, range_id: str, *, after: str | None, limit: int, affected: bool | None
    ) -> Sequence[AccountDifference]:
        """Return the differences of a range by account; those that affect, or do not, only."""
        ...
