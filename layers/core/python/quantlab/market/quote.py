"""Quotes as integers, and the text other parts exchange them in."""

from dataclasses import dataclass

BUY = 1
SELL = -1


@dataclass(frozen=True, slots=True)
class Quote:
    """Best bid and ask of a symbol, in ticks; ts_ns on the feed's clock, seq drawn by the feed."""

    symbol: str
    bid_ticks: int
    ask_ticks: int
    ts_ns: int
    seq: int

    def price_for(self, side: int) -> int:
        """Return the price, in ticks, that an order of this side (BUY or SELL) trades at."""
        return self.ask_ticks if side == BUY else self.bid_ticks
