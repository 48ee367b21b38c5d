"""The embedded stores of one state folder: PostgreSQL and Valkey, made, started, found ready.

Their ports and passwords stand in STATE/stores.json (0600), so that the state survives a restart.
Must be used from the main thread: children are tied to the life of the thread that starts them.
"""

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from quantlab_db import setup
from quantlab_server.addresses import LOOPBACK, free_port
from quantlab_server.binaries import postgres_folder, valkey_program
from quantlab_server.children import Child
from quantlab_server.logs import Output, tail
from quantlab_server.postgres_store import PostgresSecrets, PostgresStore
from quantlab_server.private_files import private_folder, read_json_object, write_private_json
from quantlab_server.refusal import Refusal
from quantlab_server.run_as import choose_seat
from quantlab_server.valkey_store import ValkeyStore, fresh_password

READY_WAIT_S: Final = 60.0
START_ATTEMPTS: Final = 3
POLL_EVERY_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class StoreUrls:
    """How the stores are reached; each address carries its password."""

    owner_dsn: str
    app_dsn: str
    redis_url: str


@dataclass(frozen=True, slots=True)
class Memory:
    """What STATE/stores.json remembers."""

    postgres_port: int
    superuser_password: str
    owner_password: str
    app_password: str
    valkey_port: int
    valkey_password: str
    # Empty when PostgreSQL's data lies in the state folder itself.
    data_elsewhere: str


class EmbeddedStores:
    """Start and stop the two stores whose data lies in a state folder."""

    def __init__(self, state: Path, output: Output, *, durable: bool = True) -> None:
        self._state = private_folder(state.absolute())
        self._output = output
        inside = private_folder(self._state / "pg")
        seat = choose_seat(postgres_folder(os.environ.get("QUANTLAB_POSTGRES_BIN")), inside)
        self._memory = _remember(self._state, seat.folder)
        secrets = PostgresSecrets(
            self._memory.superuser_password,
            self._memory.owner_password,
            self._memory.app_password,
        )
        self._postgres = PostgresStore(seat, secrets, durable)
        server, remark = valkey_program(os.environ.get("QUANTLAB_VALKEY_SERVER"))
        if remark is not None:
            output.say("supervisor", remark)
        self._valkey = ValkeyStore(
            server, private_folder(self._state / "valkey"), self._memory.valkey_password, durable
        )
        self.children: tuple[Child, ...] = ()

    @property
    def urls(self) -> StoreUrls:
        port = self._memory.postgres_port
        return StoreUrls(
            owner_dsn=self._postgres.owner_dsn(port),
            app_dsn=self._postgres.app_dsn(port),
            redis_url=self._valkey.url(self._memory.valkey_port),
        )

    @property
    def nearest(self) -> StoreUrls:
        """The addresses for processes of this machine and user: by sockets where possible."""
        return replace(
            self.urls,
            app_dsn=self._postgres.nearest_app_dsn(self._memory.postgres_port),
            redis_url=self._valkey.nearest_url(self._memory.valkey_port),
        )

    @property
    def superuser_dsn(self) -> str:
        return self._postgres.dsn(self._memory.postgres_port)

    def start(self) -> StoreUrls:
        """Start both, wait until they answer, and see that roles and database exist."""
        self._postgres.make_data()
        self._postgres.end_leftover()
        try:
            self._start_postgres()
            self._start_valkey()
            setup.prepare(
                self.superuser_dsn,
                owner_password=self._memory.owner_password,
                app_password=self._memory.app_password,
            )
        except BaseException:
            self.stop()
            raise
        return self.urls

    def stop(self) -> None:
        """Stop both with their own signals and wait until they have ended."""
        for child in reversed(self.children):
            child.ask_to_stop()
        for child in reversed(self.children):
            child.finish()

    def _start_postgres(self) -> None:
        def attempt(port: int) -> Child:
            self._keep(replace(self._memory, postgres_port=port))
            return Child(self._postgres.program(port), self._output)

        self._start(attempt, self._memory.postgres_port, lambda: setup.answers(self.superuser_dsn))

    def _start_valkey(self) -> None:
        def attempt(port: int) -> Child:
            self._keep(replace(self._memory, valkey_port=port))
            return Child(self._valkey.program(port), self._output)

        self._start(
            attempt,
            self._memory.valkey_port,
            lambda: self._valkey.answers(self._memory.valkey_port),
        )

    def _start(
        self, attempt: Callable[[int], Child], preferred: int, ready: Callable[[], bool]
    ) -> None:
        """Start a store; a port taken between choosing and listening is chosen again."""
        said = ""
        for number in range(START_ATTEMPTS):
            child = attempt(free_port(preferred if number == 0 else None))
            child.start()
            self.children = (*self.children, child)
            if _becomes_ready(child, ready):
                return
            child.ask_to_stop()
            child.finish()
            self.children = self.children[:-1]
            said = _last_words(self._output.path(child.name))
            if "Address already in use" not in said:
                break
        raise Refusal(
            f"{child.name} did not start on {self._state}: {said or 'it said nothing'} "
            f"(all of it: {self._output.path(child.name)})"
        )

    def _keep(self, memory: Memory) -> None:
        if memory != self._memory:
            self._memory = memory
            _write(self._state, memory)


def owner_dsn_of(state: Path) -> str:
    """Read how the running embedded database of a state folder is reached as its owner."""
    return urls_of(state).owner_dsn


def urls_of(state: Path) -> StoreUrls:
    """Read how the running embedded stores of a state folder are reached."""
    path = state / "stores.json"
    if not path.exists():
        raise Refusal(f"{path} does not exist: nothing was ever started on {state}.")
    memory = _read(path, read_json_object(path))
    place = f"{LOOPBACK}:{memory.postgres_port}/{setup.DATABASE}"
    return StoreUrls(
        owner_dsn=f"postgresql://{setup.OWNER}:{memory.owner_password}@{place}",
        app_dsn=f"postgresql://{setup.APP}:{memory.app_password}@{place}",
        redis_url=f"redis://:{memory.valkey_password}@{LOOPBACK}:{memory.valkey_port}/0",
    )


def _becomes_ready(child: Child, ready: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + READY_WAIT_S
    while time.monotonic() < deadline:
        if child.exit_code() is not None:
            return False
        if ready():
            return True
        time.sleep(POLL_EVERY_S)
    return False


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in tail(log, 40) if line.strip()]
    for word in ("Address already in use", "FATAL", "ERROR", "FATAL CONFIG", "Bad file format"):
        for line in lines:
            if word in line:
                return line
    return lines[-1] if lines else ""


def _remember(state: Path, data_folder: Path) -> Memory:
    path = state / "stores.json"
    elsewhere = "" if data_folder.is_relative_to(state) else str(data_folder)
    if path.exists():
        memory = _read(path, read_json_object(path))
        if memory.data_elsewhere != elsewhere:
            raise Refusal(
                f"the database of {state} lies in {memory.data_elsewhere or state / 'pg'}, which "
                f"this user cannot serve from here (it would use {data_folder}); start as the user "
                "that started it first."
            )
        return memory
    if (data_folder / "data").exists():
        raise Refusal(
            f"{path} is missing while {data_folder / 'data'} exists: the passwords of that data "
            "are lost; restore the file, or move the data away to start anew."
        )
    memory = _fresh_memory(elsewhere)
    _write(state, memory)
    return memory


def _fresh_memory(data_elsewhere: str) -> Memory:
    passwords = PostgresSecrets.fresh()
    return Memory(
        postgres_port=free_port(),
        superuser_password=passwords.superuser,
        owner_password=passwords.owner,
        app_password=passwords.app,
        valkey_port=free_port(),
        valkey_password=fresh_password(),
        data_elsewhere=data_elsewhere,
    )


def _read(path: Path, value: dict[str, Any]) -> Memory:
    try:
        memory = Memory(**value)
    except TypeError as error:
        raise Refusal(f"{path} is damaged: {error}. Restore it from a backup.") from error
    for key, held in asdict(memory).items():
        expected = int if key.endswith("_port") else str
        if type(held) is not expected:
            raise Refusal(f"{path}: {key} expected {expected.__name__}, got {type(held).__name__}.")
    return memory


def _write(state: Path, memory: Memory) -> None:
    write_private_json(state / "stores.json", asdict(memory))
