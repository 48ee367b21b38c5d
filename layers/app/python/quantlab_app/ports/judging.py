"""Judging many accounts at once, and watching them: compiled where that is installed."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from quantlab.engine.context import Market
from quantlab.engine.watch import Watch
from quantlab.kernel.records import dataclass
from quantlab.ledger.state import Account
from quantlab_app.ports.accounts import Rulebook

QuickenWatch = Callable[[Watch], Awaitable[Watch]]
FindRulebook = Callable[[Account], Awaitable[Rulebook]]


@dataclass(frozen=True, slots=True)
class Moment:
    """What a checkpoint judges by: its own time, the market, and the instant it was read."""

    checkpoint_ns: int
    market: Market
    now_ns: int


@dataclass(frozen=True, slots=True)
class Swept:
    """What a checkpoint found of a tenant: how many accounts it judged, who needs the writer."""

    judged: int
    asking: Sequence[str]


class Checkpoints(Protocol):
    """Whole tenants judged by the compiled core, and what was found, an entry an account."""

    async def sweep(self, tenant_id: str, moment: Moment, rulebook_of: FindRulebook) -> Swept:
        """Judge every account that is not closed and keep the findings; repeating replaces them."""
        ...

    async def forget(self, tenant_id: str, before_ns: int) -> None:
        """Drop the findings of checkpoints before an instant."""
        ...
