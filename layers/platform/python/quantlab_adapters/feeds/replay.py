"""Recorded quote ticks as a stream: csv(.gz), see csv_rows, or Parquet, shifted in time.

The first tick is due when the feed begins; distances in time stay as recorded. A loop goes on
after the last tick. Prices between two ticks of the instrument are rounded half to even and
counted; sizes are rounded down to size steps, but not to none.
"""

from collections.abc import Callable, Iterator, Mapping
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal
from pathlib import Path

import structlog

from quantlab.market.instrument import Instrument
from quantlab.market.quote import Quote
from quantlab_adapters.feeds.csv_rows import SUFFIXES, CsvTicks
from quantlab_adapters.feeds.rows import ParquetTicks, Row
from quantlab_app.ports.errors import Misconfigured

LOOP_PAUSE_NS = 1_000_000_000
EXACT = Context(prec=60)
SIZE_MAX = (1 << 53) - 1

_log = structlog.get_logger("quantlab.feed")


class ReplayStream:
    """TickStream of one file. find names the instrument of a ticker in the file."""

    def __init__(
        self,
        path: Path,
        find: Callable[[str], Instrument | None],
        *,
        symbol: str | None = None,
        contract: str | None = None,
        loop: bool = False,
    ) -> None:
        self._path = path
        self._contract = contract
        self._find = find
        self._loop = loop
        if not path.is_file():
            raise Misconfigured(f"feed: expected a file of ticks, got {path}")
        self._fixed = symbol if symbol is not None or self._names_symbols() else _prefix(path)
        self._instruments: dict[str | None, Instrument] = {}
        self.rounded = 0
        if path.name.endswith(SUFFIXES):
            CsvTicks(path, contract).check()
        self.symbols = frozenset(self._instrument(t).symbol for t in self._tickers())

    def quotes(self, start_ns: int, last: Mapping[str, Quote]) -> Iterator[Quote]:  # noqa: ARG002
        next_start_ns = start_ns
        while True:
            shift_ns: int | None = None
            newest_ns = next_start_ns
            for row in self._rows():
                if shift_ns is None:
                    shift_ns = next_start_ns - row.ts_ns
                # Rows that run backwards keep their time: the gate refuses and counts them.
                ts_ns = row.ts_ns + shift_ns
                newest_ns = max(newest_ns, ts_ns)
                yield self._quote(row, ts_ns)
            if self.rounded:
                _log.warning("replay rounded prices", file=str(self._path), prices=self.rounded)
            if not self._loop or shift_ns is None:
                return
            next_start_ns = newest_ns + LOOP_PAUSE_NS

    def _quote(self, row: Row, ts_ns: int) -> Quote:
        instrument = self._instrument(self._fixed or row.ticker)
        bid, ask = self._ticks(row.bid, instrument), self._ticks(row.ask, instrument)
        return Quote(
            instrument.symbol,
            bid,
            ask,
            ts_ns,
            0,
            bid_size_steps=_steps(row.bid_size, instrument),
            ask_size_steps=_steps(row.ask_size, instrument),
        )

    def _ticks(self, price: Decimal | None, instrument: Instrument) -> int:
        """Return a price in ticks; 0, which the gate refuses, where there is none."""
        if price is None:
            return 0
        exact = EXACT.divide(price, instrument.tick)
        whole = exact.to_integral_value(rounding=ROUND_HALF_EVEN, context=EXACT)
        if whole != exact:
            self.rounded += 1
        return int(whole)

    def _instrument(self, ticker: str | None) -> Instrument:
        known = self._instruments.get(ticker)
        if known is not None:
            return known
        instrument = None if ticker is None else self._find(ticker)
        if instrument is None:
            raise Misconfigured(
                f"feed: {self._path}: expected the ticker of an instrument in the catalogue"
                f" (say which with symbol=), got {ticker!r}"
            )
        self._instruments[ticker] = instrument
        return instrument

    def _tickers(self) -> list[str | None]:
        if self._fixed is not None:
            return [self._fixed]
        return parquet(self._path).tickers()

    def _names_symbols(self) -> bool:
        return self._path.suffix == ".parquet" and parquet(self._path).names_symbols

    def _rows(self) -> Iterator[Row]:
        if self._path.suffix == ".parquet":
            return parquet(self._path).rows()
        if self._path.name.endswith(SUFFIXES):
            return CsvTicks(self._path, self._contract).rows()
        expected = ", ".join((*SUFFIXES, ".parquet"))
        raise Misconfigured(f"feed: {self._path}: expected one of {expected}")


def parquet(path: Path) -> ParquetTicks:
    """Open a Parquet file of ticks."""
    from quantlab_adapters.feeds.parquet import ParquetFileTicks  # noqa: PLC0415 - 40 MB only the feed needs

    return ParquetFileTicks(path)


def _prefix(path: Path) -> str:
    return path.name.partition(".")[0].partition("_")[0]


def _steps(size: Decimal | None, instrument: Instrument) -> int:
    """Return a displayed size in whole steps, at least one; 0 says that none is displayed."""
    if not size:
        return 0
    exact = EXACT.divide(size, instrument.size_step)
    steps = int(exact.to_integral_value(rounding=ROUND_FLOOR, context=EXACT))
    return steps if steps < 0 else min(max(steps, 1), SIZE_MAX)
