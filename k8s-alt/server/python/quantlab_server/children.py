"""One child process: started on a leash, its lines carried away, stopped by its own signal."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from quantlab_server.logs import Output

KILL_WAIT_S: Final = 10.0
LINES_WAIT_S: Final = 2.0
HASTY_SLICE_NS: Final = 500_000
PATIENT_SLICE_NS: Final = 20_000_000
LEASH: Final = Path(__file__).with_name("leash.py")


@dataclass(frozen=True, slots=True)
class Program:
    """What to run and how it wants to be stopped."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    stop_signal: signal.Signals
    stop_wait_s: float
    # A signal's sender waits for the program: it may interrupt the others.
    hasty: bool = False
    # What the program started itself, in its session, is killed once the program has ended.
    sweeps: bool = False
    folder: Path | None = None
    # A folder of what nobody needs once the program has ended.
    scratch: Path | None = None


class Child:
    """Run one program at a time; reap it before it is started again."""

    def __init__(self, program: Program, output: Output) -> None:
        self.program = program
        self._output = output
        self._process: subprocess.Popen[bytes] | None = None
        self._lines: threading.Thread | None = None

    @property
    def name(self) -> str:
        return self.program.name

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the program; only the main thread may, since the leash is tied to its thread."""
        leash = (
            sys.executable,
            "-I",
            "-S",
            str(LEASH),
            str(os.getpid()),
            str(int(self.program.stop_signal)),
            str(HASTY_SLICE_NS if self.program.hasty else PATIENT_SLICE_NS),
        )
        self._process = subprocess.Popen(  # noqa: S603
            (*leash, *self.program.argv),
            cwd=self.program.folder,
            env=dict(self.program.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C goes to the supervisor alone: it knows the order
        )
        if self._process.stdout is not None:
            self._lines = self._output.carry(self.name, self._process.stdout)

    def exit_code(self) -> int | None:
        """Reap the program if it has ended and return its exit code."""
        return None if self._process is None else self._process.poll()

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def ask_to_stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(self.program.stop_signal)

    def finish(self, wait_s: float | None = None) -> bool:
        """Wait for the end, kill when it takes too long; return whether it ended by itself."""
        if self._process is None:
            return True
        ended = True
        try:
            self._process.wait(self.program.stop_wait_s if wait_s is None else wait_s)
        except subprocess.TimeoutExpired:
            ended = False
            self._process.kill()
            self._process.wait(KILL_WAIT_S)
        if self.program.sweeps:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        if self.program.scratch is not None:
            shutil.rmtree(self.program.scratch, ignore_errors=True)
        if self._lines is not None:
            self._lines.join(LINES_WAIT_S)
        self._process = None
        return ended
