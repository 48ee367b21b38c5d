"""When a market is open: sessions as data, looked up by bisection.

It must not know where the sessions come from; a calendar knows nothing beyond the span it was made
for, and there no market is open.
"""

from bisect import bisect_right
from collections.abc import Mapping
from itertools import chain
from operator import ge, gt
from typing import Any, NamedTuple

from quantlab.kernel.instants import SECOND_NS
from quantlab.kernel.records import dataclass
from quantlab.market.document import CatalogError, Node

DAY_NS = 86_400 * SECOND_NS
FORMAT = 1


class Session(NamedTuple):
    """The half-open span [open_ns, close_ns) in nanoseconds since 1970 UTC."""

    open_ns: int
    close_ns: int


@dataclass(frozen=True, slots=True)
class Calendar:
    """The sessions of a market, in order and apart. Two may touch: then a trading day ends there.

    A calendar that is always open has a session from each midnight UTC to the next.
    """

    name: str
    source: str
    opens_ns: tuple[int, ...] = ()
    closes_ns: tuple[int, ...] = ()
    always: bool = False

    def session_of(self, ts_ns: int) -> Session | None:
        """Return the session that holds the instant; None when the market is closed."""
        if self.always:
            open_ns = ts_ns - ts_ns % DAY_NS
            return Session(open_ns, open_ns + DAY_NS)
        index = bisect_right(self.opens_ns, ts_ns) - 1
        if index < 0 or ts_ns >= self.closes_ns[index]:
            return None
        return Session(self.opens_ns[index], self.closes_ns[index])

    def is_open(self, ts_ns: int) -> bool:
        """Say whether the market is open at the instant."""
        return self.session_of(ts_ns) is not None

    def next_open(self, ts_ns: int) -> int | None:
        """Return the first opening after the instant; None when none is known."""
        if self.always:
            return ts_ns - ts_ns % DAY_NS + DAY_NS
        index = bisect_right(self.opens_ns, ts_ns)
        return self.opens_ns[index] if index < len(self.opens_ns) else None

    def next_close(self, ts_ns: int) -> int | None:
        """Return the first close after the instant; None when none is known.

        That is where an order for the day ends, whether given in a session or before one.
        """
        if self.always:
            return ts_ns - ts_ns % DAY_NS + DAY_NS
        index = bisect_right(self.closes_ns, ts_ns)
        return self.closes_ns[index] if index < len(self.closes_ns) else None


def parse_calendar(document: Mapping[str, Any]) -> Calendar:
    """Read a calendar's document; CatalogError says where it is none."""
    node = Node("", document)
    node.only("format", "calendar", "source", "timeZoneData", "always", "sessions")
    node.integer("format", FORMAT, FORMAT)
    name, source = node.text("calendar", r"[a-z0-9_]{1,40}"), node.text("source")
    if document.get("always") is True:
        return Calendar(name, source, always=True)
    pairs = _list(document.get("sessions"))
    _hold_to_sessions(pairs)
    if not pairs:
        raise CatalogError("/sessions", "a list of sessions", repr(document.get("sessions")))
    opens_ns, closes_ns = (tuple([pair[side] * SECOND_NS for pair in pairs]) for side in (0, 1))
    return Calendar(name, source, opens_ns, closes_ns)


def _hold_to_sessions(pairs: list[Any]) -> None:
    """Refuse what are no sessions in order; the good ones, thousands, are looked at together."""
    if set(map(type, pairs)) == {list} and set(map(len, pairs)) == {2}:
        seconds = [0, *chain.from_iterable(pairs)]
        opens, closes, ends_before = seconds[1::2], seconds[2::2], seconds[:-1:2]
        if set(map(type, seconds)) == {int} and not (
            any(map(ge, opens, closes)) or any(map(gt, ends_before, opens))
        ):
            return
    last = 0
    for index, pair in enumerate(pairs):
        if not _is_session(pair, last):
            expected = f"[open, close] in seconds since 1970, at or after {last}"
            raise CatalogError(f"/sessions/{index}", expected, repr(pair))
        last = pair[1]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_session(pair: Any, after: int) -> bool:
    if not isinstance(pair, list) or [type(second) for second in pair] != [int, int]:
        return False
    return bool(after <= pair[0] < pair[1])
