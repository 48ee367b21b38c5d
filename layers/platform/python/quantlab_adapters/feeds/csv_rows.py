"""Quotes in csv or csv.gz: ticks with `ts_ms,bid,ask`, or minute bars of quotes.

Ticks may have `bid_size,ask_size` as well, in lots. A bar is the quote at its end: the closes of
`bid_*` and `ask_*` with their sizes, one minute after `time_utc`. An empty cell is a side without
a quote.
"""

import datetime as dt
import gzip
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple, TextIO

from quantlab.kernel.decimals import parse_decimal
from quantlab_adapters.feeds.rows import MILLISECOND_NS, Row
from quantlab_app.ports.errors import Misconfigured

SUFFIXES = (".csv", ".csv.gz")
TICKS = ("ts_ms", "bid", "ask")
SIZES = ("bid_size", "ask_size")
BARS = ("time_utc", "contract", "bid_close", "ask_close", *SIZES)
HEADERS = "ts_ms,bid,ask[,bid_size,ask_size] or minute bars of quotes"
MINUTE_NS = 60_000 * MILLISECOND_NS
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class _Layout(NamedTuple):
    """Which cell of a row is what; None where the file has no such column."""

    header: str
    time: int
    read_time: Callable[[str], int | None]
    prices: tuple[int, int]
    sizes: tuple[int, int] | None
    contract: int | None
    width: int


class CsvTicks:
    """A file of quotes; of one contract where its rows name contracts."""

    def __init__(self, path: Path, contract: str | None) -> None:
        self._path = path
        self._contract = contract

    def check(self) -> None:
        """Raise Misconfigured when a contract is to be said, or is said where there are none."""
        with self._open() as lines:
            layout = _layout(self._path, next(lines, "").strip())
            if layout.contract is None and self._contract is not None:
                raise Misconfigured(f"feed: {self._path}: expected no contract=, it names none")
            if layout.contract is None:
                return
            column = layout.contract
            contracts = {cells[column] for line in lines if len(cells := line.split(",")) > column}
            if self._contract not in contracts:
                raise Misconfigured(
                    f"feed: {self._path}: expected contract= one of"
                    f" {', '.join(sorted(contracts))}, got {self._contract or 'none'}"
                )

    def rows(self) -> Iterator[Row]:
        """Yield the rows in their order; Misconfigured names one that is none."""
        with self._open() as lines:
            try:
                layout = _layout(self._path, next(lines, "").strip())
                for number, line in enumerate(lines, 2):
                    cells = line.rstrip("\r\n").split(",")
                    if layout.contract is not None and not self._is_ours(layout.contract, cells):
                        continue
                    row = _row(layout, cells)
                    if row is None:
                        where = f"{self._path}: line {number}"
                        got = repr(line.rstrip("\r\n"))
                        expected = f"{layout.header} as numbers"
                        raise Misconfigured(f"{where}: expected {expected}, got {got}")
                    yield row
            except (EOFError, gzip.BadGzipFile, UnicodeDecodeError) as error:
                expected = "expected an intact file"
                raise Misconfigured(f"{self._path}: {expected}, got: {error}") from error

    def _is_ours(self, column: int, cells: Sequence[str]) -> bool:
        return len(cells) <= column or cells[column] == self._contract

    def _open(self) -> TextIO:
        path = self._path
        return gzip.open(path, "rt") if path.suffix == ".gz" else path.open()


def _layout(path: Path, header: str) -> _Layout:
    names = header.split(",")
    at = {name: index for index, name in enumerate(names)}
    if names in (list(TICKS), [*TICKS, *SIZES]):
        sizes = (3, 4) if len(names) > len(TICKS) else None
        return _Layout(header, 0, _milliseconds, (1, 2), sizes, None, len(names))
    if set(BARS) <= at.keys():
        prices = at["bid_close"], at["ask_close"]
        sizes = at["bid_size"], at["ask_size"]
        end, contract = at["time_utc"], at["contract"]
        return _Layout(header, end, _bar_end, prices, sizes, contract, len(names))
    raise Misconfigured(f"{path}: line 1: expected {HEADERS}, got {header!r}")


def _row(layout: _Layout, cells: Sequence[str]) -> Row | None:
    if len(cells) != layout.width:
        return None
    ts_ns = layout.read_time(cells[layout.time])
    numbers = [_number(cells[index]) for index in layout.prices + (layout.sizes or ())]
    if ts_ns is None or any(isinstance(number, str) for number in numbers):
        return None
    values = [number for number in numbers if not isinstance(number, str)]
    bid, ask, bid_size, ask_size = (*values, None, None)[:4]
    return Row(ts_ns, bid, ask, None, bid_size, ask_size)


def _number(cell: str) -> Decimal | str | None:
    """Read a cell: None when it is empty, the text itself when it is no number."""
    if not cell:
        return None
    number = parse_decimal(cell)
    return cell if number is None else number


def _milliseconds(cell: str) -> int | None:
    return int(cell) * MILLISECOND_NS if cell.isascii() and cell.isdecimal() else None


def _bar_end(cell: str) -> int | None:
    try:
        opened = dt.datetime.fromisoformat(cell).replace(tzinfo=dt.UTC)
    except ValueError:
        return None
    return (opened - EPOCH) // dt.timedelta(milliseconds=1) * MILLISECOND_NS + MINUTE_NS
