"""A filter of system calls: what is not listed here kills the process.

The filter is a small program for the kernel's packet-filter machine (seccomp(2), BPF): it looks at
the number of a call and its arguments, never at memory.
"""

import ctypes
import errno
import os
import platform
import struct
from typing import Final, NamedTuple

_KILL_PROCESS: Final = 0x80000000
_ALLOW: Final = 0x7FFF0000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
_X32_BIT: Final = 0x40000000
_SET_MODE_FILTER, _ALL_THREADS = 1, 1
_PROT_EXEC: Final = 4


class _Machine(NamedTuple):
    """A CPU family: its number in the kernel's audit, and its calls' numbers."""

    audit: int
    seccomp: int
    calls: dict[str, int]


MACHINES: Final = {
    "x86_64": _Machine(
        0xC000003E,
        317,
        {
            "read": 0, "write": 1, "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12,
            "rt_sigreturn": 15, "mremap": 25, "madvise": 28, "exit": 60, "futex": 202,
            "restart_syscall": 219, "clock_gettime": 228, "exit_group": 231,
        },
    ),
    "aarch64": _Machine(
        0xC00000B7,
        277,
        {
            "read": 63, "write": 64, "exit": 93, "exit_group": 94, "futex": 98,
            "clock_gettime": 113, "restart_syscall": 128, "rt_sigreturn": 139, "brk": 214,
            "munmap": 215, "mremap": 216, "mmap": 222, "mprotect": 226, "madvise": 233,
        },
    ),
}  # fmt: skip
_DESCRIPTORS: Final = {"read": (0,), "write": (1, 2)}
_NEVER_EXECUTABLE: Final = ("mmap", "mprotect")


def is_known() -> bool:
    """Say whether there is a filter for this system."""
    return platform.system() == "Linux" and platform.machine() in MACHINES


def filter_program(machine: str) -> bytes:
    """Return the filter for a machine as an array of `struct sock_filter`.

    Reading is allowed from descriptor 0, writing to 1 and 2, memory that is not executable, the
    clock, locks, and the end of the process.
    """
    known = MACHINES[machine]
    lines = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 1, 0, known.audit),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_AT_LEAST, 0, 1, _X32_BIT),
        (_RETURN, 0, 0, _KILL_PROCESS),
    ]
    for name, number in known.calls.items():
        checks = _checks(name)
        lines.append((_EQUAL, 0, len(checks), number))
        lines += checks
    lines.append((_RETURN, 0, 0, _KILL_PROCESS))
    return b"".join(struct.pack("<HBBI", *line) for line in lines)


def _checks(name: str) -> list[tuple[int, int, int, int]]:
    """Return what decides on a call that is allowed at all."""
    if name in _DESCRIPTORS:
        allowed = _DESCRIPTORS[name]
        tests = [
            (_EQUAL, len(allowed) - place, 0, descriptor)
            for place, descriptor in enumerate(allowed)
        ]
        kill = (_RETURN, 0, 0, _KILL_PROCESS)
        return [(_LOAD, 0, 0, _ARGUMENTS_AT), *tests, kill, (_RETURN, 0, 0, _ALLOW)]
    if name in _NEVER_EXECUTABLE:
        return [
            (_LOAD, 0, 0, _ARGUMENTS_AT + 2 * 8),
            (_ANY_BIT, 0, 1, _PROT_EXEC),
            (_RETURN, 0, 0, _KILL_PROCESS),
            (_RETURN, 0, 0, _ALLOW),
        ]
    return [(_RETURN, 0, 0, _ALLOW)]


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def close(libc: ctypes.CDLL) -> bool:
    """Put the filter on every thread of this process, for good; False where there is none.

    The process must have given up new privileges before. Raises OSError where the kernel refuses.
    """
    if not is_known():
        return False
    machine = platform.machine()
    data = filter_program(machine)
    program = _Program(len(data) // 8, data)
    failed = libc.syscall(
        MACHINES[machine].seccomp, _SET_MODE_FILTER, _ALL_THREADS, ctypes.byref(program)
    )
    if failed and ctypes.get_errno() in {errno.ENOSYS, errno.EINVAL}:
        return False
    if failed:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return True
