"""What is known about a process by its id: from /proc, or from ps where there is none."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")


@dataclass(frozen=True, slots=True)
class Process:
    """A living process; the start tells it from a later one with the same id."""

    pid: int
    start: str
    command: str


def look_up(pid: int) -> Process | None:
    """Describe a living process; one that only waits to be reaped is not living."""
    return _from_proc(pid) if (PROC / "self" / "stat").exists() else _from_ps(pid)


def _from_proc(pid: int) -> Process | None:
    try:
        stat = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        command = (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else Process(pid, fields[19], command.strip())


def _from_ps(pid: int) -> Process | None:
    done = subprocess.run(  # noqa: S603
        ("ps", "-o", "stat=,lstart=,command=", "-p", str(pid)),  # noqa: S607
        check=False,
        capture_output=True,
        text=True,
    )
    words = done.stdout.split()
    if len(words) < 7 or words[0].startswith("Z"):
        return None
    return Process(pid, " ".join(words[1:6]), " ".join(words[6:]))
