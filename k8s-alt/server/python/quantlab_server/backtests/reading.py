"""A JSON object of the configuration folder."""

import json
from pathlib import Path
from typing import Any

from quantlab_server.refusal import Refusal


def read_object(path: Path) -> dict[str, Any]:
    """Read a file; Refusal where it is none, or holds no object."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Refusal(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise Refusal(f"{path}: expected an object")
    return found
