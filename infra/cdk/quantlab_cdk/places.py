"""Where things lie in the repository."""

import os
import shutil
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[3]
FUNCTIONS: Final = ROOT / "functions"
LAYERS: Final = ROOT / "layers"
CONFIGS: Final = ROOT / "agent" / "configs"
OPENAPI: Final = ROOT / "docs" / "openapi.json"
BUILD: Final = ROOT / "build" / "lambda"


def uv() -> str:
    """Return the command of uv: the one of the Makefile, or the one on the path."""
    own = ROOT / ".venv" / "uv" / "bin" / "uv"
    found = os.environ.get("UV") or (str(own) if own.exists() else shutil.which("uv"))
    if found is None:
        raise FileNotFoundError(f"expected uv at {own} or on the path")
    return found


def settle(made: Path, folder: Path) -> None:
    """Put what was made in its place, unless somebody else has put the same there meanwhile."""
    try:
        made.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
