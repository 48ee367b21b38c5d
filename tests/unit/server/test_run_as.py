"""How PostgreSQL is run by root, by a named user and by a user without a name."""

import os
import pwd
from pathlib import Path

import pytest

from quantlab_server import run_as
from quantlab_server.refusal import Refusal

PROGRAMS = Path("programs")


class Machine:
    """What the machine answers, instead of the real one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.monkeypatch = monkeypatch
        self.folder = folder
        self.tools = {"unshare", "setpriv"}
        self.working = {"unshare", "setpriv", ""}
        self.asked: list[str] = []
        monkeypatch.setattr(run_as, "REACHABLE", folder / "reachable")
        monkeypatch.setattr(run_as, "_works", self.works)
        monkeypatch.setattr(run_as.shutil, "which", lambda name: name in self.tools or None)
        monkeypatch.setattr(run_as.os, "chown", lambda *_: None)

    def user(self, user_id: int) -> None:
        self.monkeypatch.setattr(run_as.os, "geteuid", lambda: user_id)

    def works(self, prefix: tuple[str, ...], _programs: Path, _folder: Path) -> bool:
        self.asked.append(prefix[0])
        return prefix[0] in self.working

    def seat(self) -> run_as.Seat:
        return run_as.choose_seat(PROGRAMS, self.folder)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    return Machine(monkeypatch, tmp_path)


def nameless() -> int:
    taken = {user.pw_uid for user in pwd.getpwall()}
    return next(number for number in range(50_000, 60_000) if number not in taken)


def test_a_named_user_runs_it_plainly(machine: Machine) -> None:
    machine.user(pwd.getpwnam("nobody").pw_uid)
    assert machine.seat() == run_as.Seat((), PROGRAMS, machine.folder, None)
    assert machine.asked == []


@pytest.mark.parametrize("who", ["root", "nameless"])
def test_root_and_the_nameless_look_like_a_named_user(machine: Machine, who: str) -> None:
    machine.user(0 if who == "root" else nameless())
    seat = machine.seat()
    assert seat.prefix[:2] == ("unshare", "--user")
    shown = int(seat.prefix[2].removeprefix("--map-user="))
    assert shown not in {0, run_as.OVERFLOW_ID}
    assert pwd.getpwuid(shown).pw_name
    assert seat.folder == machine.folder


def test_without_namespaces_root_uses_another_user_elsewhere(machine: Machine) -> None:
    machine.user(0)
    machine.working.remove("unshare")
    seat = machine.seat()
    assert seat.prefix[0] == "setpriv"
    assert "--pdeathsig=INT" in seat.prefix
    assert seat.folder.is_relative_to(machine.folder / "reachable")
    assert seat.owner_id not in {0, None}
    assert machine.seat() == seat


def test_the_place_elsewhere_depends_on_the_state(machine: Machine, tmp_path: Path) -> None:
    machine.user(0)
    machine.working.remove("unshare")
    other = tmp_path / "other"
    assert machine.seat().folder != run_as.choose_seat(PROGRAMS, other).folder


@pytest.mark.parametrize("tools", [set(), {"setpriv"}])
def test_where_nothing_works_root_is_told_what_to_do(machine: Machine, tools: set[str]) -> None:
    machine.user(0)
    machine.tools = tools
    machine.working.clear()
    machine.monkeypatch.setattr(run_as, "_copy", lambda programs, _home: programs)
    with pytest.raises(Refusal, match="start as an ordinary user instead"):
        machine.seat()


def test_a_nameless_user_without_namespaces_is_told(machine: Machine) -> None:
    machine.user(nameless())
    machine.working.clear()
    with pytest.raises(Refusal, match="no name on this machine"):
        machine.seat()


def test_the_copy_keeps_the_layout_and_can_be_reached(tmp_path: Path) -> None:
    package = tmp_path / "private" / "package"
    programs = package / "install18" / "bin"
    programs.mkdir(parents=True, mode=0o700)
    (programs / "postgres").write_text("program")
    libraries = tmp_path / "private" / "package.libs"
    libraries.mkdir(mode=0o700)
    (libraries / "libx.so").write_text("library")
    home = tmp_path / "home"
    (home / "pg").mkdir(parents=True, mode=0o700)
    copied = run_as._copy(programs, home)
    assert copied == home / "package" / "install18" / "bin"
    assert (copied / "postgres").read_text() == "program"
    assert (home / "package.libs" / "libx.so").read_text() == "library"
    for folder in (copied, home / "package", home / "package.libs"):
        assert folder.stat().st_mode & 0o777 == 0o755
    assert (home / "pg").stat().st_mode & 0o777 == 0o700
    assert os.access(copied, os.X_OK)
    assert run_as._copy(programs, home) == copied
