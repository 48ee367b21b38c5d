"""One recorded quote, whatever the format of its file."""

from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple, Protocol

MILLISECOND_NS = 1_000_000


class Row(NamedTuple):
    """One recorded quote. A price or size is None where the file gives none; sizes are in lots."""

    ts_ns: int
    bid: Decimal | None
    ask: Decimal | None
    ticker: str | None = None
    bid_size: Decimal | None = None
    ask_size: Decimal | None = None


class ParquetTicks(Protocol):
    """A Parquet file of ticks, without the library that reads it."""

    names_symbols: bool

    def tickers(self) -> list[str | None]:
        """Return each ticker that its column `symbol` names."""
        ...

    def rows(self) -> Iterator[Row]:
        """Yield its rows in their order."""
        ...
