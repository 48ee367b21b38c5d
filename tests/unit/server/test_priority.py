"""What nobody waits for lets the order path run first."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from quantlab_server.roles import UNHURRIED

GROUP = Path("/proc/self/autogroup")
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
