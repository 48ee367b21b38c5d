"""What lies beside the code: packed into a layer, or in the repository."""

import importlib.util
import json
from pathlib import Path


def packed_configs() -> Path:
    """Return the folder of the instrument catalogue, the tenant schema and the rule profiles."""
    packed = importlib.util.find_spec("quantlab_configs")
    if packed is None or not packed.submodule_search_locations:
        return Path("agent/configs")
    return Path(packed.submodule_search_locations[0])


def packed_openapi() -> bytes:
    """Return the committed OpenAPI document as a host that has all functions writes it."""
    packed = packed_configs() / "openapi.json"
    text = (packed if packed.exists() else Path("docs/openapi.json")).read_text("utf-8")
    return json.dumps(json.loads(text), sort_keys=True, ensure_ascii=False).encode()
