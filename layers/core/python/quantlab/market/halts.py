"""Halts: spans of time in which a tenant lets nothing of an instrument trade."""

from collections.abc import Iterable

from quantlab.kernel.records import dataclass


@dataclass(frozen=True, slots=True)
class Halt:
    """A halt after from_ns, and up to until_ns where it has ended; wall-clock nanoseconds."""

    symbol: str
    reason: str
    from_ns: int
    until_ns: int | None = None

    def holds(self, now_ns: int) -> bool:
        """Say whether it holds at an instant: what was decided at its first still went before."""
        return self.from_ns < now_ns and (self.until_ns is None or now_ns <= self.until_ns)


def halted_at(halts: Iterable[Halt], now_ns: int) -> dict[str, str]:
    """Return the reasons of the halts that hold at an instant, by symbol."""
    return {halt.symbol: halt.reason for halt in halts if halt.holds(now_ns)}
