"""Ticks as the feed numbered them, to be looked up as they stood at any moment."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

from quantlab.market.quote import Quote


class Tape:
    """Ticks by symbol in the feed's order; within a symbol time grows with the seq."""

    def __init__(self, quotes: Iterable[Quote]) -> None:
        self._ticks: dict[str, list[Quote]] = {}
        for quote in sorted(set(quotes), key=_seq):
            self._ticks.setdefault(quote.symbol, []).append(quote)

    def ticks(self) -> list[Quote]:
        """Return all ticks in the feed's order."""
        return sorted((one for ticks in self._ticks.values() for one in ticks), key=_seq)

    def at(self, symbol: str, seq: int) -> Quote | None:
        """Return the tick with this seq."""
        quote = self._last(symbol, bisect_right(self._ticks.get(symbol, ()), seq, key=_seq))
        return quote if quote is not None and quote.seq == seq else None

    def latest(self, feed_seq: int) -> dict[str, Quote]:
        """Return the last tick of each symbol up to a seq."""
        found = (
            self._last(symbol, bisect_right(ticks, feed_seq, key=_seq))
            for symbol, ticks in self._ticks.items()
        )
        return {quote.symbol: quote for quote in found if quote is not None}

    def before(self, ts_ns: int) -> dict[str, Quote]:
        """Return the last tick of each symbol before an instant."""
        found = (
            self._last(symbol, bisect_left(ticks, ts_ns, key=_time))
            for symbol, ticks in self._ticks.items()
        )
        return {quote.symbol: quote for quote in found if quote is not None}

    def _last(self, symbol: str, end: int) -> Quote | None:
        return self._ticks[symbol][end - 1] if end else None


def _seq(quote: Quote) -> int:
    return quote.seq


def _time(quote: Quote) -> int:
    return quote.ts_ns
