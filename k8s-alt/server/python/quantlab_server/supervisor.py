"""Start the stores and the roles as one group, keep them running, end them in order.

Nothing of the group outlives this process: every child is on a leash (leash.py).
"""

import http.client
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

from quantlab_db.migrate import MigrationError, migrate
from quantlab_server import plan
from quantlab_server.addresses import port_is_free
from quantlab_server.children import Child, Program
from quantlab_server.group import end_leftovers, take_lock, write_processes
from quantlab_server.logs import Output, tail
from quantlab_server.refusal import Refusal
from quantlab_server.stores import EmbeddedStores, StoreUrls
from quantlab_server.watch import Watch

HEALTH_WAIT_S: Final = 90.0
HEALTH_ANSWER_S: Final = 5.0
RESTARTS_BEFORE_READY_MAX: Final = 3
ROLE_STOP_WAIT_S: Final = 15.0
POLL_EVERY_S: Final = 0.1
NAME: Final = "supervisor"
STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
Seed = Callable[[StoreUrls, Path], dict[str, Any]]
Command = Callable[[plan.Role], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Options:
    """What `make up` may choose."""

    state: Path
    host: str
    port: int
    feed: str

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Ready:
    """What is known when the group has become healthy."""

    url: str
    state: Path
    feed: str
    demo: Mapping[str, Any]
    processes: Mapping[str, int]


def role_command(role: plan.Role) -> tuple[str, ...]:
    """Say how a role of this installation is started."""
    return (sys.executable, "-m", "quantlab_server", "role", *role.arguments)


class _StopAsked(BaseException):
    """Somebody pressed Ctrl-C or sent SIGTERM."""


class Supervisor:
    """Run one group in the foreground."""

    def __init__(
        self,
        options: Options,
        output: Output,
        *,
        seed: Seed,
        announce: Callable[[Ready], None],
        command: Command = role_command,
    ) -> None:
        self._options = options
        self._output = output
        self._seed = seed
        self._announce = announce
        self._command = command
        self._stores: EmbeddedStores | None = None
        self._roles: tuple[Child, ...] = ()

    def run(self, roles: tuple[plan.Role, ...]) -> None:
        """Start everything, announce it, and keep it running until asked to stop."""
        lock = take_lock(self._options.state)
        try:
            for number in STOP_SIGNALS:
                signal.signal(number, _ask_to_stop)
            self._live(roles)
        except _StopAsked:
            self._output.say(NAME, "stopping")
        finally:
            # From here on another Ctrl-C changes nothing: the stores must close their files.
            for number in STOP_SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            self._stop()
            lock.release()
        self._output.say(NAME, "stopped")

    def _live(self, roles: tuple[plan.Role, ...]) -> None:
        options = self._options
        end_leftovers(options.state)
        if not port_is_free(options.port, options.host):
            raise Refusal(
                f"port {options.port} on {options.host} is taken; choose another: "
                f"make up PORT={options.port + 1}"
            )
        self._stores = EmbeddedStores(options.state, self._output)
        self._output.say(NAME, "starting PostgreSQL and Valkey")
        urls = self._stores.start()
        try:
            applied = migrate(urls.owner_dsn)
        except MigrationError as error:
            raise Refusal(f"the database cannot be migrated: {error}") from error
        if applied:
            self._output.say(NAME, f"migrated to {applied[-1]}")
        demo = self._seed(urls, options.state)
        self._roles = tuple(
            Child(self._program(role, _environment(options, urls)), self._output) for role in roles
        )
        watch = Watch((*self._stores.children, *self._roles), self._say_restart)
        for child in self._roles:
            child.start()
        self._write_processes()
        self._wait_until_healthy(watch)
        self._announce(Ready(options.url, options.state, options.feed, demo, self._pids()))
        while True:
            self._look_after(watch)

    def _program(self, role: plan.Role, environment: Mapping[str, str]) -> Program:
        return Program(
            name=role.name,
            argv=self._command(role),
            environment=environment,
            stop_signal=signal.SIGTERM,
            stop_wait_s=ROLE_STOP_WAIT_S,
        )

    def _look_after(self, watch: Watch) -> None:
        if watch.look():
            self._write_processes()
        time.sleep(POLL_EVERY_S)

    def _wait_until_healthy(self, watch: Watch) -> None:
        deadline = time.monotonic() + HEALTH_WAIT_S
        while not _healthy(self._options):
            self._look_after(watch)
            failing = watch.restarted_most()
            if failing is not None and failing[1] >= RESTARTS_BEFORE_READY_MAX:
                raise self._not_ready(failing[0], "keeps ending")
            if time.monotonic() > deadline:
                raise self._not_ready(plan.SERVER, f"was not healthy in {HEALTH_WAIT_S:.0f} s")

    def _not_ready(self, name: str, what: str) -> Refusal:
        path = self._output.path(name)
        said = next((line.strip() for line in reversed(tail(path, 20)) if line.strip()), "nothing")
        return Refusal(f"{name} {what}; it last said: {said} (all of it: {path})")

    def _say_restart(self, child: Child, code: int, wait_s: float) -> None:
        cause = f"signal {-code}" if code < 0 else f"exit code {code}"
        self._output.say(NAME, f"{child.name} ended ({cause}), starting again in {wait_s:.1f} s")

    def _pids(self) -> dict[str, int]:
        stores = () if self._stores is None else self._stores.children
        children = {child.name: child.pid for child in (*stores, *self._roles)}
        return {
            NAME: os.getpid(),
            **{name: pid for name, pid in children.items() if pid is not None},
        }

    def _write_processes(self) -> None:
        write_processes(self._options.state, self._pids())

    def _stop(self) -> None:
        for child in self._roles:
            child.ask_to_stop()
        for child in self._roles:
            if not child.finish():
                self._output.say(NAME, f"{child.name} did not end and was killed")
        if self._stores is not None:
            self._stores.stop()
            (self._options.state / "processes.json").unlink(missing_ok=True)


def _ask_to_stop(_number: int, _frame: FrameType | None) -> None:
    raise _StopAsked


def _environment(options: Options, urls: StoreUrls) -> dict[str, str]:
    return {
        "QUANTLAB_PUBLIC_URL": options.url,
        "QUANTLAB_CONFIGS": str(Path("agent/configs").absolute()),
        **os.environ,
        "QUANTLAB_DATABASE_URL": urls.app_dsn,
        "QUANTLAB_REDIS_URL": urls.redis_url,
        "QUANTLAB_STATE": str(options.state.absolute()),
        "QUANTLAB_HOST": options.host,
        "QUANTLAB_PORT": str(options.port),
        "QUANTLAB_FEED": options.feed,
        "PYTHONUNBUFFERED": "1",
    }


def _healthy(options: Options) -> bool:
    host = "127.0.0.1" if options.host == "0.0.0.0" else options.host
    connection = http.client.HTTPConnection(host, options.port, timeout=HEALTH_ANSWER_S)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
