"""The recorded ticks of several symbols in the order in which the feed accepted them."""

from collections.abc import AsyncIterator, Mapping, Sequence

from quantlab.market.quote import Quote
from quantlab_app.ports.container import Ports
from quantlab_app.use_cases.backtest_work import recorded


async def history(
    ports: Ports, symbols: Sequence[str], from_ns: int, to_ns: int, after: Mapping[str, int]
) -> AsyncIterator[list[Quote]]:
    """Yield the ticks of [from_ns, to_ns), each symbol's after a number of the feed, in pages."""
    pages = {symbol: recorded(ports, symbol, from_ns, to_ns) for symbol in symbols}
    found: dict[str, list[Quote]] = {symbol: [] for symbol in symbols}
    while pages:
        for symbol in [one for one in pages if not found[one]]:
            page = await anext(pages[symbol], None)
            if page is None:
                del pages[symbol], found[symbol]
                continue
            seq = after.get(symbol, 0)
            found[symbol] = [quote for quote in page if quote.seq > seq]
        if any(not page for page in found.values()):
            continue
        # All that may come of any symbol has a greater number than the least of the last ones.
        until = min((page[-1].seq for page in found.values()), default=0)
        taken = [quote for page in found.values() for quote in page if quote.seq <= until]
        for symbol, page in found.items():
            found[symbol] = [quote for quote in page if quote.seq > until]
        if taken:
            yield sorted(taken, key=lambda quote: quote.seq)
