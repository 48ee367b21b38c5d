"""The synthetic market as a tick stream."""

import heapq
from collections.abc import Callable, Iterator, Mapping
from itertools import filterfalse

from quantlab.market.quote import Quote
from quantlab.market.synthetic import SyntheticModel, walk


class SyntheticStream:
    """TickStream of seeded walks; a symbol goes on from its last logged price.

    What is quoted while is_shut says that its market is shut is left out.
    """

    def __init__(
        self,
        models: Mapping[str, SyntheticModel],
        seed: int,
        is_shut: Callable[[Quote], bool] | None = None,
    ) -> None:
        self._is_shut = is_shut
        self._models = models
        self._seed = seed

    def quotes(self, start_ns: int, last: Mapping[str, Quote]) -> Iterator[Quote]:
        walks = [
            walk(symbol, model, self._seed, start_ns, _mid_ticks(last.get(symbol)))
            for symbol, model in self._models.items()
        ]
        merged = heapq.merge(*walks, key=lambda quote: quote.ts_ns)
        return merged if self._is_shut is None else filterfalse(self._is_shut, merged)


def _mid_ticks(quote: Quote | None) -> int | None:
    return None if quote is None else (quote.bid_ticks + quote.ask_ticks) // 2
