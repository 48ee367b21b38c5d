"""What a backtest needs of the machine: the compiled engine, code that was kept, and the quotes."""

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Mapping
from importlib import util
from pathlib import Path
from typing import Final, NamedTuple

import quantlab
from quantlab.backtest.native.parts import MODULES
from quantlab.market.instrument import Instrument
from quantlab.qls.native.machine import cpu
from quantlab_adapters.backtest_data.records import Records, Source, joined, load
from quantlab_adapters.backtest_data.sources import UnreadableQuotes

__all__ = [
    "EngineFiles",
    "KeptCode",
    "Records",
    "Source",
    "UnreadableQuotes",
    "engine",
    "joined",
    "quotes",
    "sources_hash",
]

_DIGEST_LENGTH: Final = 32


class EngineFiles(NamedTuple):
    """The compiled engine as it is kept: see `quantlab.backtest.native.engine.EngineCode`."""

    cold: bytes
    hot: bytes


class KeptCode:
    """Object code in a folder of this user, each file with the hash of what it holds."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, key: str) -> bytes | None:
        """Return what was kept under a key, None if there is none or it is not whole."""
        file = self._folder / f"{key}.o"
        if not file.is_file():
            return None
        kept = file.read_bytes()
        digest, code = kept[:_DIGEST_LENGTH], kept[_DIGEST_LENGTH:]
        return code if hashlib.sha256(code).digest() == digest else None

    def put(self, key: str, code: bytes) -> None:
        """Keep object code."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = self._folder / f"{key}.{os.getpid()}"
        partial.write_bytes(hashlib.sha256(code).digest() + code)
        partial.replace(self._folder / f"{key}.o")


def engine(folder: Path, say: Callable[[str], None]) -> EngineFiles:
    """Return the compiled engine, compiled once for this source and CPU and kept in the folder.

    Raises ModuleNotFoundError where it has to be compiled and there is no numba.
    """
    kept, key = KeptCode(folder), _engine_key()
    found = _read(kept, key)
    if found is not None:
        return found
    if util.find_spec("numba") is None:
        raise ModuleNotFoundError("the backtest engine is compiled with numba, which is missing")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = _read(kept, key)
        return _compiled(kept, key, say) if found is None else found


def _read(kept: KeptCode, key: str) -> EngineFiles | None:
    cold, hot = kept.get(f"{key}-cold"), kept.get(f"{key}-hot")
    return None if cold is None or hot is None else EngineFiles(cold, hot)


def _compiled(kept: KeptCode, key: str, say: Callable[[str], None]) -> EngineFiles:
    from quantlab.backtest.native.engine import compile_engine

    say("compiling the backtest engine for this CPU, once (about half a minute) ...")
    started = time.perf_counter()
    code = compile_engine()
    kept.put(f"{key}-cold", code.cold)
    kept.put(f"{key}-hot", code.hot)
    say(f"compiled in {time.perf_counter() - started:.0f} s")
    return EngineFiles(*code)


def sources_hash() -> str:
    """Return the hash of the engine's sources: what its results depend on, on any machine."""
    core = Path(str(quantlab.__file__)).parent
    digest = hashlib.sha256()
    for module in MODULES:
        digest.update((core / f"{module.replace('.', '/')}.py").read_bytes())
    return digest.hexdigest()[:_DIGEST_LENGTH]


def _engine_key() -> str:
    """Return the hash of everything the compiled engine is made of, the CPU among it."""
    versions = "".join(f"{package} {_version(package)}\n" for package in ("numba", "llvmlite"))
    whole = "\0".join((*cpu(), versions, sources_hash()))
    return hashlib.sha256(whole.encode()).hexdigest()[:_DIGEST_LENGTH]


def _version(package: str) -> str:
    """Return what is installed, by the name of its folder: `metadata` is slow to import."""
    found = util.find_spec(package)
    if found is None or found.origin is None:
        return "none"
    installed = Path(found.origin).parents[1].glob(f"{package}-*.dist-info")
    return "".join(sorted(f"{one.stem.partition('-')[2]} " for one in installed)).strip()


def quotes(
    sources: Mapping[str, Source], instruments: Mapping[str, Instrument], kept: Path
) -> Records:
    """Return the quotes of files by symbol, merged by time; read once, then mapped."""
    return load(sources, instruments, kept)
