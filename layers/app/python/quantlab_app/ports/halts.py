"""Instruments that a tenant has halted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from quantlab.market.halts import Halt
from quantlab.tenancy.scope import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownHalt:
    """A halt as it was made, and ended where it was; the fields of its end come together."""

    halt_id: str
    symbol: str
    reason: str
    halted_by: str
    halted_ns: int
    resumed_by: str | None = None
    resumed_ns: int | None = None
    resumed_reason: str | None = None

    @property
    def halt(self) -> Halt:
        """Return it as decisions see it."""
        return Halt(self.symbol, self.reason, self.halted_ns, self.resumed_ns)


class Halts(Protocol):
    """Halts of a tenant; an instrument has at most one at a time. Ended ones stay."""

    async def begin(self, scope: Scope, new: KnownHalt) -> bool:
        """Halt an instrument; False when it is halted already."""
        ...

    async def end(self, scope: Scope, symbol: str, by: str, reason: str, now_ns: int) -> bool:
        """End the halt of an instrument; False when it is not halted."""
        ...

    async def present(self, tenant_id: str) -> Mapping[str, str]:
        """Return the reasons of the halts that hold now, by symbol."""
        ...

    async def page(
        self, scope: Scope, *, before: tuple[int, str] | None, limit: int, ended: bool | None
    ) -> Sequence[KnownHalt]:
        """Return halts, newest first, before one of that moment and id; ended ones, or others."""
        ...

    async def of_symbols(self, scope: Scope, symbols: Sequence[str]) -> Sequence[Halt]:
        """Return every halt there ever was of some symbols, oldest first."""
        ...
