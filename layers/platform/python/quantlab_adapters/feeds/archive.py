"""Tick segments as Parquet files in a local folder, written whole or not at all."""

import asyncio
import hashlib
import io
import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from quantlab.market.quote import Quote
from quantlab_app.ports.errors import Misconfigured, NotFound

SCHEMA = pa.schema(
    [
        pa.field("symbol", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("seq", pa.int64(), nullable=False),
        pa.field("ts_ns", pa.int64(), nullable=False),
        pa.field("bid_ticks", pa.int64(), nullable=False),
        pa.field("ask_ticks", pa.int64(), nullable=False),
    ]
)
READ_ONLY = 0o444


class FolderTickArchive:
    """TickArchive port: read-only files below one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def store(self, object_key: str, quotes: Sequence[Quote]) -> str:
        content = await asyncio.to_thread(encode, quotes)
        await asyncio.to_thread(_write, self._path(object_key), content)
        return hashlib.sha256(content).hexdigest()

    async def load(self, object_key: str) -> Sequence[Quote]:
        path = self._path(object_key)
        try:
            return await asyncio.to_thread(decode, path)
        except FileNotFoundError as error:
            raise NotFound(f"tick archive: {object_key}") from error

    def _path(self, object_key: str) -> Path:
        path = (self._folder / object_key).resolve()
        if not path.is_relative_to(self._folder.resolve()):
            raise Misconfigured(f"tick archive: expected a key below the folder, got {object_key}")
        return path


def encode(quotes: Sequence[Quote]) -> bytes:
    """Return the Parquet bytes of the quotes."""
    columns: list[pa.Array] = [
        pa.array([quote.symbol for quote in quotes]).dictionary_encode(),
        pa.array([quote.seq for quote in quotes], pa.int64()),
        pa.array([quote.ts_ns for quote in quotes], pa.int64()),
        pa.array([quote.bid_ticks for quote in quotes], pa.int64()),
        pa.array([quote.ask_ticks for quote in quotes], pa.int64()),
    ]
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns, schema=SCHEMA), buffer, compression="zstd")
    return buffer.getvalue()


def decode(path: Path) -> list[Quote]:
    """Read the quotes of a segment file."""
    rows = pq.read_table(path).to_pylist()
    return [Quote(r["symbol"], r["bid_ticks"], r["ask_ticks"], r["ts_ns"], r["seq"]) for r in rows]


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.chmod(READ_ONLY)
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
