from pathlib import Path

import pytest

from quantlab_edge.tenant_files import Configs, read_configs

CONFIGS = Path(__file__).parents[3] / "agent" / "configs"


@pytest.fixture(scope="session")
def configs() -> Configs:
    return read_configs(CONFIGS)
