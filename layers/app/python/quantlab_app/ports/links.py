"""Which accounts belong together."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from quantlab.rules.surroundings import LinkedAccount
from quantlab.tenancy.scope import Scope


class AccountLinks(Protocol):
    """Groups of accounts, an account in at most one, beside the accounts a user has anyway."""

    async def groups(
        self, scope: Scope, after: str | None, limit: int
    ) -> Mapping[str, Sequence[str]]:
        """Return groups by name with their accounts in order of identifier."""
        ...

    async def group(self, scope: Scope, group_id: str) -> Sequence[str]:
        """Return the accounts of a group; none when there is no such group."""
        ...

    async def put(self, scope: Scope, group_id: str, account_ids: Sequence[str]) -> None:
        """Make these the accounts of a group, taking each out of the group it was in.

        NotFound when one of them does not exist in the tenant: then nothing is changed.
        """
        ...

    async def linked_to(self, scope: Scope, account_id: str) -> Sequence[str]:
        """Return the other accounts that are not closed, of the same user or the same group."""
        ...

    async def standing(
        self, scope: Scope, account_id: str, since_ns: int
    ) -> Sequence[LinkedAccount]:
        """Return what the accounts linked to one hold, and what they ordered since an instant."""
        ...
