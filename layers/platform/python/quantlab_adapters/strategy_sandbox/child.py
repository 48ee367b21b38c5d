"""A live strategy in a child process: events go in as words, answers come out as bytes.

What the child says may be anything by now: it is measured and read, never executed.
"""

import asyncio
import contextlib
import json
import signal
import struct
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from quantlab.live.events import Malformed
from quantlab.live.tray import Tray
from quantlab_app.ports.live_strategies import Answer, LiveProgram, Program, RunEnded

START_WAIT_S: Final = 180.0
"""The first of a machine waits for the engine to be compiled."""
EVENTS_WAIT_S: Final = 30.0
FRAME_BYTES_MAX: Final = 16 * 1024 * 1024
EVENTS_BYTES_MAX: Final = 512 * 1024
CPU_S: Final = 400 * 24 * 3600
COMPILE_CPU_S: Final = 20
TRAPS: Final = (
    "", "fuel", "int_overflow", "division_by_zero", "loop_limit", "order_limit", "output_limit",
)  # fmt: skip
(FED, HASHED, SNAPSHOT, RESTORE) = range(4)
_LENGTH: Final = struct.Struct("<I")
_ANSWER: Final = struct.Struct("<qqq64s")
_ENVIRONMENT: Final = {"OPENBLAS_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"}
_ENDS: Final = {
    signal.SIGXCPU: ("cpu_limit", "it reached its limit of CPU time"),
    signal.SIGSYS: ("forbidden_call", "it asked the system for what the sandbox forbids"),
    signal.SIGSEGV: ("memory_limit", "it reached its limit of memory, or its code is broken"),
    signal.SIGABRT: ("memory_limit", "it reached its limit of memory"),
}


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """How a child is started: its command, and the folder of compiled code.

    may_lack are the walls of the sandbox that this system may have none of.
    """

    command: tuple[str, ...]
    native: Path
    may_lack: tuple[str, ...] = ()


class ChildSandbox:
    """StrategySandbox port."""

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings

    async def open(self, program: Program) -> LiveProgram:
        child = await asyncio.create_subprocess_exec(
            *self._settings.command,
            stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=_ENVIRONMENT, cwd="/",
            start_new_session=True, limit=FRAME_BYTES_MAX,
        )  # fmt: skip
        opened = ChildProgram(child)
        try:
            await opened.begin(self._request(program))
        except BaseException:
            await opened.close()
            raise
        return opened

    def _request(self, program: Program) -> dict[str, Any]:
        return {
            "source": program.source,
            "inputs": dict(program.inputs),
            "terms": dict(program.terms),
            "beganNs": program.began_ns,
            "fuel": program.fuel_per_event,
            "native": str(self._settings.native.resolve()),
            "limits": {
                "compile_cpu_s": COMPILE_CPU_S, "cpu_s": CPU_S,
                "memory_bytes": program.memory_bytes,
            },
            "mayLack": self._settings.may_lack,
        }  # fmt: skip


class ChildProgram:
    """LiveProgram: one child. It is asked one thing at a time."""

    def __init__(self, child: Process) -> None:
        self._child = child
        self._symbols: tuple[str, ...] = ()
        self._tray = Tray((), ())

    @property
    def symbols(self) -> Sequence[str]:
        return self._symbols

    async def begin(self, request: dict[str, Any]) -> None:
        said = json.loads(await self._asked(json.dumps(request).encode(), START_WAIT_S))
        if "refused" in said:
            raise RunEnded("not_run", str(said["refused"])[:4000])
        self._symbols = tuple(str(one) for one in said["symbols"])
        sites = [(str(kind), int(text), str(types)) for kind, text, types in said["sites"]]
        self._tray = Tray(sites, [str(one) for one in said["strings"]])

    async def feed(self, words: bytes, *, hashed: bool) -> Answer:
        answer = await self._asked(bytes((HASHED if hashed else FED,)) + words, EVENTS_WAIT_S)
        return self._read(answer, entries=True)

    async def snapshot(self) -> tuple[Answer, bytes]:
        answer = await self._asked(bytes((SNAPSHOT,)), EVENTS_WAIT_S)
        return self._read(answer, entries=False), answer[_ANSWER.size :]

    async def restore(self, image: bytes) -> Answer:
        if len(image) >= FRAME_BYTES_MAX:
            raise RunEnded("snapshot_unreadable", f"a snapshot of {len(image)} bytes")
        return self._read(await self._asked(bytes((RESTORE,)) + image, EVENTS_WAIT_S), entries=True)

    def _read(self, answer: bytes, *, entries: bool) -> Answer:
        try:
            code, orders, next_due_ns, hash_ = _ANSWER.unpack_from(answer)
            trap = TRAPS[code]
            given = self._tray.read(memoryview(answer)[_ANSWER.size :]) if entries else []
            state_hash = hash_.decode("ascii").strip()
        except (Malformed, struct.error, IndexError, ValueError) as error:
            raise RunEnded("forbidden_call", f"it broke its protocol: {error}") from error
        return Answer(given, trap, orders, next_due_ns, state_hash)

    async def close(self) -> None:
        if self._child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._child.kill()
        await self._child.wait()

    async def _asked(self, payload: bytes, wait_s: float) -> bytes:
        try:
            async with asyncio.timeout(wait_s):
                return await self._exchanged(payload)
        except TimeoutError as error:
            raise RunEnded("no_answer", f"it gave no answer within {wait_s:g} s") from error
        except (asyncio.IncompleteReadError, BrokenPipeError, ConnectionResetError) as error:
            code = await self._child.wait()
            ended = ("child_lost", f"its process ended with {code}")
            if -code in _ENDS:
                ended = _ENDS[signal.Signals(-code)]
            raise RunEnded(*ended) from error

    async def _exchanged(self, payload: bytes) -> bytes:
        entrance, exit_ = self._child.stdin, self._child.stdout
        if entrance is None or exit_ is None:
            raise RunEnded("child_lost", "its process has no pipes")
        entrance.write(_LENGTH.pack(len(payload)) + payload)
        await entrance.drain()
        (length,) = _LENGTH.unpack(await exit_.readexactly(_LENGTH.size))
        if length > FRAME_BYTES_MAX:
            raise RunEnded("forbidden_call", f"it broke its protocol: a frame of {length} bytes")
        return await exit_.readexactly(length)
