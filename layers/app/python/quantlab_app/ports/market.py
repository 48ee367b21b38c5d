"""What the market rooms need from the world: tick sources, quotes, the tick log, bars, archive.

Quotes are global data: these ports take no tenant.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from quantlab.kernel.records import dataclass
from quantlab.market.bars import Bar
from quantlab.market.quote import FeedClock, Quote


@dataclass(frozen=True, slots=True)
class FeedBatch:
    """What one turn of the feed makes public, in one go.

    accepted are stored and told to subscribers. latest are quotes of before that a store may have
    lost, which are stored only, or that are suspended now, which subscribers are told as well.
    refusals counts refused quotes by symbol and reason since the batch before.
    """

    clock: FeedClock
    accepted: Sequence[Quote] = ()
    latest: Sequence[Quote] = ()
    refusals: Mapping[tuple[str, str], int] | None = None
    closed_bars: Sequence[Bar] = ()
    open_bars: Sequence[Bar] = ()


@dataclass(frozen=True, slots=True)
class QuoteRefusals:
    """Refused quotes of one symbol for one reason, summed up to ts_ns on the feed's clock."""

    symbol: str
    reason: str
    count: int
    ts_ns: int


@dataclass(frozen=True, slots=True)
class TickSegment:
    """A sealed piece of the tick log: first and last tick, and the digest of its file's bytes."""

    symbol: str
    from_seq: int
    to_seq: int
    from_ts_ns: int
    to_ts_ns: int
    rows: int
    digest: str
    object_key: str


class TickSource(Protocol):
    """Where ticks come from, paced on the feed's clock."""

    @property
    def speed_ppm(self) -> int:
        """Return how fast the feed's clock runs, in millionths of the wall clock's speed."""
        ...

    @property
    def keeps_hours(self) -> bool:
        """Say whether its markets open and close by their calendars; see FeedClock."""
        ...

    async def open(self, start_ns: int, last: Mapping[str, Quote]) -> None:
        """Begin at start_ns on the feed's clock; last is the last logged quote of each symbol."""
        ...

    def now_ns(self) -> int:
        """Return the feed's time."""
        ...

    async def next_batch(self, timeout_s: float) -> Sequence[Quote] | None:
        """Return all quotes that are due, none after the timeout, None when no more will come.

        Their seq is not drawn yet.
        """
        ...


class QuoteSink(Protocol):
    """Where judged quotes become public."""

    async def publish(self, batch: FeedBatch) -> None:
        """Store the latest quotes and the clock, count refusals and tell subscribers."""
        ...


class Quotes(Protocol):
    """The latest accepted quotes."""

    async def latest(self, symbols: Sequence[str]) -> dict[str, Quote]:
        """Return the last accepted quote of each symbol that has one; see Quote.suspended."""
        ...

    async def feed_clock(self) -> FeedClock | None:
        """Return the feed's clock; None before a feed has ever run."""
        ...

    async def latest_with_clock(
        self, symbols: Sequence[str]
    ) -> tuple[dict[str, Quote], FeedClock | None]:
        """Return both of the above in one round trip."""
        ...

    async def refusals(self) -> dict[tuple[str, str], int]:
        """Return how many quotes were ever refused, by symbol and reason."""
        ...

    def subscribe(self) -> AsyncIterator[Quote]:
        """Yield accepted quotes as they are published, and each again when it is suspended.

        A slow reader may miss some.
        """
        ...


class TickLog(Protocol):
    """Every accepted tick, append-only; written before a tick is published. One writer."""

    async def open(self) -> None:
        """Become the one writer; Conflict when another process is."""
        ...

    async def close(self) -> None:
        """Give the writer's place back."""
        ...

    async def append(self, quotes: Sequence[Quote]) -> None:
        """Write accepted quotes; repeating a call changes nothing."""
        ...

    async def last_quotes(self, symbols: Sequence[str]) -> dict[str, Quote]:
        """Return the last logged quote of each symbol."""
        ...

    async def page(
        self, symbol: str, from_ts_ns: int, after_seq: int, limit: int
    ) -> Sequence[Quote]:
        """Return a symbol's ticks from an instant and after a sequence number, oldest first."""
        ...

    async def holds(self, symbol: str, from_ts_ns: int, after_seq: int, rows: int) -> bool:
        """Say whether at least that many ticks would follow in pages from there."""
        ...

    async def count(
        self, symbol: str, from_ts_ns: int, to_ts_ns: int, after_seq: int, limit: int
    ) -> int:
        """Count a symbol's ticks in [from_ts_ns, to_ts_ns) and after a seq, up to the limit."""
        ...

    async def drop_ticks_before(self, ts_ns: int) -> int:
        """Drop whole days that end before the instant and are archived; return how many."""
        ...


class TickSegments(Protocol):
    """The append-only register of sealed segments."""

    async def last(self, symbol: str) -> TickSegment | None:
        """Return the symbol's newest segment."""
        ...

    async def between(self, symbol: str, from_ts_ns: int, to_ts_ns: int) -> Sequence[TickSegment]:
        """Return the segments that have ticks in [from_ts_ns, to_ts_ns), oldest first."""
        ...

    async def add(self, segment: TickSegment) -> None:
        """Register a segment; Conflict when it is registered already."""
        ...


class TickArchive(Protocol):
    """Write-once storage of tick files."""

    async def store(self, object_key: str, quotes: Sequence[Quote]) -> str:
        """Store the ticks durably under the key and return the SHA-256 of the bytes, in hex.

        An object that no register names, left by a crash, is replaced.
        """
        ...

    async def load(self, object_key: str) -> Sequence[Quote]:
        """Read the ticks of an object back."""
        ...


class Bars(Protocol):
    """Closed one-minute bars."""

    async def upsert(self, bars: Sequence[Bar]) -> None:
        """Write bars; a bar that is there is replaced."""
        ...

    async def last_starts(self, symbols: Sequence[str]) -> dict[str, int]:
        """Return the start of the newest bar of each symbol that has one."""
        ...

    async def page(self, symbol: str, from_ns: int, to_ns: int, limit: int) -> Sequence[Bar]:
        """Return the first bars that start in [from_ns, to_ns), oldest first."""
        ...

    async def last_quote_before(self, symbol: str, ts_ns: int) -> Quote | None:
        """Return the last accepted quote before an instant: of the ticks, else of a closed bar."""
        ...
