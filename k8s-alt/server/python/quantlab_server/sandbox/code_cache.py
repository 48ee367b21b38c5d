"""Object code on disk, kept between processes in a folder only its owner can enter."""

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path
from typing import Final

from quantlab_server.private_files import private_folder
from quantlab_server.refusal import Refusal

_DIGEST_BYTES: Final = 32
CODE_BYTES_MAX: Final = 64 * 1024 * 1024


class FileObjectCache:
    """An `ObjectCache` in a folder. Whoever may write there may run code here.

    A file holds the digest of its key and code, then the code. A file that is damaged, cut short or
    in the wrong place counts as missing; a file that cannot be written is not written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = private_folder(folder)
        status = self._folder.stat()
        if status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise Refusal(
                f"the folder of compiled code {folder} can be written by others. "
                "Make it yours alone: chmod 700."
            )

    def get(self, key: str) -> bytes | None:
        """Return what was kept under a key; None where nothing whole is."""
        try:
            data = self._path(key).read_bytes()
        except OSError:
            return None
        code = data[_DIGEST_BYTES:]
        return code if code and data[:_DIGEST_BYTES] == _digest(key, code) else None

    def put(self, key: str, code: bytes) -> None:
        """Keep object code: the whole file appears in one step, or nothing does."""
        if len(code) > CODE_BYTES_MAX:
            return
        with contextlib.suppress(OSError):
            descriptor, part = tempfile.mkstemp(dir=self._folder, prefix=".part-")
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(_digest(key, code) + code)
                Path(part).replace(self._path(key))
            except OSError:
                Path(part).unlink(missing_ok=True)
                raise

    def _path(self, key: str) -> Path:
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()}.qlso"


def _digest(key: str, code: bytes) -> bytes:
    return hashlib.sha256(len(key).to_bytes(8, "big") + key.encode() + code).digest()
