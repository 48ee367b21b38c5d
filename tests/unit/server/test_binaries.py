"""Where the stores' programs are looked for, and what is said when they are nowhere."""

from pathlib import Path

import pytest

from quantlab_server import binaries
from quantlab_server.refusal import Refusal


def program(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine with neither wheels nor installed servers."""
    monkeypatch.setattr(binaries, "wheel_folder", lambda _package: None)
    monkeypatch.setattr(binaries, "DEBIAN_POSTGRES", tmp_path / "debian")
    monkeypatch.setattr(binaries.shutil, "which", lambda _name: None)
    return tmp_path


def test_the_setting_comes_first(bare: Path) -> None:
    folder = program(bare / "own", "initdb", "postgres")
    assert binaries.postgres_folder(str(folder)) == folder
    with pytest.raises(Refusal, match=r"QUANTLAB_POSTGRES_BIN .* expected initdb and postgres"):
        binaries.postgres_folder(str(bare))


def test_the_newest_installed_postgres_is_used_and_old_ones_never(bare: Path) -> None:
    program(bare / "debian" / "9" / "bin", "initdb", "postgres")
    program(bare / "debian" / "14" / "bin", "initdb", "postgres")
    with pytest.raises(Refusal, match="PostgreSQL was not found"):
        binaries.postgres_folder(None)
    program(bare / "debian" / "15" / "bin", "initdb", "postgres")
    newest = program(bare / "debian" / "17" / "bin", "initdb", "postgres")
    assert binaries.postgres_folder(None) == newest


def test_the_wheel_comes_before_what_is_installed(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(bare / "debian" / "17" / "bin", "initdb", "postgres")
    wheel = program(bare / "wheel" / "pginstall18" / "bin", "initdb", "postgres")
    monkeypatch.setattr(binaries, "wheel_folder", lambda _package: bare / "wheel")
    assert binaries.postgres_folder(None) == wheel


def test_without_a_wheel_an_installed_server_is_used_and_named(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Refusal, match="Valkey was not found"):
        binaries.valkey_program(None)
    found = {"redis-server": "/usr/bin/redis-server"}
    monkeypatch.setattr(binaries.shutil, "which", found.get)
    server, remark = binaries.valkey_program(None)
    assert server == Path("/usr/bin/redis-server")
    assert remark == "no Valkey wheel for this platform: using /usr/bin/redis-server"


def test_a_setting_without_a_program_is_refused(bare: Path) -> None:
    with pytest.raises(Refusal, match="QUANTLAB_VALKEY_SERVER"):
        binaries.valkey_program(str(bare / "absent"))
