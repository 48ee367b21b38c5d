"""Tie a program to the life of the process that starts it, then become that program.

Run by path before each child (`python leash.py PARENT_PID SIGNAL SLICE_NS PROGRAM...`), so it must
not import anything beyond the standard library. A hook between fork and exec would do the same but
is unsafe in a parent with threads.
"""

import ctypes
import os
import platform
import struct
import sys

PR_SET_PDEATHSIG = 1
SYS_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}
# size, policy, flags, nice, priority, runtime (of an ordinary process: its slice), deadline, period
SCHED_ATTR = struct.Struct("IIQiIQQQ")


def main(arguments: list[str]) -> None:
    parent_pid, signal_number, slice_ns = (int(argument) for argument in arguments[:3])
    program = arguments[3:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
        ask_for_slices(slice_ns)
    if os.getppid() != parent_pid:
        sys.exit("the process that asked for this program has ended")
    os.execvp(program[0], program)  # noqa: S606


def ask_for_slices(slice_ns: int) -> None:
    """Ask the scheduler for turns of this length; a kernel before 6.12 does not mind.

    Who asks for short ones gets the core sooner when he wakes, and no more of it on the whole.
    """
    number, policy = SYS_SCHED_SETATTR.get(platform.machine()), os.sched_getscheduler(0)
    if number is not None and policy in (os.SCHED_OTHER, os.SCHED_BATCH):
        nice = os.getpriority(os.PRIO_PROCESS, 0)
        asked = SCHED_ATTR.pack(SCHED_ATTR.size, policy, 0, nice, 0, slice_ns, 0, 0)
        ctypes.CDLL(None).syscall(number, 0, asked, 0)


if __name__ == "__main__":
    main(sys.argv[1:])
