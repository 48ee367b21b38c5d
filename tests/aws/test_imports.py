"""What a cold start imports: little, and the same entry that the runtime calls."""

import pytest

from tests.support.gateway import MANIFESTS
from tests.support.imports import import_ms

FUNCTIONS = [f"{m.kind}/{m.name}" for m in MANIFESTS if m.kind != "worker"]
WEBHOOKS_MS_MAX = 400


@pytest.mark.parametrize("function", FUNCTIONS)
def test_nothing_heavy_is_imported(function: str) -> None:
    cost = import_ms(function, runs=1)
    assert cost.heavy == ()
    # Stores and services are imported by the first call that needs them.
    assert not {"psycopg", "redis", "boto3", "cryptography"} & set(cost.packages)


def test_the_webhook_function_imports_fast() -> None:
    assert import_ms("http/webhooks", runs=7).busy_ms <= WEBHOOKS_MS_MAX
