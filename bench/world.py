"""The world of the bench: five tenants of twenty accounts with a bot each, on real rules.

The rule profile is `demo-open`: five rules at work. Only the rate limits are raised, by
configuration. PostgreSQL runs with fsync and synchronous_commit on, as always outside of tests.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from quantlab_edge.native import compiled_kernels
from quantlab_server.addresses import free_port

ROOT: Final = Path(__file__).parents[1]
HOST: Final = "127.0.0.1"
TENANTS: Final = 5
ACCOUNTS: Final = 20
ACCOUNT_TYPE: Final = "bench-100k"
SYMBOLS: Final = ("EURUSD", "XAUUSD", "BTCUSD")
UNLIMITED: Final = {"perMinute": 1_000_000, "burst": 1_000_000}
# Compiled once for all runs: half a minute of a core is nothing to measure beside.
NATIVE: Final = ROOT / "bench" / "out" / "native"
READY_WAIT_S: Final = 120.0
STOP_WAIT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class World:
    """A running group: where it listens, who is in it, and which process has which role."""

    state: Path
    port: int
    tenants: list[dict[str, Any]]
    processes: dict[str, int]

    @property
    def bots(self) -> list[dict[str, Any]]:
        """All bots, tenants taking turns, so that neighbours in the schedule differ."""
        rows = zip(*(tenant["bots"] for tenant in self.tenants), strict=True)
        return [bot for row in rows for bot in row]

    @property
    def superuser_dsn(self) -> str:
        return self._dsn("postgres", "superuser_password")

    @property
    def app_dsn(self) -> str:
        return self._dsn("quantlab_app", "app_password")

    @property
    def redis_url(self) -> str:
        stores = self._stores()
        return f"redis://:{stores['valkey_password']}@{HOST}:{stores['valkey_port']}/0"

    def _dsn(self, login: str, password: str) -> str:
        stores = self._stores()
        return f"postgresql://{login}:{stores[password]}@{HOST}:{stores['postgres_port']}/quantlab"

    def _stores(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.state / "stores.json").read_text("utf-8"))
        return found


def write_configs(folder: Path) -> Path:
    """Copy the configuration folder, with the tenants of the bench in place of the committed."""
    shutil.copytree(ROOT / "agent" / "configs", folder)
    for path in (folder / "tenants").iterdir():
        path.unlink()
    for number in range(1, TENANTS + 1):
        tenant_id = f"bench-{number}"
        document = {
            "tenantId": tenant_id,
            "branding": {"name": f"Bench {number}", "hostNames": [f"{tenant_id}.localhost"]},
            "timeZone": "UTC",
            "accountTypes": [
                {
                    "id": ACCOUNT_TYPE,
                    "name": "Bench 100K",
                    "currency": "USD",
                    "initialBalance": "100000.00",
                    "profile": "demo-open",
                }
            ],
            "instruments": list(SYMBOLS),
            "rateLimits": dict.fromkeys(("account", "bot", "tenant"), UNLIMITED),
        }
        (folder / "tenants" / f"{tenant_id}.json").write_text(json.dumps(document), "utf-8")
    return folder


@contextmanager
def running(folder: Path, feed: str = "synthetic") -> Iterator[World]:
    """Start the group in a folder of its own and end it afterwards."""
    compiled_kernels(NATIVE)
    configs = write_configs(folder / "configs")
    state, port = folder / "state", free_port()
    with subprocess.Popen(
        (sys.executable, "-m", "bench.group", str(state), str(port), feed),
        cwd=ROOT,
        env={
            **os.environ,
            "QUANTLAB_CONFIGS": str(configs.absolute()),
            "QUANTLAB_NATIVE_FOLDER": str(NATIVE),
        },
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line:
                sys.exit(f"the group under measurement did not start; see {state / 'logs'}")
            ready = json.loads(line)
            yield World(state, port, ready["tenants"], ready["processes"])
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(STOP_WAIT_S)
