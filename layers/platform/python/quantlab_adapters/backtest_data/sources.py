"""Quotes as files hold them: columns of instants, prices and sizes, in doubles, as they stand."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np

MS_NS: Final = 1_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TIMES: Final = ("ts_ms", "ts_ns", "ts", "timestamp", "time")


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
    """Read a csv.gz, csv or Parquet file, or a folder of .npy columns."""
    if path.is_dir():
        return _quotes(path, {one.stem: np.load(one) for one in sorted(path.glob("*.npy"))})
    return _quotes(path, table(path))


def table(path: Path) -> Mapping[str, Any]:
    """Read a file's columns by name."""
    if not path.is_file():
        raise UnreadableQuotes(f"{path}: expected a file of quotes, or a folder of .npy columns")
    if path.suffix == ".parquet":
        from pyarrow import parquet

        read = parquet.read_table(path)
    else:
        from pyarrow import ArrowInvalid, csv

        try:
            read = csv.read_csv(path)
        except ArrowInvalid as error:
            raise UnreadableQuotes(f"{path}: expected a table of quotes, {error}") from error
    return {name: read.column(name).to_numpy() for name in read.column_names}


def _quotes(path: Path, found: Mapping[str, Any]) -> Columns:
    for name in ("bid", "ask"):
        if name not in found:
            raise UnreadableQuotes(f"{path}: expected a column {name}, was {', '.join(found)}")
    ts_ns = instants(path, found)
    none = np.zeros(len(ts_ns))
    return Columns(
        ts_ns,
        np.asarray(found["bid"], np.float64),
        np.asarray(found["ask"], np.float64),
        np.asarray(found.get("bid_size", none), np.float64),
        np.asarray(found.get("ask_size", none), np.float64),
    )


def instants(path: Path, found: Mapping[str, Any]) -> Any:
    """Return the column of instants as nanoseconds since 1970."""
    name = next((one for one in _TIMES if one in found), None)
    if name is None:
        raise UnreadableQuotes(
            f"{path}: expected a column of {', '.join(_TIMES)}, was {', '.join(found)}"
        )
    column = np.asarray(found[name])
    if column.dtype.kind == "M":
        return column.astype("datetime64[ns]").astype(np.int64)
    if column.dtype.kind == "O":
        return _from_text(path, name, column)
    if column.dtype.kind in "iu":
        return column.astype(np.int64) * (MS_NS if name == "ts_ms" else 1)
    raise UnreadableQuotes(f"{path}: expected instants in {name}, was {column.dtype}")


def _from_text(path: Path, name: str, column: Any) -> Any:
    """Read ISO instants with an offset of UTC."""
    try:
        moments = [datetime.fromisoformat(str(one)) for one in column]
    except ValueError as error:
        raise UnreadableQuotes(f"{path}: expected ISO instants in {name}, {error}") from error
    if any(one.tzinfo is None for one in moments):
        raise UnreadableQuotes(f"{path}: expected instants with an offset of UTC in {name}")
    since = [(one - _EPOCH) // timedelta(microseconds=1) for one in moments]
    return np.array(since, np.int64) * 1000
