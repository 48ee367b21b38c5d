"""Results as files below one folder, written whole or not at all."""

import asyncio
import os
from pathlib import Path

from quantlab_app.ports.errors import Misconfigured, NotFound


class FolderResultFiles:
    """ResultFiles port."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def store(self, key: str, content: bytes) -> None:
        await asyncio.to_thread(_write, self._path(key), content)

    async def load(self, key: str) -> bytes:
        try:
            return await asyncio.to_thread(self._path(key).read_bytes)
        except FileNotFoundError as error:
            raise NotFound(f"result {key}") from error

    def _path(self, key: str) -> Path:
        path = (self._folder / key).resolve()
        if not path.is_relative_to(self._folder.resolve()):
            raise Misconfigured(f"results: expected a key below the folder, got {key}")
        return path


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
