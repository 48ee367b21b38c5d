"""What a cold start imports: little, and the same entry that the runtime calls."""

import json
import os
import subprocess
import sys

from quantlab_cdk.lambda_python import ENVIRONMENT
from quantlab_manifest import HttpWake, Manifest
from tests.support.gateway import MANIFESTS

FUNCTIONS = [f"{m.kind}/{m.name}" for m in MANIFESTS if m.kind != "worker"]
# What a Lambda may never load, and stores and services, which the first call imports that needs
# them.
HEAVY = {"llvmlite", "numba", "numpy", "pandas", "polars", "pyarrow"}
LATE = {"psycopg", "redis", "boto3", "cryptography"}
START_EACH = """
import importlib, json, os, sys
found = {}
for function in sys.argv[1:]:
    os.environ["QUANTLAB_FUNCTION"] = function
    if "quantlab_edge.lambdas" in sys.modules:
        importlib.reload(sys.modules["quantlab_edge.lambdas"])
    else:
        importlib.import_module("quantlab_edge.lambdas")
    found[function] = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps(found))
"""


def test_no_function_imports_what_is_heavy_or_only_needed_later() -> None:
    """Each starts after the others: the first one that imports too much is the first named."""
    found = packages_after(FUNCTIONS)
    assert list(found) == FUNCTIONS
    assert {name: (HEAVY | LATE) & packages for name, packages in found.items()} == {
        name: set() for name in FUNCTIONS
    }
    assert "pydantic" in found["http/accounts"]


def test_what_reads_its_events_itself_starts_without_fastapi() -> None:
    itself = [f"{m.kind}/{m.name}" for m in MANIFESTS if reads_itself(m)]
    assert {"http/webhooks", "queue/order_execute", "schedule/day_roll"} <= set(itself)
    found = packages_after(itself)
    assert [name for name, packages in found.items() if "fastapi" in packages] == []


def reads_itself(manifest: Manifest) -> bool:
    if isinstance(manifest.wake, HttpWake):
        return manifest.wake.raw
    return manifest.kind in {"queue", "schedule", "deploy"}


def packages_after(functions: list[str]) -> dict[str, set[str]]:
    done = subprocess.run(
        [sys.executable, "-c", START_EACH, *functions],
        env={"PATH": os.environ["PATH"], **ENVIRONMENT},
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    found = json.loads(done.stdout.splitlines()[-1])
    return {name: set(packages) for name, packages in found.items()}


# What no signal needs before or after it is accepted.
NOT_FOR_SIGNALS = {
    "dotenv", "fastapi", "pydantic.v1", "pydantic_settings", "quantlab_edge.http",
    "quantlab.engine.life_records", "quantlab.ledger.state", "quantlab_app.ports.identity",
    "quantlab_edge.deployments", "quantlab_edge.lambdas_gateway",
}  # fmt: skip
START_SIGNALS = """
import json, sys
import quantlab_edge.lambdas
print(json.dumps(sorted(sys.modules)))
"""


def test_accepting_signals_starts_without_what_it_never_uses() -> None:
    done = subprocess.run(
        [sys.executable, "-c", START_SIGNALS],
        env={"PATH": os.environ["PATH"], "QUANTLAB_FUNCTION": "http/webhooks", **ENVIRONMENT},
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    found = set(json.loads(done.stdout.splitlines()[-1]))
    assert "functions.http.webhooks.handler" in found
    assert found & NOT_FOR_SIGNALS == set()
