"""Time and identifiers from outside."""

from typing import Protocol


class Clock(Protocol):
    """The wall clock."""

    def now_ns(self) -> int:
        """Return nanoseconds since 1970 UTC."""
        ...


class Ids(Protocol):
    """Fresh identifiers and secrets."""

    def new_id(self) -> str:
        """Return a fresh UUID, ordered by time."""
        ...

    def token(self, size_bytes: int) -> str:
        """Return unguessable URL-safe text with that many random bytes in it."""
        ...

    def random_bytes(self, size_bytes: int) -> bytes:
        """Return that many random bytes."""
        ...
