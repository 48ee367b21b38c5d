"""What the figures were taken on, and which process used how much of it."""

import os
import platform
import subprocess
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import psycopg
import redis

from bench.world import ROOT, World

LIBRARIES: Final = ("fastapi", "uvicorn", "uvloop", "httptools", "psycopg", "redis", "orjson")
SUPERVISOR: Final = "supervisor"
CORES: Final = len(os.sched_getaffinity(0))
TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Clock:
    """A moment, and how long the cores have been busy until then, steal among it."""

    at: float
    busy_s: float

    @classmethod
    def read(cls) -> "Clock":
        names = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"]
        ticks = next((line.split()[1:9] for line in _lines("/proc/stat")), ["0"] * len(names))
        counted = dict(zip(names, map(int, ticks), strict=True))
        busy = sum(n for name, n in counted.items() if name not in ("idle", "iowait"))
        return cls(time.monotonic(), busy / TICKS_PER_S)


def machine() -> dict[str, Any]:
    """Describe this machine."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in _lines("/proc/cpuinfo")
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    memory_kib = next(
        (int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0
    )
    return {
        "cpu": cpu,
        "cores": CORES,
        "memory_gib": round(memory_kib / 2**20, 1),
        "kernel": f"{platform.system()} {platform.release()}",
        "load_before": os.getloadavg()[0],
    }


def versions(world: World) -> dict[str, str]:
    """Name the versions of everything on the path."""
    with psycopg.connect(world.superuser_dsn) as connection:
        row = connection.execute("show server_version").fetchone()
    with redis.Redis.from_url(world.redis_url) as client:
        valkey = client.info("server")
    found = {
        "python": platform.python_version(),
        "postgresql": row[0].split()[0] if row else "unknown",
        "valkey": str(valkey.get("valkey_version", valkey.get("redis_version", "unknown"))),
        **{name: version(name) for name in LIBRARIES},
    }
    git = ("git", "-C", str(ROOT), "describe", "--always", "--dirty")
    done = subprocess.run(git, capture_output=True, text=True, check=False)
    return {**found, "commit": done.stdout.strip() or "unknown"}


def durability(dsn: str) -> dict[str, str]:
    """Read the settings on which an acknowledgement rests."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            "select name, setting from pg_settings"
            " where name in ('fsync', 'synchronous_commit', 'full_page_writes')"
        ).fetchall()
    return dict(rows)


def cpu_seconds(processes: dict[str, int]) -> dict[str, float]:
    """Read how long each process and its children, living and reaped, have been on a core."""
    children = _children()
    found = {n: _of_tree(pid, children) for n, pid in processes.items() if n != SUPERVISOR}
    if SUPERVISOR in processes:  # everything is its child
        found[SUPERVISOR] = _own(_stat(processes[SUPERVISOR])[:13])
    return found


def busy_elsewhere(before: "Clock", used_s: float) -> float:
    """Return the share of all cores that work other than ours has taken since a moment."""
    now = Clock.read()
    others_s = now.busy_s - before.busy_s - used_s
    return round(max(0.0, others_s) / ((now.at - before.at) * CORES), 2)


def spent(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    return {name: round(after[name] - before.get(name, 0.0), 3) for name in after}


def _of_tree(pid: int, children: dict[int, list[int]]) -> float:
    fields = _stat(pid)
    return _own(fields) + sum(_of_tree(child, children) for child in children.get(pid, ()))


def _own(fields: list[str]) -> float:
    """Add up user and system time, its own and that of reaped children, where they are given."""
    return sum(int(field) for field in fields[11:15]) / TICKS_PER_S


def _children() -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            found.setdefault(int(fields[1]), []).append(int(entry.name))
    return found


def _stat(pid: int) -> list[str]:
    """Return the fields after the program's name, which may hold anything."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text("utf-8").splitlines()
    except OSError:
        return []
