"""How PostgreSQL, which refuses to run as root, is run when we are root.

First choice: a user namespace in which our own files belong to somebody else than root; no mode,
owner or user of the machine changes. Second: a copy in a folder that another user id can reach.
"""

import hashlib
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from quantlab_server.refusal import Refusal

OVERFLOW_ID: Final = 65_534
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
    us = os.geteuid()
    if us != 0 and _name(us) is not None:
        return Seat((), programs, folder, None)
    namespace = _namespace()
    if namespace is not None and _works(namespace, programs, folder):
        return Seat(namespace, programs, folder, None)
    if us != 0:
        raise Refusal(
            f"PostgreSQL does not run under user id {us}, which has no name on this machine, and a "
            "user namespace (unshare --user) is not possible; start as a named user instead."
        )
    return _elsewhere(programs, folder)


def _name(user_id: int) -> str | None:
    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:
        return None


def _namespace() -> tuple[str, ...] | None:
    """Say how to look like somebody who is not root and has a name: PostgreSQL asks for both."""
    ids = sorted(user.pw_uid for user in pwd.getpwall() if user.pw_uid not in {0, OVERFLOW_ID})
    if not ids or not shutil.which("unshare"):
        return None
    return ("unshare", "--user", f"--map-user={ids[0]}", f"--map-group={ids[0]}")


def _other_user() -> pwd.struct_passwd | None:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    return None


def _elsewhere(programs: Path, folder: Path) -> Seat:
    refusal = (
        "PostgreSQL does not run as root, and here neither a user namespace (unshare --user) nor "
        f"another user with {REACHABLE} (setpriv) is possible; start as an ordinary user instead."
    )
    other = _other_user()
    if other is None or not shutil.which("setpriv"):
        raise Refusal(refusal)
    prefix = (
        "setpriv",
        f"--reuid={other.pw_uid}",
        f"--regid={other.pw_gid}",
        "--clear-groups",
        "--pdeathsig=INT",  # changing the user clears the one the leash set
    )
    home = REACHABLE / hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    data = home / "pg"
    try:
        for made in (REACHABLE, home):
            made.mkdir(mode=0o755, exist_ok=True)
        data.mkdir(mode=0o700, exist_ok=True)
        os.chown(data, other.pw_uid, other.pw_gid)
        if not _works(prefix, programs, data):
            programs = _copy(programs, home)
    except OSError as error:
        raise Refusal(f"{refusal} ({error})") from error
    if not _works(prefix, programs, data):
        raise Refusal(refusal)
    return Seat(prefix, programs, data, other.pw_uid)


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
