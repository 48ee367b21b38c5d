"""The reference in the same run: a bare pipeline prototype with toy rules, and its own client.

It is no part of this repository. Its folder (`--reference`) holds app.py, worker.py, load.py and
schema.sql; it runs here on stores of the same make and settings as ours.
"""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg

from bench.machine import cpu_seconds, spent
from bench.world import HOST
from quantlab_server.addresses import free_port
from quantlab_server.logs import Output
from quantlab_server.stores import EmbeddedStores

FILES: Final = ("app.py", "worker.py", "load.py", "schema.sql")
WORKER_MODE: Final = "lanebatch:3"
READY_WAIT_S: Final = 20.0
PAUSE_S: Final = 0.2


class Reference:
    """The running prototype."""

    def __init__(
        self, folder: Path, environment: dict[str, str], port: int, processes: dict[str, int]
    ) -> None:
        self._folder = folder
        self._environment = environment
        self._port = port
        self._processes = processes

    def at(self, rate: float, seconds: float) -> dict[str, Any]:
        """Run its load generator at a rate and translate what it says."""
        before = cpu_seconds(self._processes)
        line = self._load("--rate", str(rate), "--secs", str(seconds))[-1]
        used = spent(before, cpu_seconds(self._processes))
        return {
            "rate": rate,
            "seconds": seconds,
            "rate_reached": line["rps"],
            "codes": line["codes"],
            "accept_ms": _latencies(line, "acc"),
            "event_ms": _latencies(line, "evt"),
            "client_us": line["client_us"],
            "cpu_s": used,
            "cpu_ms_per_signal": round(1e3 * sum(used.values()) / max(1, line["acc_n"]), 3),
        }

    def find(self, upper: float, seconds: float) -> tuple[int, list[dict[str, Any]]]:
        """Let it search its highest rate with p99 below 100 ms."""
        lines = self._load("--find", "--upper", str(upper), "--secs", str(seconds))
        found = next((line["MAX"] for line in lines if "MAX" in line), 0)
        tried = [
            {
                "rate": line["target"],
                "rate_reached": line["rps"],
                "accept_p99_ms": line["acc_p99"],
                "event_p99_ms": line.get("evt_p99"),
            }
            for line in lines
            if "target" in line
        ]
        return found, tried

    def _load(self, *arguments: str) -> list[dict[str, Any]]:
        port = str(self._port)
        done = subprocess.run(
            (sys.executable, "load.py", "--port", port, "--ws", port, *arguments),
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return [json.loads(line) for line in done.stdout.splitlines()]


def absent(folder: Path) -> str | None:
    """Say why the reference cannot run, if it cannot."""
    missing = [name for name in FILES if not (folder / name).is_file()]
    return f"{folder} has no {', '.join(missing)}" if missing else None


@contextmanager
def running(folder: Path, scratch: Path) -> Iterator[Reference]:
    """Start fresh stores, the prototype's worker and its application; end them afterwards."""
    output = Output(scratch / "logs", None)
    stores = EmbeddedStores(scratch / "state", output)
    started: list[subprocess.Popen[bytes]] = []
    try:
        urls = stores.start()
        environment = _prepared(folder, stores.superuser_dsn, urls.redis_url)
        log = (scratch / "reference.log").open("wb")
        port = free_port()
        serve = ("--port", str(port), "--loop", "uvloop", "--http", "httptools")
        quiet = ("--ws", "websockets", "--no-access-log", "--log-level", "warning", "app:app")
        for command in (("worker.py", WORKER_MODE), ("-m", "uvicorn", *serve, *quiet)):
            process = subprocess.Popen(
                (sys.executable, *command), cwd=folder, env=environment, stdout=log, stderr=log
            )
            started.append(process)
        _wait_until_ready(port, scratch / "reference.log")
        processes = {child.name: child.pid for child in stores.children if child.pid is not None}
        processes |= {"worker": started[0].pid, "app": started[1].pid}
        reference = Reference(folder, environment, port, processes)
        reference.at(100, 2)
        yield reference
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(10)
        stores.stop()


def _prepared(folder: Path, superuser_dsn: str, redis_url: str) -> dict[str, str]:
    """Make its schema and its login, and say where the stores are.

    Its worker reaches the superuser by replacing the name in the address: one password for both.
    """
    with psycopg.connect(superuser_dsn, autocommit=True) as connection:
        info = connection.info
        connection.execute(f"create role app login password '{info.password}'")
        connection.execute((folder / "schema.sql").read_bytes())
        dsn = f"host={HOST} port={info.port} dbname={info.dbname} user=app password={info.password}"
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith("PG")},
        "PIPE_DSN": dsn,
        "PIPE_REDIS": redis_url,
        "STAGE": "pgq",
        "VARIANT": "fast",
        "WS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONWARNINGS": "ignore",
    }


def _wait_until_ready(port: int, log: Path) -> None:
    deadline = time.monotonic() + READY_WAIT_S
    while time.monotonic() < deadline:
        if _answers(port) and b"ready" in log.read_bytes():
            return
        time.sleep(PAUSE_S)
    sys.exit(f"the reference did not start: {log.read_text(errors='replace')[-2000:]}")


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/", timeout=1):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _latencies(line: dict[str, Any], kind: str) -> dict[str, float | None]:
    return {name: line.get(f"{kind}_{name}") for name in ("p50", "p99", "p999", "max")}
