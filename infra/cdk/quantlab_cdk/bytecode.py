"""Bytecode beside the sources, so that a cold start compiles nothing."""

import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path


class BytecodeError(Exception):
    """A source that does not compile."""


def compile_tree(folder: Path, python: str) -> None:
    """Compile a folder by a Python of that version; without one, cold starts compile themselves.

    The files carry a hash of their source that nobody checks: no time stamps to differ.
    """
    interpreter = matching_python(python)
    if interpreter is None:
        return
    command = [interpreter, "-m", "compileall", "-q", "-f", "-j", "0"]
    command += ["--invalidation-mode", "unchecked-hash", "-s", str(folder), "-p", "/opt"]
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)  # noqa: S603 - an interpreter that answered
    if done.returncode != 0:
        raise BytecodeError(f"{folder} does not compile: {done.stdout}{done.stderr}")


@cache
def matching_python(python: str) -> str | None:
    """Return an interpreter of that version on this machine."""
    if python == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    found = shutil.which(f"python{python}")
    if found is None:
        return None
    said = subprocess.run([found, "-V"], capture_output=True, text=True, check=False)  # noqa: S603 - which found it
    return found if said.stdout.startswith(f"Python {python}.") else None
