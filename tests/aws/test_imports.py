"""What a cold start imports: little, and the same entry that the runtime calls."""

import pytest

from tests.support.gateway import MANIFESTS
from tests.support.imports import import_ms

FUNCTIONS = [f"{m.kind}/{m.name}" for m in MANIFESTS if m.kind != "worker"]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_nothing_heavy_is_imported(function: str) -> None:
    cost = import_ms(function, runs=1)
    assert cost.heavy == ()
    # Stores and services are imported by the first call that needs them.
    assert not {"psycopg", "redis", "boto3", "cryptography"} & set(cost.packages)
