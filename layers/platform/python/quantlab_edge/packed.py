"""The configuration that lies beside the code: packed into a layer, or in the repository."""

import importlib.util
from pathlib import Path


def packed_configs() -> Path:
    """Return the folder of the instrument catalogue, the tenant schema and the rule profiles."""
    packed = importlib.util.find_spec("quantlab_configs")
    if packed is None or not packed.submodule_search_locations:
        return Path("agent/configs")
    return Path(packed.submodule_search_locations[0])
