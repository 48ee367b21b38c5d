"""Rows of a CSV file as the events of a strategy that is only looked at: nothing is filled."""

import csv
import gzip
import math
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TextIO

from quantlab.qls.ir import Read
from quantlab_server.refusal import Refusal

TIMES: Final = ("ts_ms", "timestamp", "time")
PRICES: Final = {
    "tick": ("bid", "ask", "bid_size", "ask_size"),
    "bar": ("open", "high", "low", "close", "volume"),
}
"""The columns an event is made of; a tick needs the first two, a bar the first four."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NEEDED: Final = {"tick": 2, "bar": 4}


class RowHost:
    """Gives a strategy one row at a time. There is no account: what no row holds is unknown."""

    def __init__(self, kind: str) -> None:
        self._scope = "quote" if kind == "tick" else "bar"
        self.row = -1
        self.time_ns = 0
        self.values: dict[str, float] = {}

    def read(self, read: Read) -> float | int:
        """Return a value of the row; na or 0 where it has none, the position is always 0."""
        if read.field == "time" and read.scope in {"clock", "bar"}:
            return self.time_ns
        if read.field == "index" and read.scope == "bar":
            return self.row
        if read.scope == "position" and read.field == "size":
            return 0.0
        if read.scope == self._scope and read.symbol == 0:
            return self.values.get(read.field, math.nan)
        return 0 if read.type == "i" else math.nan


def rows(path: Path, kind: str) -> Iterator[RowHost]:
    """Yield the same host for each row of a CSV file, also gzipped. Raises Refusal."""
    try:
        with _opened(path) as file:
            yield from _rows(csv.reader(file), kind, path)
    except (OSError, EOFError, UnicodeDecodeError, csv.Error, zlib.error) as error:
        raise Refusal(f"{path} cannot be read: {error}.") from error


def _opened(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")


def _rows(lines: Iterator[list[str]], kind: str, path: Path) -> Iterator[RowHost]:
    names = [name.strip().lower() for name in next(lines, [])]
    columns = {name: names.index(name) for name in PRICES[kind] if name in names}
    missing = [name for name in PRICES[kind][: _NEEDED[kind]] if name not in columns]
    if missing:
        raise Refusal(f"{path}: expected a first line with a column {missing[0]}, was {names}.")
    time_at = next((names.index(name) for name in TIMES if name in names), -1)
    host = RowHost(kind)
    for number, fields in enumerate(lines, 2):
        if not fields:
            continue
        if len(fields) != len(names):
            raise Refusal(
                f"{path}, line {number}: expected {len(names)} fields, were {len(fields)}."
            )
        host.row += 1
        host.values = {
            name: _number(fields[at], f"{path}, line {number}, column {name}")
            for name, at in columns.items()
        }
        if time_at >= 0:
            host.time_ns = _time(fields[time_at], f"{path}, line {number}")
        yield host


def _number(text: str, where: str) -> float:
    if not text:
        return math.nan
    try:
        return float(text)
    except ValueError:
        raise Refusal(f"{where}: expected a number, was {text[:40]!r}.") from None


def _time(text: str, where: str) -> int:
    """Return nanoseconds since 1970 of milliseconds or an ISO 8601 time, UTC if it has no zone."""
    if text.isascii() and text.isdigit():
        return int(text[:18]) * 1_000_000
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Refusal(
            f"{where}: expected milliseconds or an ISO 8601 time, was {text[:40]!r}."
        ) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // datetime.resolution * 1_000
