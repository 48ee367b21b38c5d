"""MiniStack without waits that AWS has not, run with what `python -m ministack` takes.

MiniStack unpacks every layer anew for each copy of a Lambda: thousands of files, seconds in which
it answers nobody. Here the copies of a layer with the same contents are links to one folder, as
AWS mounts one read-only image at /opt.

A message that comes while its queue's function is busy makes MiniStack pause for 50 ms before it
looks at any queue again. After an answer it looks for further lines of the function for 5 ms.
"""

import hashlib
import runpy
import tempfile
import threading
import zipfile
from collections.abc import Callable
from functools import partialmethod
from pathlib import Path
from typing import Any

_LAYER = "layer_"
_QUEUE_PAUSE_S = 0.002
_LINES_SETTLE_S = 0.001
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


def _shorten_waits() -> None:
    from ministack.core.lambda_runtime import Worker  # noqa: PLC0415 - of another environment
    from ministack.services import lambda_svc  # noqa: PLC0415 - the same

    _replace(lambda_svc, "_ESM_IDLE_WAKE_GAP_SECONDS", lambda _: _QUEUE_PAUSE_S)
    settle = {"idle_confirm": _LINES_SETTLE_S}
    _replace(Worker, "_drain_stderr_bounded", lambda drain: partialmethod(drain, **settle))


def _replace(where: Any, name: str, made: Callable[[Any], Any]) -> None:
    setattr(where, name, made(getattr(where, name)))


if __name__ == "__main__":
    zipfile.ZipFile.extractall = _unpack_once
    _shorten_waits()
    runpy.run_module("ministack", run_name="__main__")
