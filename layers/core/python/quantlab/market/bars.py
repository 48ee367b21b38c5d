"""One-minute bars of accepted quotes: bid open, high, low, close and the closing ask."""

from quantlab.kernel.check import check
from quantlab.kernel.instants import SECOND_NS
from quantlab.kernel.records import dataclass
from quantlab.market.quote import Quote

MINUTE_NS = 60 * SECOND_NS


@dataclass(frozen=True, slots=True)
class Bar:
    """The bid prices of one symbol in [start_ns, start_ns + one minute), in ticks.

    last_ts_ns and last_seq are those of the bar's last quote, whose ask is close_ask_ticks.
    """

    symbol: str
    start_ns: int
    open_ticks: int
    high_ticks: int
    low_ticks: int
    close_ticks: int
    close_ask_ticks: int
    tick_count: int
    last_ts_ns: int
    last_seq: int


def bar_start(ts_ns: int) -> int:
    """Return the start of the minute that holds the instant."""
    return ts_ns - ts_ns % MINUTE_NS


def add_quote(bar: Bar | None, quote: Quote) -> tuple[Bar, Bar | None]:
    """Add a quote to its symbol's open bar; return the open bar and the one it closed, if any."""
    start_ns = bar_start(quote.ts_ns)
    if bar is None or start_ns > bar.start_ns:
        return _first(quote, start_ns), bar
    check(bar.symbol == quote.symbol, f"quote of {quote.symbol} in a bar of {bar.symbol}")
    check(start_ns == bar.start_ns, f"quote {quote.seq} is older than its open bar")
    bid = quote.bid_ticks
    return Bar(
        bar.symbol,
        start_ns,
        bar.open_ticks,
        max(bar.high_ticks, bid),
        min(bar.low_ticks, bid),
        bid,
        quote.ask_ticks,
        bar.tick_count + 1,
        quote.ts_ns,
        quote.seq,
    ), None


def _first(quote: Quote, start_ns: int) -> Bar:
    bid = quote.bid_ticks
    return Bar(
        symbol=quote.symbol,
        start_ns=start_ns,
        open_ticks=bid,
        high_ticks=bid,
        low_ticks=bid,
        close_ticks=bid,
        close_ask_ticks=quote.ask_ticks,
        tick_count=1,
        last_ts_ns=quote.ts_ns,
        last_seq=quote.seq,
    )
