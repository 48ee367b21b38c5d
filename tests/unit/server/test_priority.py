"""What nobody waits for lets the order path run first."""

import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from quantlab_server.children import LEASH
from quantlab_server.leash import SYS_SCHED_SETATTR
from quantlab_server.roles import UNHURRIED

GROUP = Path("/proc/self/autogroup")


def _kernel() -> tuple[int, ...]:
    """Return the version of Linux; nothing on another system."""
    if sys.platform != "linux":
        return ()
    return tuple(int(number) for number in platform.release().split("-")[0].split(".")[:2])


YIELD = """
import os, pathlib
from quantlab_server import roles
roles._yield_the_core()
group = pathlib.Path("/proc/self/autogroup")
print(os.nice(0), (group.read_text() if group.exists() else "").rpartition(" ")[2].strip())
"""


def _yielded(*, new_session: bool) -> list[str]:
    """Return the priority of a process that yielded and of its group: "" where it is in none."""
    done = subprocess.run(
        [sys.executable, "-c", YIELD],
        start_new_session=new_session,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.rstrip("\n").split(" ")


def test_an_unhurried_role_yields_itself_and_the_session_it_leads() -> None:
    lower = min(19, os.nice(0) + UNHURRIED)
    priority, group = _yielded(new_session=True)
    assert priority == str(lower)
    assert group == (str(UNHURRIED) if GROUP.exists() else "")


@pytest.mark.skipif(not GROUP.exists(), reason="no groups of sessions on this system")
def test_it_leaves_a_session_of_others_alone() -> None:
    before = GROUP.read_text().rpartition(" ")[2].strip()
    _, group = _yielded(new_session=False)
    assert group == before


# On the two architectures the system call that reads follows the one that writes.
SLICE = """
import ctypes, platform
from quantlab_server.leash import SCHED_ATTR, SYS_SCHED_SETATTR
read = ctypes.create_string_buffer(SCHED_ATTR.size)
number = SYS_SCHED_SETATTR[platform.machine()] + 1
ctypes.CDLL(None).syscall(number, 0, read, len(read), 0)
_, policy, _, nice, _, slice_ns, _, _ = SCHED_ATTR.unpack(read)
print(policy, nice, slice_ns)
"""


def _slice_asking_for(slice_ns: int) -> list[int]:
    """Return policy, niceness and slice of a program whose leash asked for a slice."""
    done = subprocess.run(
        [
            sys.executable, str(LEASH), str(os.getpid()), str(int(signal.SIGTERM)), str(slice_ns),
            sys.executable, "-c", SLICE,
        ],
        preexec_fn=lambda: os.nice(3),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [int(word) for word in done.stdout.split()]


@pytest.mark.skipif(
    platform.machine() not in SYS_SCHED_SETATTR or _kernel() < (6, 12),
    reason="this kernel gives all the same slices",
)
@pytest.mark.parametrize("slice_ns", [500_000, 20_000_000])
def test_a_program_gets_the_slices_its_leash_asks_for(slice_ns: int) -> None:
    lower = min(19, os.nice(0) + 3)
    assert _slice_asking_for(slice_ns) == [os.sched_getscheduler(0), lower, slice_ns]
