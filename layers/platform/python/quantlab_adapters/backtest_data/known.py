"""Digests of files that have not changed since they were read, by what the file system says."""

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

SETTLED_NS: Final = 2_000_000_000
"""A note is believed once it is this much younger than the last change of what it is of: within a
tick of the file system's clock a file may change again without a trace."""


def known_digest(folder: Path, said: str, files: Sequence[Path], read: Callable[[], str]) -> str:
    """Return what read gives, or gave for the same files, unchanged, and the same said."""
    stats = [file.stat() for file in files]
    facts = [
        (
            str(file.absolute()),
            one.st_dev,
            one.st_ino,
            one.st_size,
            one.st_mtime_ns,
            one.st_ctime_ns,
        )
        for file, one in zip(files, stats, strict=True)
    ]
    name = hashlib.sha256(repr((said, facts)).encode()).hexdigest()[:32]
    note = folder / f"{name}.digest"
    changed_ns = max((one.st_ctime_ns for one in stats), default=0)
    try:
        if note.stat().st_mtime_ns > changed_ns + SETTLED_NS:
            return note.read_text(encoding="ascii")
    except FileNotFoundError:
        pass
    digest = read()
    partial = note.with_name(f"{note.name}.{os.getpid()}")
    partial.write_text(digest, encoding="ascii")
    partial.replace(note)
    return digest
