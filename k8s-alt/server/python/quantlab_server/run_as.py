"""How PostgreSQL, which refuses to run as root, is run when we are root.

First choice: a user namespace in which our own files belong to somebody else than root; no mode,
owner or user of the machine changes. Second: a copy in a folder that another user id can reach.
"""

import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from quantlab_server.refusal import Refusal

NAMESPACE: Final = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
# Between the last id systemd hands to dynamic users' neighbours and nobody: no account has it.
OTHER_ID: Final = 65_530
OTHER_USER: Final = (
    "setpriv",
    f"--reuid={OTHER_ID}",
    f"--regid={OTHER_ID}",
    "--clear-groups",
    "--pdeathsig=INT",
)
REACHABLE: Final = Path("/var/lib/quantlab")
PROBE_WAIT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Seat:
    """Where PostgreSQL sits: what to put before its programs, their folder, its data's folder."""

    prefix: tuple[str, ...]
    programs: Path
    folder: Path
    owner_id: int | None


def choose_seat(programs: Path, folder: Path) -> Seat:
    """Choose how this process may run PostgreSQL with its data in the folder."""
    if os.geteuid() != 0:
        return Seat((), programs, folder, None)
    if shutil.which("unshare") and _works(NAMESPACE, programs, folder):
        return Seat(NAMESPACE, programs, folder, None)
    return _elsewhere(programs, folder)


def _elsewhere(programs: Path, folder: Path) -> Seat:
    refusal = (
        "PostgreSQL does not run as root, and here neither a user namespace (unshare --user) nor "
        f"another user with {REACHABLE} (setpriv) is possible; start as an ordinary user instead."
    )
    if not shutil.which("setpriv"):
        raise Refusal(refusal)
    home = REACHABLE / hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    try:
        home.mkdir(mode=0o755, parents=True, exist_ok=True)
        data = home / "pg"
        data.mkdir(mode=0o700, exist_ok=True)
        os.chown(data, OTHER_ID, OTHER_ID)
        if not _works(OTHER_USER, programs, data):
            programs = _copy(programs, home)
    except OSError as error:
        raise Refusal(f"{refusal} ({error})") from error
    if not _works(OTHER_USER, programs, data):
        raise Refusal(refusal)
    return Seat(OTHER_USER, programs, data, OTHER_ID)


def _copy(programs: Path, home: Path) -> Path:
    """Copy an installation with its neighbour libraries; the programs find them by layout."""
    install = programs.parent
    package = install.parent
    target = home / package.name / install.name
    if not target.exists():
        part = target.with_name(f"{target.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(install, part, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, home / libraries.name, symlinks=True, dirs_exist_ok=True)
        part.replace(target)
    for path in (home, *home.glob("*"), *target.rglob("*")):
        if path.is_dir() and path != home / "pg":
            path.chmod(0o755)
    return target / programs.name


def _works(prefix: tuple[str, ...], programs: Path, folder: Path) -> bool:
    check = 'test -w "$1" && test -x "$1" && exec "$0" --version'
    command = (*prefix, "sh", "-c", check, str(programs / "postgres"), str(folder))
    try:
        done = subprocess.run(  # noqa: S603
            command, check=False, capture_output=True, timeout=PROBE_WAIT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
