"""The compiled core of a process that may have it: found, compiled, kept on disk."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import sys
import tempfile
import time
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from quantlab.kernel import arith
from quantlab.ledger import scalars as ledger_scalars
from quantlab.rules import scalars as rules_scalars
from quantlab_edge.composition import Composition, part

if TYPE_CHECKING:
    from quantlab.engine.native.chosen import Kernels
    from quantlab.engine.watch import Watch
    from quantlab_adapters.postgres.database import Database
    from quantlab_app.ports.backtests import BacktestRunner
    from quantlab_app.ports.judging import Checkpoints, QuickenWatch
    from quantlab_app.ports.live_strategies import StrategySandbox

SCALARS: Final = (arith, ledger_scalars, rules_scalars)

_log = structlog.get_logger("quantlab.native")


def is_installed() -> bool:
    """Say whether this process can compile at all; without, everything runs as plain Python."""
    return util.find_spec("numba") is not None


def compiled_kernels(folder: Path) -> Kernels:
    """Compile the loops, or read what was compiled of exactly this source below the folder."""
    from quantlab.engine.native.compile import compiled

    started = time.perf_counter()
    kept = kernels_folder(folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(folder):
        known = kept.is_dir()
        kept.mkdir(mode=0o700, exist_ok=True)
        if not known:
            what = "the loops over accounts and positions"
            _log.info("compiling", what=what, once_into=str(kept))
        found = compiled(str(kept))
        found.warm()
    _log.info("compiled", seconds=round(time.perf_counter() - started, 2), read=known)
    return found


def kernels_folder(folder: Path) -> Path:
    """Return where below the folder the loops of exactly this source are kept."""
    from importlib import metadata

    from quantlab.engine.native import kernels as loops

    source = hashlib.sha256(metadata.version("numba").encode())
    for module in (*SCALARS, loops):
        source.update(Path(str(module.__file__)).read_bytes())
    return folder / source.hexdigest()[:16]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait while another process compiles: it takes seconds of a core, then all may read."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class NativePorts(Composition):
    """The ports that the compiled core serves where it is installed."""

    @abstractmethod
    async def database(self) -> Database:
        """Return the connections to PostgreSQL."""

    def native_folder(self) -> Path | None:
        """Return where compiled code is kept; None where nothing is to be compiled."""
        return None

    @part
    async def kernels(self) -> Kernels | None:
        folder = self.native_folder()
        if folder is None or not is_installed():
            return None
        return await asyncio.to_thread(compiled_kernels, folder)

    async def quicken_watch(self) -> QuickenWatch:
        async def quickened(watch: Watch) -> Watch:
            kernels = await self.kernels()
            if kernels is None:
                return watch
            from quantlab.engine.native.watch import ArrayWatch

            return ArrayWatch.of(watch, kernels)

        return quickened

    @abstractmethod
    def spool_folder(self) -> Path:
        """Return where the ticks of a backtest lie while it runs."""

    async def backtest_runner(self) -> BacktestRunner:
        """Run backtests in children, whose code is the server's: it is started by its name."""
        from quantlab_adapters.backtest_runs.runner import ChildBacktestRunner, ChildSettings

        spool = self.spool_folder()
        return ChildBacktestRunner(
            ChildSettings(
                command=(sys.executable, "-I", "-m", "quantlab_server.backtests.child"),
                configs=self.catalogue_file().parent,
                native=self.native_folder() or spool / "native",
                spool=spool,
                may_lack=tuple(self.settings.sandbox_may_lack.split()),
            )
        )

    async def strategy_sandbox(self) -> StrategySandbox:
        """Run live strategies in children, whose code is the server's: started by its name."""
        from quantlab_adapters.strategy_sandbox.child import ChildSandbox, SandboxSettings

        return ChildSandbox(
            SandboxSettings(
                command=(sys.executable, "-I", "-m", "quantlab_server.sandbox.live_child"),
                native=self.native_folder() or Path(tempfile.gettempdir()) / "quantlab-native",
                may_lack=tuple(self.settings.sandbox_may_lack.split()),
            )
        )

    @part
    async def checkpoints(self) -> Checkpoints | None:
        if self.native_folder() is None or not is_installed():
            return None
        from quantlab_adapters.postgres.checkpoints import PostgresCheckpoints

        return PostgresCheckpoints(await self.database(), self.kernels)
