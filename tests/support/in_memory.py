"""Where stores of tests lie that no power cut has to find again: in memory, where there is room.

A database is a thousand files, and every module makes and drops one of its own.
"""

import shutil
from pathlib import Path

MEMORY = Path("/dev/shm")  # noqa: S108 - folders in it are made by tempfile
ROOM_BYTES = 4 << 30


def memory_folder() -> str | None:
    """Return the folder for tempfile to make folders in; None for its own choice."""
    has_room = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= ROOM_BYTES
    return str(MEMORY) if has_room else None
