"""Tie a program to the life of the process that starts it, then become that program.

Run by path before each child (`python leash.py PARENT_PID SIGNAL PROGRAM...`), so it must not
import anything beyond the standard library. A hook between fork and exec would do the same but is
unsafe in a parent with threads.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    parent_pid, signal_number, program = int(arguments[0]), int(arguments[1]), arguments[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
    if os.getppid() != parent_pid:
        sys.exit("the process that asked for this program has ended")
    os.execvp(program[0], program)  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
