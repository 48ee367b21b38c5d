"""Rate limits of signals, and the count of attempts nobody can be held to."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from quantlab.kernel.records import dataclass
from quantlab.tenancy.config import RateLimits


@dataclass(frozen=True, slots=True)
class Taken:
    """The answer of the buckets: exceeded names the first that was empty; then none was drawn."""

    stamp: str
    exceeded: str | None
    retry_after_ms: int


class SignalLimits(Protocol):
    """Token buckets per account, bot and tenant, drawn from together or not at all."""

    async def take(self, tenant_id: str, bot_id: str, account_id: str, limits: RateLimits) -> Taken:
        """Draw one token of each bucket."""
        ...

    async def give_back(
        self, tenant_id: str, bot_id: str, account_id: str, limits: RateLimits
    ) -> None:
        """Return the tokens of an attempt that turned out to be a duplicate."""
        ...


@dataclass(frozen=True, slots=True)
class AttemptCount:
    """Unauthenticated attempts of one minute, source and reason."""

    minute_ns: int
    source: str
    reason: str
    attempts: int


class UnauthenticatedAttempts(Protocol):
    """Counted and summarised, so that a flood of them costs a row a minute, not one each."""

    async def count(self, now_ns: int, source: str, reason: str) -> None:
        """Add one attempt; return after the commit."""
        ...

    async def since(self, since_ns: int) -> Sequence[AttemptCount]:
        """Return the counts from a moment on."""
        ...

    async def forget_before(self, before_ns: int) -> int:
        """Delete old counts; return how many rows."""
        ...


SignalTotals = Mapping[str, int]


class SignalCounts(Protocol):
    """The ends of signal attempts, counted in the store."""

    async def totals(self, tenant_id: str) -> SignalTotals:
        """Return how many attempts of the tenant ended in each way.

        The keys are executed, rejected, dead, pending, duplicates and refused.
        """
        ...
