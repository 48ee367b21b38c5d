"""Files that only their owner may read: written whole or not at all, refused when others can read.

What is written here is never replaced: the first writer wins, also between processes.
"""

import os
import secrets
from pathlib import Path

from quantlab_app.ports.errors import Misconfigured

_TOO_OPEN = 0o037


def private_folder(folder: Path) -> Path:
    """Make a folder of mode 0700 with its parents and return it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Misconfigured(f"expected a folder at {folder}: {error.strerror}") from error
    return folder


def read_private(path: Path) -> bytes | None:
    """Read a file of mode 0600 (a group may read, others may not); None when there is none."""
    try:
        with path.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode & 0o777
            if mode & _TOO_OPEN:
                raise Misconfigured(f"expected mode 0600 on {path}, was {mode:04o}")
            return stream.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Misconfigured(f"expected a readable file at {path}: {error.strerror}") from error


def write_private(path: Path, content: bytes) -> bool:
    """Create a file of mode 0600 with the content, durably; False when it was there already."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(descriptor)
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    _sync_folder(path.parent)
    return True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
