"""Where processes leave their numbers for the one that is asked, and whether stores answer."""

from typing import Protocol


class MetricsBoard(Protocol):
    """A short-lived board: an entry that is not renewed disappears."""

    async def put(self, role: str, instance: str, text: str) -> None:
        """Leave one process's numbers as exposition text."""
        ...

    async def entries(self) -> list[tuple[str, str, str]]:
        """Return (role, instance, text) of every process that left numbers lately."""
        ...


class Probe(Protocol):
    """One store, asked whether it answers."""

    @property
    def name(self) -> str:
        """Name the store."""
        ...

    async def touch(self) -> None:
        """Return when the store has answered; StoreUnavailable when it does not."""
        ...
