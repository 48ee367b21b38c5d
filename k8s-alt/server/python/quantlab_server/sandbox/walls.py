"""The walls a child process closes around itself, in two steps: before and after compiling."""

import ctypes
import resource
import signal
import sys
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from quantlab_server.refusal import Refusal
from quantlab_server.sandbox import landlock, seccomp

_NO_NEW_PRIVILEGES: Final = 38
_DUMPABLE: Final = 4
OPTIONAL_WALLS: Final = ("landlock", "seccomp")
"""Walls that not every kernel has."""
_MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What the whole life of a child may take, and what compiling may take of it."""

    compile_cpu_s: int = 10
    cpu_s: int = 3_600
    memory_bytes: int = 1_024 * _MIB


def close_first(limits: Limits) -> None:
    """Limit CPU time, memory, files and processes. What comes after may be somebody else's text."""
    cpu = limits.cpu_s + limits.compile_cpu_s
    resource.setrlimit(resource.RLIMIT_CPU, (limits.compile_cpu_s, cpu))
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def close_rest(limits: Limits, may_lack: Collection[str]) -> tuple[str, ...]:
    """Give up files, network, privileges and all but a few system calls; return what is closed.

    Raises Refusal where this kernel lacks a wall that may_lack does not name.
    """
    cpu = limits.cpu_s + limits.compile_cpu_s
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))
    libc = ctypes.CDLL(None, use_errno=True)
    closed = ["rlimits"]
    if sys.platform == "linux":
        if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or libc.prctl(_DUMPABLE, 0, 0, 0, 0):
            raise Refusal("the sandbox could not give up new privileges; no strategy was run.")
        closed.append("no_new_privileges")
    for name, close in (("landlock", landlock.close), ("seccomp", seccomp.close)):
        if name == "seccomp":
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
        if close(libc):
            closed.append(name)
        elif name not in may_lack:
            raise Refusal(
                f"this system has no {name}, a wall of the sandbox; no strategy was run. "
                f"Allow it to be missing with {name} among may_lack if the strategy is your own."
            )
    return tuple(closed)
