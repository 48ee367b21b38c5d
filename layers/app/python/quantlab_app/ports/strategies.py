"""Strategies that people save by name, and the versions of their source."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from quantlab.tenancy.scope import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """A strategy by name. user_id is its owner, None for the firm; archived ones stay."""

    strategy_id: str
    user_id: str | None
    name: str
    latest_version: int
    created_ns: int
    updated_ns: int
    archived_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedVersion:
    """One version, numbered from 1 and never changed.

    source_hash is that of the compiler, facts what it said of the program when this was saved.
    """

    version: int
    source_hash: str
    source: str
    facts: Mapping[str, Any]
    created_by: str
    created_ns: int


@dataclass(frozen=True, slots=True)
class VersionLine:
    """A version in a list of them."""

    version: int
    source_hash: str
    created_by: str
    created_ns: int


class Strategies(Protocol):
    """Strategies of a tenant with their versions."""

    async def add(
        self, scope: Scope, strategy: Strategy, first: SavedVersion, per_owner_max: int
    ) -> bool:
        """Store a strategy with its first version; False when its owner has that many.

        Raises Conflict when the owner has one of that name that is not archived.
        """
        ...

    async def page(
        self, scope: Scope, *, user_id: str | None, archived: bool, after: str | None, limit: int
    ) -> Sequence[Strategy]:
        """Return strategies by identifier: one user's, or those of all for None."""
        ...

    async def find(self, scope: Scope, strategy_id: str) -> Strategy | None:
        """Return one strategy, archived or not."""
        ...

    async def version(self, scope: Scope, strategy_id: str, version: int) -> SavedVersion | None:
        """Return one version of a strategy with its source."""
        ...

    async def versions(
        self, scope: Scope, strategy_id: str, *, before: int | None, limit: int
    ) -> Sequence[VersionLine]:
        """Return a strategy's versions, the newest first, before one of that number."""
        ...

    async def save(
        self, scope: Scope, strategy_id: str, name: str, new: SavedVersion | None, now_ns: int
    ) -> bool:
        """Give a strategy a name, and the version behind its latest where one is given.

        False when it is archived, or another version was saved meanwhile; raises Conflict when
        the name is taken.
        """
        ...

    async def archive(self, scope: Scope, strategy_id: str, now_ns: int) -> bool:
        """Archive a strategy; False when it is archived already, or there is none."""
        ...
