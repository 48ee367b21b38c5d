"""Ticks in Parquet, read and written. The only module that loads pyarrow, and loaded on need."""

import io
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from quantlab.market.quote import Quote
from quantlab_adapters.feeds.rows import MILLISECOND_NS, Row
from quantlab_app.ports.errors import Misconfigured

BATCH_ROWS = 4096
TIME_COLUMNS = ("timestamp", "ts_ms")
SIZES = ("bid_size", "ask_size")
UNITS_NS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
SEGMENT = pa.schema(
    [
        pa.field("symbol", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("seq", pa.int64(), nullable=False),
        pa.field("ts_ns", pa.int64(), nullable=False),
        pa.field("bid_ticks", pa.int64(), nullable=False),
        pa.field("ask_ticks", pa.int64(), nullable=False),
        pa.field("bid_size_steps", pa.int64(), nullable=False),
        pa.field("ask_size_steps", pa.int64(), nullable=False),
    ]
)


class ParquetFileTicks:
    """ParquetTicks of one file with columns timestamp or ts_ms, bid and ask.

    It may have columns symbol, bid_size and ask_size as well.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._schema = pq.read_schema(path)
        except pa.ArrowInvalid as error:
            raise Misconfigured(f"{path}: expected a Parquet file, got: {error}") from error
        self._path = path
        self.names_symbols = "symbol" in self._schema.names

    def tickers(self) -> list[str | None]:
        column = pq.read_table(self._path, columns=["symbol"]).column("symbol")
        return list(pc.unique(column).to_pylist())

    def rows(self) -> Iterator[Row]:
        path, names = self._path, self._schema.names
        time_column = next((name for name in TIME_COLUMNS if name in names), None)
        if time_column is None or not {"bid", "ask"} <= set(names):
            expected = f"columns {' or '.join(TIME_COLUMNS)}, bid and ask"
            raise Misconfigured(f"{path}: expected {expected}, got {', '.join(names)}")
        columns = (time_column, "bid", "ask", "symbol", *SIZES)
        wanted = [name for name in columns if name in names]
        number = 0
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=wanted):
                yield from self._batch_rows(batch, time_column, number)
                number += batch.num_rows

    def _batch_rows(self, batch: pa.RecordBatch, time_column: str, before: int) -> Iterator[Row]:
        unit_ns = _unit_ns(self._schema.field(time_column).type)
        times = batch.column(time_column).cast(pa.int64()).to_pylist()
        cells = [
            batch.column(name).to_pylist() if name in batch.schema.names else [None] * len(times)
            for name in ("symbol", "bid", "ask", *SIZES)
        ]
        lines = zip(times, *cells, strict=True)
        for number, (ts, ticker, *values) in enumerate(lines, before + 1):
            where = f"{self._path}: row {number}"
            if ts is None:
                raise Misconfigured(f"{where}: expected a {time_column}, got none")
            bid, ask, bid_size, ask_size = (_number(where, value) for value in values)
            yield Row(ts * unit_ns, bid, ask, ticker, bid_size, ask_size)


def encode(quotes: Sequence[Quote]) -> bytes:
    """Return the Parquet bytes of the quotes."""
    columns: list[pa.Array] = [
        pa.array([quote.symbol for quote in quotes]).dictionary_encode(),
        pa.array([quote.seq for quote in quotes], pa.int64()),
        pa.array([quote.ts_ns for quote in quotes], pa.int64()),
        pa.array([quote.bid_ticks for quote in quotes], pa.int64()),
        pa.array([quote.ask_ticks for quote in quotes], pa.int64()),
        pa.array([quote.bid_size_steps for quote in quotes], pa.int64()),
        pa.array([quote.ask_size_steps for quote in quotes], pa.int64()),
    ]
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns, schema=SEGMENT), buffer, compression="zstd")
    return buffer.getvalue()


def decode(segment: Path | bytes) -> list[Quote]:
    """Read the quotes of a segment: of its file, or of its bytes."""
    source = segment if isinstance(segment, Path) else pa.BufferReader(segment)
    # Segments sealed before quotes had sizes have no columns for them: Quote's own 0 holds.
    return [Quote(**row) for row in pq.read_table(source).to_pylist()]


def _unit_ns(kind: pa.DataType) -> int:
    return UNITS_NS[kind.unit] if pa.types.is_timestamp(kind) else MILLISECOND_NS


def _number(where: str, value: Any) -> Decimal | None:
    """Read the shortest decimal that names the stored number; null and not-a-number are none."""
    if value is None or value != value:  # noqa: PLR0124 - only not-a-number differs from itself
        return None
    number = Decimal(repr(value)) if isinstance(value, float | int) else value
    if not isinstance(number, Decimal) or not number.is_finite():
        raise Misconfigured(f"{where}: expected a number, got {value!r}")
    return number
