"""A folder, or a prefix of a bucket, where processes of several machines keep what they share."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from quantlab_app.ports.errors import Misconfigured, NotFound

if TYPE_CHECKING:
    from quantlab_app.ports.backtests import ResultFiles

BUCKET: Final = "s3://"


class Place:
    """Files by name, each stored whole; for programs that do nothing else meanwhile."""

    def __init__(self, files: ResultFiles, prefix: str) -> None:
        self._files, self._prefix = files, prefix

    def store(self, name: str, content: bytes) -> None:
        """Store a file whole; one of that name is replaced."""
        asyncio.run(self._files.store(self._prefix + name, content))

    def load(self, name: str) -> bytes | None:
        """Return a file, None when there is none."""
        try:
            return asyncio.run(self._files.load(self._prefix + name))
        except NotFound:
            return None


@contextmanager
def place_at(where: str) -> Iterator[Place]:
    """Open a folder, or s3://BUCKET/PREFIX.

    Raises Misconfigured where that names neither, ModuleNotFoundError without the group aws.
    """
    if not where.startswith(BUCKET):
        from quantlab_adapters.backtest_runs.files import FolderResultFiles

        yield Place(FolderResultFiles(Path(where)), "")
        return
    from quantlab_adapters.aws.clients import Clients
    from quantlab_adapters.aws.results import S3ResultFiles

    bucket, _, prefix = where.removeprefix(BUCKET).partition("/")
    prefix = prefix.strip("/")
    if not bucket or not prefix:
        raise Misconfigured(f"expected a folder or s3://BUCKET/PREFIX, got {where}")
    clients = Clients()
    try:
        yield Place(S3ResultFiles(clients, bucket), f"{prefix}/")
    finally:
        asyncio.run(clients.close())
