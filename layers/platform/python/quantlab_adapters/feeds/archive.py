"""Tick segments as Parquet files in a local folder, written whole or not at all."""

import asyncio
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from quantlab.market.quote import Quote
from quantlab_app.ports.errors import Misconfigured, NotFound

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
    """Write a segment."""
    from quantlab_adapters.feeds import parquet  # noqa: PLC0415 - 40 MB only the feed needs

    return parquet.encode(quotes)


def decode(segment: Path | bytes) -> list[Quote]:
    """Read a segment: of its file, or of its bytes."""
    from quantlab_adapters.feeds import parquet  # noqa: PLC0415 - 40 MB only the feed needs

    return parquet.decode(segment)


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
