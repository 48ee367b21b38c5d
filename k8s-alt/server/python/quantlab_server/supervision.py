"""What every supervised group does: hold the lock, start children, restart them, end in order.

Nothing of the group outlives this process: every child is on a leash (leash.py).
"""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Final

from quantlab_db.migrate import MigrationError, migrate
from quantlab_server.children import Child, Program
from quantlab_server.group import end_leftovers, forget_processes, take_lock, write_processes
from quantlab_server.logs import Output, tail
from quantlab_server.refusal import Refusal
from quantlab_server.stores import EmbeddedStores, StoreUrls
from quantlab_server.watch import Watch

POLL_EVERY_S: Final = 0.1
RESTARTS_BEFORE_READY_MAX: Final = 3
NAME: Final = "supervisor"
FAILED: Final = "\N{CROSS MARK}"  # how the CDK begins to say what went wrong
FAILED_LINES: Final = 4
STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class _StopAsked(BaseException):
    """Somebody pressed Ctrl-C or sent SIGTERM."""


class Supervision:
    """The children of one state folder, from the first to the last."""

    def __init__(self, state: Path, output: Output) -> None:
        self.state = state
        self.output = output
        self._stores: EmbeddedStores | None = None
        self._platform: tuple[Child, ...] = ()
        self._roles: tuple[Child, ...] = ()
        self._watch: Watch | None = None

    def run(self, live: Callable[[], None]) -> None:
        """Hold the state folder while living; end every child however life ends."""
        lock = take_lock(self.state)
        try:
            for number in STOP_SIGNALS:
                signal.signal(number, _ask_to_stop)
            end_leftovers(self.state)
            live()
        except _StopAsked:
            self.say("stopping")
        finally:
            # From here on another Ctrl-C changes nothing: the stores must close their files.
            for number in STOP_SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            self._stop()
            lock.release()
        self.say("stopped")

    def say(self, text: str) -> None:
        self.output.say(NAME, text)

    def start_stores(self) -> StoreUrls:
        """Start PostgreSQL and Valkey and bring the database to the newest revision."""
        self._stores = EmbeddedStores(self.state, self.output)
        self.say("starting PostgreSQL and Valkey")
        try:
            applied = migrate(self._stores.start().owner_dsn)
        except MigrationError as error:
            raise Refusal(f"the database cannot be migrated: {error}") from error
        if applied:
            self.say(f"migrated to {applied[-1]}")
        return self._stores.nearest

    def start_platform(self, program: Program) -> Child:
        """Start what the roles stand on; it ends after them and is not started again."""
        child = Child(program, self.output)
        self._platform = (*self._platform, child)
        child.start()
        self._write_processes()
        return child

    def complete(self, *programs: Program, wait_s: float) -> None:
        """Run programs beside each other to their ends; Refusal names the first that fails."""
        running = [Child(program, self.output) for program in programs]
        deadline = time.monotonic() + wait_s
        try:
            for child in running:
                child.start()
            while running:
                self._look_at_platform()
                for child in [child for child in running if child.exit_code() is not None]:
                    running.remove(child)
                    self._settle(child)
                if running and time.monotonic() > deadline:
                    raise self.not_ready(running[0].name, f"did not end in {wait_s:.0f} s")
                time.sleep(POLL_EVERY_S)
        finally:
            for child in running:
                child.ask_to_stop()
            for child in running:
                child.finish()

    def _settle(self, child: Child) -> None:
        code = child.exit_code()
        child.finish()
        if code != 0:
            raise self.not_ready(child.name, f"failed with exit code {code}")

    def start_roles(self, programs: tuple[Program, ...]) -> None:
        """Start the roles; from now on look_after starts again what ends."""
        self._roles = tuple(Child(program, self.output) for program in programs)
        stores = () if self._stores is None else self._stores.children
        self._watch = Watch((*stores, *self._roles), self._say_restart)
        for child in self._roles:
            child.start()
        self._write_processes()

    def look_after(self) -> None:
        """Start again what has ended, and wait a moment; Refusal when the platform has ended."""
        self._look_at_platform()
        if self._watch is not None and self._watch.look():
            self._write_processes()
        time.sleep(POLL_EVERY_S)

    def wait_until(self, healthy: Callable[[], bool], wait_s: float, what: str) -> None:
        """Look after the children until the group is healthy; Refusal when it never is."""
        deadline = time.monotonic() + wait_s
        while not healthy():
            self.look_after()
            failing = None if self._watch is None else self._watch.restarted_most()
            if failing is not None and failing[1] >= RESTARTS_BEFORE_READY_MAX:
                raise self.not_ready(failing[0], "keeps ending")
            if time.monotonic() > deadline:
                raise self.not_ready(what, f"was not healthy in {wait_s:.0f} s")

    def not_ready(self, name: str, what: str) -> Refusal:
        """Say what went wrong with a child, with its last words."""
        path = self.output.path(name)
        said = _last_words(tail(path, 60))
        return Refusal(f"{name} {what}; it last said: {said} (all of it: {path})")

    def pids(self) -> dict[str, int]:
        """Say which process has which role."""
        stores = () if self._stores is None else self._stores.children
        children = {child.name: child.pid for child in (*stores, *self._platform, *self._roles)}
        return {
            NAME: os.getpid(),
            **{name: pid for name, pid in children.items() if pid is not None},
        }

    def _look_at_platform(self) -> None:
        for child in self._platform:
            code = child.exit_code()
            if code is not None:
                raise self.not_ready(child.name, f"ended with exit code {code}")

    def _say_restart(self, child: Child, code: int, wait_s: float) -> None:
        cause = f"signal {-code}" if code < 0 else f"exit code {code}"
        self.say(f"{child.name} ended ({cause}), starting again in {wait_s:.1f} s")

    def _write_processes(self) -> None:
        write_processes(self.state, self.pids())

    def _stop(self) -> None:
        for group in (self._roles, self._platform):
            for child in group:
                child.ask_to_stop()
            for child in group:
                if not child.finish():
                    self.say(f"{child.name} did not end and was killed")
        if self._stores is not None:
            self._stores.stop()
            forget_processes(self.state)


def _ask_to_stop(_number: int, _frame: FrameType | None) -> None:
    raise _StopAsked


def _last_words(lines: list[str]) -> str:
    """Pick the lines that say what failed, or the last one."""
    said = [line.strip() for line in lines if line.strip()]
    marked = [number for number, line in enumerate(said) if FAILED in line]
    if marked:
        return " ".join(said[marked[-1] : marked[-1] + FAILED_LINES])
    return said[-1] if said else "nothing"
