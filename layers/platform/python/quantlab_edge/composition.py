"""What every profile's ports have in common: each is built when it is first asked for.

Adapters are imported where they are built, so that a process pays only for those it uses.
"""

import zoneinfo
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Coroutine
from dataclasses import fields
from functools import wraps
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar, cast

from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import Misconfigured
from quantlab_app.ports.secrets import Keys
from quantlab_edge.settings import PlatformSettings

# Less than the shortest time limit that a manifest of an HTTP function has.
REQUEST_PATIENCE_S: Final = 8.0
PORT_NAMES: Final = frozenset(field.name for field in fields(Ports)) - {"close"}

Part = TypeVar("Part")
Composed = TypeVar("Composed", bound="Composition")


def part(
    make: Callable[[Composed], Coroutine[Any, Any, Part]],
) -> Callable[[Composed], Coroutine[Any, Any, Part]]:
    """Make what a method makes once, when it is first asked for."""
    name = make.__qualname__

    @wraps(make)
    async def made(self: Composed) -> Part:
        if name not in self.made:
            self.made[name] = await make(self)
        return cast(Part, self.made[name])

    return made


class Unnamed:
    """Stands where a port is that this process has not named; every use of it is refused."""

    __slots__ = ("_reason",)

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def _refuse(self, *_args: object, **_kwargs: object) -> NoReturn:
        raise Misconfigured(self._reason)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        self._refuse()

    __call__ = __iter__ = __len__ = __getitem__ = __contains__ = _refuse


class Composition(ABC):
    """The ports of one process, by the names of the container; profiles fill in the rest.

    patience_s is how long one answer of PostgreSQL may take, None where nobody waits for it.
    """

    patience_s: float | None = None

    def __init__(self, settings: PlatformSettings) -> None:
        self.settings = settings
        self.made: dict[str, Any] = {}
        self._closing: list[Callable[[], Awaitable[None]]] = []

    async def ports(self, names: Collection[str], reason: Callable[[str], str]) -> Ports:
        """Build the named ports; the others refuse every use, for the reason given.

        Time-zone data comes from the pinned tzdata package, never from the machine.
        """
        zoneinfo.reset_tzpath(to=())
        unknown = sorted(set(names) - PORT_NAMES)
        if unknown:
            raise Misconfigured(f"expected names of ports, got {', '.join(unknown)}")
        try:
            found: dict[str, Any] = {
                name: await getattr(self, name)() if name in names else Unnamed(reason(name))
                for name in sorted(PORT_NAMES)
            }
        except BaseException:
            await self.close()
            raise
        return Ports(**found, close=self.close)

    async def close(self) -> None:
        """Close what was built, the last first."""
        while self._closing:
            await self._closing.pop()()

    def closes(self, close: Callable[[], Awaitable[None]]) -> None:
        """Have something closed at the end."""
        self._closing.append(close)

    @abstractmethod
    async def store_urls(self) -> tuple[str, str]:
        """Return where PostgreSQL and Redis are, with their passwords."""

    @abstractmethod
    def catalogue_file(self) -> Path:
        """Return where the instrument catalogue lies."""

    @abstractmethod
    def public_url(self) -> str:
        """Return the address that links in mails begin with."""

    @abstractmethod
    async def keys(self) -> Keys:
        """Return the keys that seal and sign."""
