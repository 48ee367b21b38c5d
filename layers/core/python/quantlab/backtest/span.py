"""How much time a run covers."""

from quantlab.kernel.records import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """What a block must know of the data: its first and last instant."""

    first_ns: int
    last_ns: int
