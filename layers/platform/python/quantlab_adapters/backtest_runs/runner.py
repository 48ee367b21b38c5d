"""A backtest in a child process: its ticks are spooled to files, its answers come as frames.

What the child says after the strategy's code has run may be anything: it is measured before it is
kept, and nothing of it is executed here.
"""

import asyncio
import contextlib
import json
import shutil
import signal
import struct
from array import array
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from quantlab.market.quote import Quote
from quantlab_app.ports.backtests import BacktestFailed, BacktestFiles, BacktestJob

MIB: Final = 1024 * 1024
RECORD_BYTES: Final = 48
FRAME_BYTES_MAX: Final = 16 * MIB
RESULT_BYTES_MAX: Final = 256 * MIB
MEMORY_BYTES: Final = 2_048 * MIB
# Of several symbols the records are merged in memory, beside the arrays that sort them.
MEMORY_TIMES_TICKS: Final = 5
CPU_S: Final = 900
COMPILE_CPU_S: Final = 20
_LENGTH: Final = struct.Struct("<I")
_ENVIRONMENT: Final = {"OPENBLAS_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"}
_ENDS: Final = {
    signal.SIGXCPU: ("cpu_limit", f"the run takes more than {CPU_S} s of CPU time"),
    signal.SIGSYS: ("forbidden_call", "the run asked the system for what the sandbox forbids"),
    signal.SIGSEGV: ("memory_limit", "the run reached its limit of memory, or its code is broken"),
    signal.SIGABRT: ("memory_limit", "the run reached its limit of memory"),
}


@dataclass(frozen=True, slots=True)
class ChildSettings:
    """How a child is started: its command, and folders of configuration, code and ticks.

    may_lack are the walls of the sandbox that this system may have none of.
    """

    command: tuple[str, ...]
    configs: Path
    native: Path
    spool: Path
    may_lack: tuple[str, ...] = ()


class ChildBacktestRunner:
    """BacktestRunner port."""

    def __init__(self, settings: ChildSettings) -> None:
        self._settings = settings

    async def run(
        self,
        job: BacktestJob,
        ticks: Mapping[str, AsyncIterator[Sequence[Quote]]],
        on_progress: Callable[[int, int], None],
    ) -> BacktestFiles:
        spool = self._settings.spool
        for left in spool.glob(f"{job.backtest_id}.*"):  # by a worker that was killed
            await asyncio.to_thread(shutil.rmtree, left, ignore_errors=True)
        folder = spool / f"{job.backtest_id}.{job.lease_id}"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            files = {
                symbol: await _spooled(folder / f"{place}.ticks", quotes)
                for place, (symbol, quotes) in enumerate(sorted(ticks.items()))
            }
            counts = [file.stat().st_size // RECORD_BYTES for file in files.values()]
            empty = [name for name, count in zip(files, counts, strict=True) if count == 0]
            if empty:
                raise BacktestFailed("no_ticks", f"no ticks of {empty[0]} in the range")
            on_progress(0, sum(counts))
            request = self._request(job, files, sum(counts))
            return await self._answered(request, sum(counts), on_progress)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    def _request(self, job: BacktestJob, files: Mapping[str, Path], count: int) -> bytes:
        memory = MEMORY_BYTES + MEMORY_TIMES_TICKS * RECORD_BYTES * count
        return json.dumps(
            {
                "source": job.source,
                "name": job.name,
                "inputs": dict(job.inputs),
                "seed": job.seed,
                "profile": job.profile,
                "accountType": job.account_type,
                "config": job.config,
                "configs": str(self._settings.configs.resolve()),
                "native": str(self._settings.native.resolve()),
                "quotes": {symbol: str(file) for symbol, file in files.items()},
                "limits": {
                    "compile_cpu_s": COMPILE_CPU_S, "cpu_s": CPU_S, "memory_bytes": memory,
                },
                "mayLack": self._settings.may_lack,
            }
        ).encode()  # fmt: skip

    async def _answered(
        self, request: bytes, total: int, on_progress: Callable[[int, int], None]
    ) -> BacktestFiles:
        child = await asyncio.create_subprocess_exec(
            *self._settings.command,
            stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=_ENVIRONMENT, cwd="/",
            start_new_session=True, limit=FRAME_BYTES_MAX,
        )  # fmt: skip
        try:
            if child.stdin is None or child.stdout is None:
                raise BacktestFailed("child_lost", "the child has no pipes")
            child.stdin.write(_LENGTH.pack(len(request)) + request)
            await child.stdin.drain()
            return await _listened(child.stdout, total, on_progress)
        except (asyncio.IncompleteReadError, BrokenPipeError, ConnectionResetError) as error:
            raise await _ended(child) from error
        finally:
            if child.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    child.kill()
            await child.wait()


async def _spooled(file: Path, ticks: AsyncIterator[Sequence[Quote]]) -> Path:
    """Write ticks as the records of a backtest: six words of 64 bits each."""
    with file.open("wb") as opened:
        async for quotes in ticks:
            await asyncio.to_thread(opened.write, _records(quotes))
    return file


def _records(quotes: Sequence[Quote]) -> bytes:
    words = array("q")
    for one in quotes:
        words.extend(
            (
                one.ts_ns, one.bid_ticks, one.ask_ticks, one.bid_size_steps, one.ask_size_steps, 0,
            )
        )  # fmt: skip
    return words.tobytes()


async def _listened(
    frames: asyncio.StreamReader,
    total: int,
    on_progress: Callable[[int, int], None],
) -> BacktestFiles:
    """Read what a child says to the end: progress, then its files or why there are none."""
    while True:
        said = _object(await _frame(frames))
        if "failed" in said:
            raise BacktestFailed(str(said["failed"])[:64], str(said.get("detail", ""))[:4000])
        if "parts" in said:
            return await _files(frames, said["parts"])
        on_progress(min(_count(said.get("taken")), total), total)


async def _frame(frames: asyncio.StreamReader) -> bytes:
    (length,) = _LENGTH.unpack(await frames.readexactly(_LENGTH.size))
    if length > FRAME_BYTES_MAX:
        raise _broken(f"a frame of {length} bytes")
    return await frames.readexactly(length)


def _object(frame: bytes) -> dict[str, Any]:
    try:
        said = json.loads(frame)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise _broken("no object")
    return said


def _count(said: Any) -> int:
    if not isinstance(said, int) or said < 0:
        raise _broken("no count")
    return said


async def _files(frames: asyncio.StreamReader, parts: Any) -> BacktestFiles:
    names = tuple(BacktestFiles.__dataclass_fields__)
    if not isinstance(parts, dict) or tuple(parts) != names:
        raise _broken("other files")
    found, size = {}, 0
    for name in names:
        content = bytearray()
        for _ in range(_count(parts[name])):
            content += await _frame(frames)
            if size + len(content) > RESULT_BYTES_MAX:
                raise BacktestFailed("results_too_large", f"more than {RESULT_BYTES_MAX} bytes")
        size += len(content)
        found[name] = bytes(content)
    return BacktestFiles(**found)


def _broken(what: str) -> BacktestFailed:
    return BacktestFailed("forbidden_call", f"the run broke its protocol: {what}")


async def _ended(child: Process) -> BacktestFailed:
    """Say why a child has ended before its answer."""
    code = await child.wait()
    if -code in _ENDS:
        return BacktestFailed(*_ENDS[signal.Signals(-code)])
    return BacktestFailed("child_lost", f"the run's process ended with {code}")
