"""The calendar of releases of a tenant."""

from typing import Protocol

from quantlab.kernel.records import dataclass
from quantlab.rules.surroundings import NewsCalendar
from quantlab.tenancy.scope import Scope


@dataclass(frozen=True, slots=True)
class StoredCalendar:
    """A calendar with its content hash, and who made it current when."""

    calendar: NewsCalendar
    version: str
    put_by: str
    put_ns: int


class NewsCalendars(Protocol):
    """One calendar a tenant, replaced as a whole."""

    async def put(self, scope: Scope, stored: StoredCalendar) -> bool:
        """Make a calendar current; False, and nothing changed, when it is already."""
        ...

    async def current(self, scope: Scope) -> StoredCalendar | None:
        """Return the calendar; None when there is none."""
        ...

    async def near(self, scope: Scope, from_ns: int, to_ns: int) -> NewsCalendar | None:
        """Return the part of the calendar between two instants, both included, if there is one.

        It is complete until the later instant at most.
        """
        ...
