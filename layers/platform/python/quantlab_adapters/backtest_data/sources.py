"""Quotes as files hold them: columns of instants, prices and sizes, in doubles, as they stand."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np

MS_NS: Final = 1_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
TIMES: Final = ("ts_ms", "ts_ns", "ts", "timestamp", "time", "time_utc", "date")
QUOTES: Final = ("bid", "ask", "bid_size", "ask_size")
_UNITS_NS: Final = {"s": 10**9, "ms": MS_NS, "us": 1000, "ns": 1}
_LAST_NS: Final = 2**63 - 1


class UnreadableQuotes(ValueError):
    """A file holds no quotes or bars that can be read: where, what was expected, what was found."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Quotes by column: ts_ns, and bid, ask and sizes as doubles; sizes of 0 where there are none.

    Sizes are in units of what the contract is made of.
    """

    ts_ns: Any
    bid: Any
    ask: Any
    bid_size: Any
    ask_size: Any


def read_columns(path: Path) -> Columns:
    """Read the quotes of a csv.gz, csv or Parquet file, or of a folder of .npy columns."""
    found = table(path, QUOTES)
    demand(path, found, ("bid", "ask"))
    ts_ns = instants(path, found)
    none = np.zeros(len(ts_ns))
    bid, ask = (numbers(path, found, name, len(ts_ns)) for name in ("bid", "ask"))
    sizes = (
        np.nan_to_num(numbers(path, found, name, len(ts_ns)), nan=0.0) if name in found else none
        for name in ("bid_size", "ask_size")
    )
    return Columns(ts_ns, bid, ask, *sizes)


def table(path: Path, wanted: Iterable[str]) -> Mapping[str, Any]:
    """Read a file's columns by name, in lower case; of a folder those that are wanted, and times.

    Raises UnreadableQuotes for what is missing, broken, cut off, or names a column twice.
    """
    if path.is_dir():
        known = (*TIMES, *wanted)
        return {name: _array(path / f"{name}.npy") for name in known if _is_in(path, name)}
    if not path.is_file():
        raise UnreadableQuotes(f"{path}: expected a file of quotes, or a folder of .npy columns")
    from pyarrow import ArrowException

    try:
        names, columns = _read_table(path)
    except (ArrowException, OSError) as error:
        raise UnreadableQuotes(f"{path}: expected a whole table of quotes, {error}") from error
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UnreadableQuotes(f"{path}: expected each column once, was {twice} more than once")
    return dict(zip(names, columns, strict=True))


def _is_in(folder: Path, name: str) -> bool:
    return (folder / f"{name}.npy").is_file()


def _array(path: Path) -> Any:
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise UnreadableQuotes(f"{path}: expected a whole .npy column, {error}") from error


def _read_table(path: Path) -> tuple[list[str], list[Any]]:
    if path.suffix == ".parquet":
        from pyarrow import parquet

        read = parquet.read_table(path)
    else:
        from pyarrow import csv

        read = csv.read_csv(path)
    names = [name.strip().lower() for name in read.column_names]
    return names, [read.column(at).to_numpy() for at in range(len(names))]


def demand(path: Path, found: Mapping[str, Any], names: Iterable[str]) -> None:
    """Refuse a file that lacks a column."""
    missing = next((name for name in names if name not in found), None)
    if missing is not None:
        raise UnreadableQuotes(f"{path}: expected a column {missing}, was {', '.join(found)}")


def numbers(path: Path, found: Mapping[str, Any], name: str, rows: int) -> Any:
    """Return a column as doubles, NaN where there is nothing."""
    try:
        column = np.asarray(found[name], np.float64)
    except (ValueError, TypeError) as error:
        raise UnreadableQuotes(f"{path}: expected numbers in {name}, {error}") from error
    if column.shape != (rows,):
        raise UnreadableQuotes(
            f"{path}: expected {rows} values in {name}, one for each instant, was"
            f" {' by '.join(str(size) for size in column.shape)}"
        )
    return column


def instants(path: Path, found: Mapping[str, Any]) -> Any:
    """Return the column of instants as nanoseconds since 1970."""
    name = next((one for one in TIMES if one in found), None)
    if name is None:
        raise UnreadableQuotes(
            f"{path}: expected a column of {', '.join(TIMES)}, was {', '.join(found)}"
        )
    column = np.asarray(found[name])
    if column.dtype.kind == "M":
        return _of_dates(path, name, column)
    if column.dtype.kind in "OU":
        return _from_text(path, name, column)
    if column.dtype.kind in "iu":
        return _scaled(path, name, column, MS_NS if name == "ts_ms" else 1)
    raise UnreadableQuotes(f"{path}: expected instants in {name}, was {column.dtype}")


def _of_dates(path: Path, name: str, column: Any) -> Any:
    nothing = np.flatnonzero(np.isnat(column))
    if len(nothing):
        raise UnreadableQuotes(
            f"{path}: expected instants in {name}, was nothing in row {nothing[0] + 1}"
        )
    unit, count = np.datetime_data(column.dtype)
    if unit not in _UNITS_NS:  # days and longer
        unit, count, column = "s", 1, column.astype("datetime64[s]")
    return _scaled(path, name, column.astype(np.int64), count * _UNITS_NS[unit])


def _scaled(path: Path, name: str, column: Any, factor: int) -> Any:
    """Return counts times factor, from 1970 on and within 64 bits."""
    off = np.flatnonzero((column < 0) | (column > _LAST_NS // factor))
    if len(off):
        raise UnreadableQuotes(
            f"{path}: expected instants from 1970 to 2262 in {name}, counted in {factor} ns,"
            f" was {column[off[0]]} in row {off[0] + 1}"
        )
    return column.astype(np.int64) * factor


def _from_text(path: Path, name: str, column: Any) -> Any:
    """Read ISO instants with an offset of UTC."""
    try:
        moments = [datetime.fromisoformat(str(one)) for one in column]
    except ValueError as error:
        raise UnreadableQuotes(f"{path}: expected ISO instants in {name}, {error}") from error
    if any(one.tzinfo is None for one in moments):
        raise UnreadableQuotes(f"{path}: expected instants with an offset of UTC in {name}")
    since = [(one - _EPOCH) // timedelta(microseconds=1) for one in moments]
    return _scaled(path, name, np.array(since, np.int64), 1000)
