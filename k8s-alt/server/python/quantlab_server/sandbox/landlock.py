"""Landlock: a process gives up all files, and all TCP, for good (landlock(7))."""

import ctypes
import errno
import os
import platform
from typing import Final

_CREATE, _RESTRICT = 444, 446
_VERSION: Final = 1
_FILES: Final = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""Kinds of access to files that a version of the interface knows, one bit each."""
_FILES_NEWEST: Final = 16
_NETWORK_SINCE, _NETWORK = 4, 0b11
_SCOPES_SINCE, _SCOPES = 6, 0b11
"""Abstract UNIX sockets and signals to processes outside."""


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("files", ctypes.c_uint64),
        ("network", ctypes.c_uint64),
        ("scopes", ctypes.c_uint64),
    )


def close(libc: ctypes.CDLL) -> bool:
    """Allow nothing; False where the kernel has no Landlock. Raises OSError where it refuses.

    The process must have given up new privileges before.
    """
    if platform.system() != "Linux":
        return False
    version = libc.syscall(_CREATE, None, ctypes.c_size_t(0), _VERSION)
    if version < 1:
        if ctypes.get_errno() in {errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM}:
            return False
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    rules = _Ruleset((1 << _FILES.get(version, _FILES_NEWEST)) - 1)
    size = 8
    if version >= _NETWORK_SINCE:
        rules.network, size = _NETWORK, 16
    if version >= _SCOPES_SINCE:
        rules.scopes, size = _SCOPES, 24
    ruleset = libc.syscall(_CREATE, ctypes.byref(rules), ctypes.c_size_t(size), 0)
    if ruleset < 0 or libc.syscall(_RESTRICT, ruleset, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    os.close(ruleset)
    return True
