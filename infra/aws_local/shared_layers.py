"""MiniStack with each layer unpacked once: run in its place, with what `python -m ministack` takes.

MiniStack unpacks every layer anew for each copy of a Lambda: thousands of files, seconds in which
it answers nobody. Here the copies of a layer with the same contents are links to one folder, as
AWS mounts one read-only image at /opt.
"""

import hashlib
import runpy
import tempfile
import threading
import zipfile
from pathlib import Path
from typing import Any

_LAYER = "layer_"
_unpack = zipfile.ZipFile.extractall
_lock = threading.Lock()


def _unpack_once(self: zipfile.ZipFile, path: str | None = None, **others: Any) -> None:
    """Unpack as ever, or link to where the same layer has been unpacked before."""
    target = Path(path or "")
    if not target.name.startswith(_LAYER) or others:
        _unpack(self, path, **others)
        return
    with _lock:
        kept = _kept(self)
    target.rmdir()
    target.symlink_to(kept, target_is_directory=True)


def _kept(layer: zipfile.ZipFile) -> Path:
    contents = repr([(one.filename, one.CRC, one.file_size) for one in layer.infolist()])
    layers = Path(tempfile.gettempdir()) / "layers"
    kept = layers / hashlib.sha256(contents.encode()).hexdigest()
    if not kept.is_dir():
        layers.mkdir(exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=layers))
        _unpack(layer, made)
        made.replace(kept)
    return kept


if __name__ == "__main__":
    zipfile.ZipFile.extractall = _unpack_once
    runpy.run_module("ministack", run_name="__main__")
