"""What anyone of a tenant may see of the market: the latest quote and the bars of a symbol."""

from collections.abc import Sequence

from quantlab.kernel.records import dataclass
from quantlab.market.bars import MINUTE_NS, Bar
from quantlab.market.catalog import Catalog
from quantlab.market.gate import is_stale
from quantlab.market.instrument import Instrument
from quantlab.market.quote import Quote
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.clock import Clock
from quantlab_app.ports.errors import NotFound
from quantlab_app.ports.market import Bars, Quotes


@dataclass(frozen=True, slots=True)
class QuoteView:
    """A quote, and whether it is too old or too doubtful to trade on, or its market is shut."""

    instrument: Instrument
    quote: Quote
    stale: bool


@dataclass(frozen=True, slots=True)
class BarRange:
    """Up to limit bars of a symbol that start in [from_ns, to_ns).

    Without to_ns the range ends at the feed's present; without from_ns it begins limit minutes
    before its end.
    """

    symbol: str
    from_ns: int | None
    to_ns: int | None
    limit: int


async def read_quote(
    _scope: Scope, symbol: str, catalog: Catalog, quotes: Quotes, clock: Clock
) -> QuoteView:
    """Return the symbol's latest accepted quote; NotFound before there is one."""
    instrument = _instrument(catalog, symbol)
    latest, feed_clock = await quotes.latest_with_clock((symbol,))
    quote = latest.get(symbol)
    if quote is None or feed_clock is None:
        raise NotFound(f"quote of {symbol}")
    now_ns = clock.now_ns()
    feed_now_ns = feed_clock.at(now_ns)
    closed = feed_clock.keeps_hours and not catalog.is_open(instrument, feed_now_ns)
    old = feed_clock.is_silent(now_ns) or is_stale(quote, feed_now_ns, instrument.gate)
    return QuoteView(instrument, quote, closed or old)


async def read_bars(
    _scope: Scope, wanted: BarRange, catalog: Catalog, bars: Bars, quotes: Quotes, clock: Clock
) -> tuple[Instrument, Sequence[Bar]]:
    """Return a range's closed one-minute bars, oldest first, one over the limit if there are."""
    instrument = _instrument(catalog, wanted.symbol)
    to_ns = wanted.to_ns
    if to_ns is None:
        feed_clock = await quotes.feed_clock()
        now_ns = clock.now_ns()
        to_ns = now_ns if feed_clock is None else feed_clock.at(now_ns)
    from_ns = to_ns - wanted.limit * MINUTE_NS if wanted.from_ns is None else wanted.from_ns
    return instrument, await bars.page(wanted.symbol, from_ns, to_ns, wanted.limit + 1)


def _instrument(catalog: Catalog, symbol: str) -> Instrument:
    instrument = catalog.instruments.get(symbol)
    if instrument is None:
        raise NotFound(f"instrument {symbol}")
    return instrument
