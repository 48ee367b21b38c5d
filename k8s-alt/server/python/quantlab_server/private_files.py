"""Files only their owner can read, written whole or not at all."""

import json
import os
from pathlib import Path
from typing import Any

from quantlab_server.refusal import Refusal


def write_private(path: Path, text: str) -> None:
    """Replace a file's text in one step, mode 0600 from its first byte."""
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def write_private_json(path: Path, value: object) -> None:
    write_private(path, json.dumps(value, indent=2) + "\n")


def read_json_object(path: Path) -> dict[str, Any]:
    """Read a JSON object we wrote earlier; refuse what is damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Refusal(f"{path} cannot be read: {error}. Restore it from a backup.") from error
    if not isinstance(value, dict):
        raise Refusal(f"{path} holds {type(value).__name__}, expected a JSON object.")
    return value


def private_folder(path: Path) -> Path:
    """Make a folder only its owner can enter; an existing one keeps its mode."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Refusal(f"the state folder {path} cannot be made: {error.strerror}.") from error
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise Refusal(f"the state folder {path} is not readable and writable for this user.")
    return path
