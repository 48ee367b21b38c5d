"""The files by which a running group is known: its lock, its process ids, how it is ended."""

import fcntl
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from quantlab_server.private_files import (
    private_folder,
    read_json_object,
    write_private_json,
)
from quantlab_server.processes import Process, look_up
from quantlab_server.refusal import Refusal

DOWN_WAIT_S: Final = 120.0
LEFTOVER_WAIT_S: Final = 15.0
POLL_EVERY_S: Final = 0.05
OURS: Final = ("quantlab_server role ", "-m ministack")


@dataclass(frozen=True, slots=True)
class Lock:
    """Held open by the one supervisor of a state folder; gone with it, however it ends."""

    file: IO[str]

    def release(self) -> None:
        self.file.seek(0)
        self.file.truncate()
        self.file.close()


def take_lock(state: Path) -> Lock:
    """Become the supervisor of a state folder, or say who is."""
    private_folder(state)
    path = _pid_file(state)
    try:
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="ascii")
    except OSError as error:
        raise Refusal(f"{path} cannot be opened: {error.strerror}.") from error
    if not _lock(file):
        words = file.read().split()
        file.close()
        raise Refusal(
            f"QuantLabEngine already runs on {state}"
            f"{f' (process {words[0]})' if words else ''}; end it first: make down STATE={state}"
        )
    us = look_up(os.getpid())
    file.seek(0)
    file.truncate()
    file.write(f"{os.getpid()} {'' if us is None else us.start}\n")
    file.flush()
    return Lock(file)


def supervisor_of(state: Path) -> int | None:
    """Return the process that supervises a state folder now, if there is one."""
    path = _pid_file(state)
    if not path.exists():
        return None
    with path.open("r+", encoding="ascii") as file:
        pid = file.read().partition(" ")[0]
        return None if _lock(file) or not pid.isdigit() else int(pid)


def stop_group(state: Path) -> bool:
    """Ask the supervisor of a state folder to stop and wait for it; tell whether one was there."""
    path = _pid_file(state)
    if not path.exists():
        return False
    with path.open("r+", encoding="ascii") as file:
        if _lock(file):
            return False
        supervisor = _signal_supervisor(path, file.read())
        deadline = time.monotonic() + DOWN_WAIT_S
        while not _lock(file) or _lives(supervisor):
            if time.monotonic() > deadline:
                raise Refusal(f"the group on {state} did not end within {DOWN_WAIT_S:.0f} s.")
            time.sleep(POLL_EVERY_S)
    return True


def _signal_supervisor(path: Path, text: str) -> Process:
    pid, _, start = text.strip().partition(" ")
    process = look_up(int(pid)) if pid.isdigit() else None
    if process is None or process.start != start:
        raise Refusal(f"{path} does not name the process that holds it; end that process by hand.")
    os.kill(process.pid, signal.SIGTERM)
    return process


def _lives(process: Process) -> bool:
    found = look_up(process.pid)
    return found is not None and found.start == process.start


def write_processes(state: Path, pids: dict[str, int]) -> None:
    """Say which process has which role."""
    write_private_json(_processes_file(state), pids)


def forget_processes(state: Path) -> None:
    """Say that nothing runs any more."""
    _processes_file(state).unlink(missing_ok=True)


def end_leftovers(state: Path) -> None:
    """Wait for roles that a lost supervisor left behind; they end by themselves on Linux."""
    path = _processes_file(state)
    if not path.exists():
        return
    pids = [pid for pid in read_json_object(path).values() if isinstance(pid, int)]
    deadline = time.monotonic() + LEFTOVER_WAIT_S
    asked: set[int] = set()
    while living := [pid for pid in pids if pid != os.getpid() and _is_ours(pid)]:
        for pid in set(living) - asked:
            os.kill(pid, signal.SIGTERM)
            asked.add(pid)
        if time.monotonic() > deadline:
            raise Refusal(f"process {living[0]} of an earlier run does not end; end it first.")
        time.sleep(POLL_EVERY_S)
    path.unlink()


def _is_ours(pid: int) -> bool:
    process = look_up(pid)
    return process is not None and any(words in process.command for words in OURS)


def _processes_file(state: Path) -> Path:
    return state / "processes.json"


def _pid_file(state: Path) -> Path:
    return state / "supervisor.pid"


def _lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
