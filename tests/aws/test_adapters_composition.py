"""A function gets the ports its manifest names, and pays for no others."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from quantlab_app.ports.errors import Misconfigured
from quantlab_edge.compose_aws import OnAws, build
from quantlab_edge.composition import PORT_NAMES
from quantlab_edge.settings_aws import AwsSettings, read_aws_settings
from quantlab_manifest import load_all

ROOT = Path(__file__).parents[2]
VARIABLES = {
    "QUANTLAB_FUNCTION": "http/webhooks",
    "QUANTLAB_STAGE": "test",
    "QUANTLAB_STORES_SECRET": "stores",
    "QUANTLAB_KEYS_SECRET": "keys",
    "QUANTLAB_SECRETS_PREFIX": "quantlab/test",
    "QUANTLAB_QUEUE_ORDERS": "http://127.0.0.1:1/1/orders.fifo",
    "QUANTLAB_QUEUE_AUDIT": "http://127.0.0.1:1/1/audit.fifo",
    "QUANTLAB_QUEUE_PUBLISH": "http://127.0.0.1:1/1/publish.fifo",
    "QUANTLAB_QUEUE_WEBHOOKS": "http://127.0.0.1:1/1/webhooks.fifo",
    "QUANTLAB_EVENT_BUS": "events",
    "QUANTLAB_SOCKET_ENDPOINT": "http://127.0.0.1:1/stage",
    "QUANTLAB_ARCHIVE_BUCKET": "ticks",
    "QUANTLAB_MAIL_SENDER": "no-reply@quantlab.example",
    "QUANTLAB_PUBLIC_URL": "https://api.quantlab.example",
}
NOWHERE = ("pyarrow", "numpy", "numba", "llvmlite", "uvicorn", "alembic", "jsonschema", "httpx")
HEAVY = {
    "webhooks": (*NOWHERE, "argon2", "pyotp", "jwt", "boto3", "s3transfer", "smtplib"),
    "order_execute": (
        *NOWHERE,
        "argon2",
        "pyotp",
        "jwt",
        "boto3",
        "fastapi",
        "cryptography.hazmat",
    ),
    "connect": (*NOWHERE, "argon2", "pyotp", "jwt", "boto3", "fastapi"),
}
# The stores' addresses come from Secrets Manager; here from nowhere, and no connection is made.
PROGRAM = """
import asyncio, importlib, json, sys
from quantlab_edge.compose_aws import OnAws
from quantlab_edge.settings_aws import read_aws_settings
settings = read_aws_settings()
async def store_urls(self):
    return "postgresql://nobody@127.0.0.1:1/none", "redis://127.0.0.1:1/0"
OnAws.store_urls = store_urls
async def main():
    ports = await OnAws(settings).ports(json.loads(sys.argv[2]), str)
    await ports.close()
importlib.import_module(sys.argv[1])
asyncio.run(main())
print(json.dumps(sorted(sys.modules)))
"""


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> AwsSettings:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    return read_aws_settings()


def _manifest(name: str) -> Any:
    return next(one for one in load_all(ROOT / "functions") if one.name == name)


@pytest.mark.parametrize("name", HEAVY)
def test_a_function_imports_what_its_ports_need_and_no_more(name: str) -> None:
    manifest = _manifest(name)
    done = subprocess.run(
        (sys.executable, "-c", PROGRAM, manifest.module, json.dumps(list(manifest.ports))),
        cwd=ROOT,
        env={**os.environ, **VARIABLES},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout))
    assert loaded & set(HEAVY[name]) == set()
    assert "psycopg" in loaded or name == "connect"


async def test_a_port_that_is_not_named_refuses_every_use(settings: AwsSettings) -> None:
    ports = await build(settings, ["clock", "ids", "catalog", "identity_policy"])
    assert ports.clock.now_ns() > 0
    assert "EURUSD" in ports.catalog.instruments
    message = "http/webhooks does not name the port {} in its manifest"
    with pytest.raises(Misconfigured, match=message.format("inbox")):
        _ = ports.inbox.accept
    with pytest.raises(Misconfigured, match=message.format("open_tick_source")):
        ports.open_tick_source()
    for use in (iter, len, list, bool, lambda port: port[0], lambda port: 1 in port):
        with pytest.raises(Misconfigured, match=message.format("probes")):
            use(ports.probes)
    await ports.close()


async def test_a_name_that_is_no_port_is_refused(settings: AwsSettings) -> None:
    with pytest.raises(Misconfigured, match="expected names of ports, got close, inboxes"):
        await build(settings, ["clock", "inboxes", "close"])


async def test_every_port_has_its_part(settings: AwsSettings) -> None:
    assert {name for name in PORT_NAMES if not callable(getattr(OnAws, name, None))} == set()


def test_manifests_name_ports_that_exist() -> None:
    for manifest in load_all(ROOT / "functions"):
        assert set(manifest.ports) <= PORT_NAMES, manifest.name


async def test_what_was_built_is_closed_when_a_later_part_fails(settings: AwsSettings) -> None:
    closed = []

    class Failing(OnAws):
        async def clock(self) -> Any:
            async def close() -> None:
                closed.append("clock")

            self.closes(close)

        async def ids(self) -> Any:
            raise Misconfigured("no ids")

    with pytest.raises(Misconfigured, match="no ids"):
        await Failing(settings).ports(["clock", "ids"], str)
    assert closed == ["clock"]


def test_every_missing_or_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("QUANTLAB_QUEUE_ORDERS")
    monkeypatch.setenv("QUANTLAB_SOCKET_ENDPOINT", "wss://elsewhere")
    monkeypatch.setenv("QUANTLAB_POOL_SIZE", "none")
    with pytest.raises(Misconfigured) as refused:
        read_aws_settings()
    named = str(refused.value)
    assert "QUANTLAB_QUEUE_ORDERS: Field required" in named
    assert "QUANTLAB_SOCKET_ENDPOINT" in named
    assert "QUANTLAB_POOL_SIZE" in named
    assert "wss://elsewhere" not in named
