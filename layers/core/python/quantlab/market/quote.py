"""Quotes as integers, and the feed's clock they are aged on."""

from quantlab.kernel.records import dataclass

BUY = 1
SELL = -1
PPM = 1_000_000
SILENCE_NS = 10_000_000_000


@dataclass(frozen=True, slots=True)
class Quote:
    """Best bid and ask of a symbol, in ticks; ts_ns on the feed's clock, seq drawn by the feed.

    suspended says that the feed has since refused a quote of the symbol: nothing may trade or be
    judged on this one until the next accepted quote. The sizes are those displayed at the bid and
    the ask, in size steps; 0 when the source gives none.
    """

    symbol: str
    bid_ticks: int
    ask_ticks: int
    ts_ns: int
    seq: int
    suspended: bool = False
    bid_size_steps: int = 0
    ask_size_steps: int = 0

    def price_for(self, side: int) -> int:
        """Return the price, in ticks, that an order of this side (BUY or SELL) trades at."""
        return self.ask_ticks if side == BUY else self.bid_ticks

    def size_for(self, side: int) -> int:
        """Return the displayed size, in steps, that an order of this side can take; 0: unknown."""
        return self.ask_size_steps if side == BUY else self.bid_size_steps


@dataclass(frozen=True, slots=True)
class FeedClock:
    """The feed's time at one wall-clock moment, and how fast it runs from there.

    It runs on when the feed dies, so that the age of its last quotes keeps growing. keeps_hours
    says that the feed's markets open and close by their calendars; one that is made up or replayed
    at another time is open whenever it quotes.
    """

    feed_ts_ns: int
    wall_ts_ns: int
    speed_ppm: int
    keeps_hours: bool = False

    def at(self, wall_now_ns: int) -> int:
        """Return the feed's time at a wall-clock instant; it never runs backwards."""
        elapsed_ns = max(0, wall_now_ns - self.wall_ts_ns)
        return self.feed_ts_ns + elapsed_ns * self.speed_ppm // PPM

    def is_silent(self, wall_now_ns: int) -> bool:
        """Say whether the feed has stopped: it renews its clock every second.

        Then quotes that would still be young enough may have been overtaken unseen.
        """
        return wall_now_ns - self.wall_ts_ns > SILENCE_NS
