"""Columns to records: 48 bytes a quote, in ticks and steps; what no gate would believe is left out.

A record is (ts_ns, bid_ticks, ask_ticks, bid_size_steps, ask_size_steps, symbol). Files are kept
as records under the digest of their content, and read from there by mapping.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from quantlab.market.instrument import Instrument
from quantlab_adapters.backtest_data.bars import BARS, STEPS, read_path
from quantlab_adapters.backtest_data.known import known_digest
from quantlab_adapters.backtest_data.sources import (
    QUOTES,
    TIMES,
    UnreadableQuotes,
    read_columns,
)

FORMAT: Final = "2"
WORDS: Final = 6
_OFF_TICK: Final = 1e-3
_CHUNK: Final = 1 << 22
_COLUMNS: Final = frozenset((*TIMES, *QUOTES, *BARS))
_TICKS_MAX: Final = 2.0**53
_STEPS_MAX: Final = 2.0**40
"""Displayed sizes above it are taken for it."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file of a symbol: quotes, or bars that are walked through."""

    path: Path
    is_bars: bool = False


@dataclass(frozen=True, slots=True)
class Records:
    """The quotes of a run, by time; the same instant in the order of symbols, then as in the file.

    refused is how many were left out.
    """

    words: Any
    refused: int
    digest: str


def load(
    sources: Mapping[str, Source], instruments: Mapping[str, Instrument], kept: Path
) -> Records:
    """Read the files of symbols, merged by time; kept is the folder of what was read before."""
    kept.mkdir(parents=True, exist_ok=True)
    parts, refused, names = [], 0, []
    for s, symbol in enumerate(sorted(sources)):
        digest = _digest(sources[symbol], instruments[symbol], kept)
        names.append(digest)
        words, dropped = _kept(kept / f"{digest}.quotes", sources[symbol], instruments[symbol])
        refused += dropped
        parts.append((s, words))
    name = hashlib.sha256("\n".join(names).encode()).hexdigest()
    if len(parts) == 1:
        return Records(parts[0][1], refused, name)
    merged = kept / f"{name}.quotes"
    if not merged.exists():
        _write(merged, _merged(parts))
    return Records(_mapped(merged), refused, name)


def joined(files: Mapping[str, Path]) -> Any:
    """Return the records of files by symbol, as `load` merges them; each file has one at least."""
    parts = [(s, _mapped(files[symbol])) for s, symbol in enumerate(sorted(files))]
    return parts[0][1] if len(parts) == 1 else _merged(parts)


def _kept(file: Path, source: Source, instrument: Instrument) -> tuple[Any, int]:
    count = file.with_suffix(".refused")
    if not file.exists() or not count.exists():
        words, refused = _records(source, instrument)
        if len(words) == 0:
            raise UnreadableQuotes(
                f"{source.path}: expected at least one quote that a gate would believe,"
                f" was none of {refused}"
            )
        count.write_text(str(refused), encoding="ascii")
        _write(file, words)
    return _mapped(file), int(count.read_text(encoding="ascii"))


def _mapped(file: Path) -> Any:
    return np.memmap(file, np.int64, "r").reshape(-1, WORDS)


def _write(file: Path, words: Any) -> None:
    """Write records so that a reader sees all of them or none."""
    partial = file.with_name(f"{file.name}.{os.getpid()}")
    words.tofile(partial)
    partial.replace(file)


def _merged(parts: list[tuple[int, Any]]) -> Any:
    words = np.concatenate([part for _, part in parts])
    begin = 0
    for s, part in parts:
        words[begin : begin + len(part), 5] = s
        begin += len(part)
    return words[np.argsort(words[:, 0], kind="stable")]


def _records(source: Source, instrument: Instrument) -> tuple[Any, int]:
    if source.is_bars:
        columns, good = read_path(source.path)
    else:
        columns = read_columns(source.path)
        good = np.ones(len(columns.ts_ns), np.bool_)
    words = np.zeros((len(columns.ts_ns), WORDS), np.int64)
    words[:, 0] = columns.ts_ns
    words[:, 1] = _ticks(source.path, instrument, columns.bid)
    words[:, 2] = _ticks(source.path, instrument, columns.ask)
    unit = float(instrument.contract_size * instrument.size_step)
    words[:, 3] = np.floor(np.minimum(columns.bid_size / unit, _STEPS_MAX))
    words[:, 4] = np.floor(np.minimum(columns.ask_size / unit, _STEPS_MAX))
    if source.is_bars:
        crossed = (words[:, 2] < words[:, 1]).reshape(-1, STEPS).any(axis=1)
        good &= ~np.repeat(crossed, STEPS)
    else:
        good &= _believed(words, instrument)
    return words[good], int(len(words) - good.sum())


def _ticks(path: Path, instrument: Instrument, prices: Any) -> Any:
    """Return prices as ticks: -1 for those that are no numbers, at most _TICKS_MAX."""
    num, den = instrument.tick.as_integer_ratio()
    exact = np.clip(np.where(np.isfinite(prices), prices * (den / num), -1), -1, _TICKS_MAX)
    ticks = np.rint(exact)
    off = np.flatnonzero(np.abs(exact - ticks) > _OFF_TICK)
    if len(off):
        raise UnreadableQuotes(
            f"{path}: expected prices of {instrument.symbol} on the tick of {instrument.tick},"
            f" was {prices[off[0]]} in row {off[0] + 1}"
        )
    return ticks.astype(np.int64)


def _believed(words: Any, instrument: Instrument) -> Any:
    """Say which quotes the numbers and times of the gate let through: see `market.gate`."""
    ts_ns, bid, ask, bid_size, ask_size = (words[:, at] for at in range(5))
    limits = instrument.gate
    good = (bid > 0) & (ask >= bid) & (ask - bid <= limits.max_spread_ticks)
    if limits.max_locked_ns == 0:
        good &= ask != bid
    good &= (bid_size >= 0) & (ask_size >= 0)
    latest = np.maximum.accumulate(np.where(good, ts_ns, 0))
    return good & (ts_ns >= latest)


def _digest(source: Source, instrument: Instrument, kept: Path) -> str:
    """Return the hash of a file's content and of all that records of it depend on."""
    limits = instrument.gate
    said = repr((
        FORMAT, source.is_bars, instrument.symbol, instrument.tick, instrument.size_step,
        instrument.contract_size, limits.max_spread_ticks, limits.max_locked_ns,
    ))  # fmt: skip
    path = source.path
    if not path.exists():
        raise UnreadableQuotes(f"{path}: expected a file of quotes, or a folder of .npy columns")
    found = sorted(path.glob("*.npy")) if path.is_dir() else [path]
    files = [file for file in found if not path.is_dir() or file.stem in _COLUMNS]
    return known_digest(kept, said, files, lambda: _read_digest(said, path, files))


def _read_digest(said: str, path: Path, files: Sequence[Path]) -> str:
    digest = hashlib.sha256(said.encode())
    for file in files:
        digest.update(file.name.encode() if path.is_dir() else file.suffix.encode())
        with file.open("rb") as content:
            while chunk := content.read(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()[:32]
