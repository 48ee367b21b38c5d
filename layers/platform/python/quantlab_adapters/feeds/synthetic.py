"""The synthetic market as a tick stream."""

import heapq
from collections.abc import Iterator, Mapping

from quantlab.market.quote import Quote
from quantlab.market.synthetic import SyntheticModel, walk


class SyntheticStream:
    """TickStream of seeded walks; a symbol goes on from its last logged price."""

    def __init__(self, models: Mapping[str, SyntheticModel], seed: int) -> None:
        self._models = models
        self._seed = seed

    def quotes(self, start_ns: int, last: Mapping[str, Quote]) -> Iterator[Quote]:
        walks = [
            walk(symbol, model, self._seed, start_ns, _mid_ticks(last.get(symbol)))
            for symbol, model in self._models.items()
        ]
        return heapq.merge(*walks, key=lambda quote: quote.ts_ns)


def _mid_ticks(quote: Quote | None) -> int | None:
    return None if quote is None else (quote.bid_ticks + quote.ask_ticks) // 2
