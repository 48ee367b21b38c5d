"""The whole platform as `quantlab up` starts it, in a folder of its own, for tests from outside."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
from psycopg.rows import dict_row

from quantlab_app.ports.container import Ports
from quantlab_edge.compose import build
from quantlab_edge.settings import Settings
from quantlab_server.addresses import free_port
from quantlab_server.processes import look_up

ROOT = Path(__file__).parents[2]
# On a cloud, a function unpacks its layers before its first answer: seconds, on a busy machine.
ANSWER_S = 60
Document = dict[str, Any]
Adjust = Callable[[Path], None]


@dataclass
class Platform:
    """A group that runs on home/state with the configuration in home/configs."""

    home: Path
    feed: str
    port: int = field(default_factory=free_port)
    up_wait_s = 150
    # A gateway hands bodies on as text: what is not UTF-8 arrives as something else.
    keeps_bytes = True
    senders = 16

    @property
    def state(self) -> Path:
        return self.home / "state"

    @property
    def configs(self) -> Path:
        return self.home / "configs"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def demo(self) -> Document:
        return read_json(self.state / "demo.json")

    def pids(self) -> dict[str, int]:
        path = self.state / "processes.json"
        return read_json(path) if path.exists() else {}

    def up(self) -> None:
        done = self._quantlab("up", "--detach", "--port", str(self.port), "--feed", self.feed)
        assert done.returncode == 0, f"{done.stderr}\n{self.last_words()}"

    def down(self) -> None:
        done = self._quantlab("down")
        assert done.returncode == 0, done.stderr

    def _quantlab(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        # The group must not hold our pipes: a file takes what it says.
        with (self.home / f"{command.replace(' ', '-')}.txt").open("w+") as said:
            done = subprocess.run(
                (
                    *(sys.executable, "-m", "quantlab_server", *command.split()),
                    *("--state", str(self.state), *arguments),
                ),
                cwd=self.home,
                env={
                    **os.environ,
                    "QUANTLAB_LOG_LEVEL": "INFO",
                    "QUANTLAB_CONFIGS": str(self.configs),
                },
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                timeout=self.up_wait_s,
                check=False,
            )
            said.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, "", said.read())

    def last_words(self) -> str:
        logs = sorted((self.state / "logs").glob("*.log"))
        return "\n".join(f"{log.name}: {log.read_text(errors='replace')[-1500:]}" for log in logs)

    def stores(self) -> Document:
        return read_json(self.state / "stores.json")

    def dsn(self, login: str = "postgres") -> str:
        stores = self.stores()
        password = stores[
            {"postgres": "superuser", "quantlab_owner": "owner", "quantlab_app": "app"}[login]
            + "_password"
        ]
        return f"postgresql://{login}:{password}@127.0.0.1:{stores['postgres_port']}/quantlab"

    @property
    def redis_url(self) -> str:
        stores = self.stores()
        return f"redis://:{stores['valkey_password']}@127.0.0.1:{stores['valkey_port']}/0"

    @contextmanager
    def database(self, login: str = "postgres") -> Iterator[psycopg.Connection[Document]]:
        with psycopg.connect(
            self.dsn(login),
            autocommit=True,
            row_factory=dict_row,
            options="-c search_path=quantlab",
        ) as connection:
            yield connection

    @asynccontextmanager
    async def ports(self) -> AsyncIterator[Ports]:
        """Reach the stores as a server of this installation does."""
        made = await build(
            Settings(
                database_url=self.dsn("quantlab_app"),
                redis_url=self.redis_url,
                state=self.state,
                configs=self.configs,
            )
        )
        try:
            yield made
        finally:
            await made.close()

    def kill(self, role: str, number: signal.Signals = signal.SIGKILL) -> int:
        pid = self.pids()[role]
        os.kill(pid, number)
        return pid

    async def restarted(self, role: str, old_pid: int, wait_s: float = 60) -> None:
        """Wait until the supervisor has put a new process in the place of one that was killed."""
        await eventually_async(
            lambda: self.pids().get(role) not in {None, old_pid}, wait_s, f"{role} is back"
        )

    def healthy(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False


def read_json(path: Path) -> Document:
    return dict(json.loads(path.read_text("utf-8")))


@contextmanager
def platform(
    feed: str, adjust: Adjust | None = None, kind: type[Platform] = Platform
) -> Iterator[Platform]:
    """Start a platform on a copy of the configuration, which adjust may change; end it after."""
    with tempfile.TemporaryDirectory(prefix="quantlab-e2e-") as name:
        made = kind(Path(name), feed)
        shutil.copytree(ROOT / "agent" / "configs", made.configs)
        if adjust is not None:
            adjust(made.configs)
        try:
            made.up()
            yield made
        finally:
            pids = made.pids()
            made.down()
            gone = all_gone(pids)
            assert gone, f"left running: {pids}"


def all_gone(pids: dict[str, int], wait_s: float = 20) -> bool:
    return eventually(lambda: all(look_up(pid) is None for pid in pids.values()), wait_s)


def eventually(true: Callable[[], bool], wait_s: float = 30) -> bool:
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.05)
    return true()


async def eventually_async(true: Callable[[], bool], wait_s: float, what: str) -> None:
    deadline = time.monotonic() + wait_s
    while not true():
        assert time.monotonic() < deadline, f"waited {wait_s} s in vain: {what}"
        await asyncio.sleep(0.05)


def change_json(path: Path, change: Callable[[Document], None]) -> None:
    """Change a JSON file in place."""
    document = read_json(path)
    change(document)
    path.write_text(json.dumps(document, indent=2), "utf-8")
