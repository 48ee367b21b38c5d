"""The embedded PostgreSQL: its data folder, its command line, and how it is found ready."""

import os
import secrets
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from quantlab_db.setup import APP, DATABASE, OWNER
from quantlab_server.addresses import LOOPBACK, can_be_socket
from quantlab_server.children import Program
from quantlab_server.private_files import write_private
from quantlab_server.processes import look_up
from quantlab_server.refusal import Refusal
from quantlab_server.run_as import Seat

SUPERUSER: Final = "postgres"
INITDB_WAIT_S: Final = 120.0
STOP_WAIT_S: Final = 60.0
LEFTOVER_WAIT_S: Final = 30.0
SECRET_BYTES: Final = 24
SOCKET_NAME: Final = ".s.PGSQL."
SETTINGS: Final = (
    f"listen_addresses={LOOPBACK}",
    "max_connections=300",
    "shared_buffers=128MB",
    "jit=off",
    "wal_level=replica",
    "max_wal_senders=0",
    "wal_compression=on",
    "wal_init_zero=off",  # filling a segment with zeros holds every commit up for 50 ms
    "min_wal_size=256MB",
    "max_wal_size=2GB",
    "checkpoint_timeout=15min",
    "checkpoint_completion_target=0.9",
    "random_page_cost=1.1",
    # Until tables that grow by thousands of rows a second have statistics, plans miss their keys.
    "autovacuum_naptime=5s",
    "log_checkpoints=off",
    "log_line_prefix=%m [%p] %u@%d ",
)
# Thousands of rounds make it slow to guess a short password; ours have 192 random bits, and each
# login would pay for the rounds: 5 ms. PostgreSQL 15 has no such setting.
LOGIN_ROUNDS: Final = "scram_iterations=1"
LOGIN_ROUNDS_FROM: Final = 16
THROWAWAY_SETTINGS: Final = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


@dataclass(frozen=True, slots=True)
class PostgresSecrets:
    """The passwords of the three logins of an embedded PostgreSQL."""

    superuser: str
    owner: str
    app: str

    @classmethod
    def fresh(cls) -> "PostgresSecrets":
        return cls(*(secrets.token_hex(SECRET_BYTES) for _ in range(3)))


@dataclass(frozen=True, slots=True)
class PostgresStore:
    """Know one data folder and the programs that serve it."""

    seat: Seat
    secrets: PostgresSecrets
    durable: bool

    @property
    def data(self) -> Path:
        return self.seat.folder / "data"

    def dsn(self, port: int, login: str = SUPERUSER, database: str = "postgres") -> str:
        password = {
            SUPERUSER: self.secrets.superuser,
            OWNER: self.secrets.owner,
            APP: self.secrets.app,
        }[login]
        return f"postgresql://{login}:{password}@{LOOPBACK}:{port}/{database}"

    def owner_dsn(self, port: int) -> str:
        return self.dsn(port, OWNER, DATABASE)

    def app_dsn(self, port: int) -> str:
        return self.dsn(port, APP, DATABASE)

    def nearest_app_dsn(self, port: int) -> str:
        """Name the socket where there is one: a round trip costs a fifth less than by TCP."""
        folder = self._sockets
        if folder is None:
            return self.app_dsn(port)
        place = quote(str(folder), safe="")
        return f"postgresql://{APP}:{self.secrets.app}@/{DATABASE}?host={place}&port={port}"

    @property
    def _sockets(self) -> Path | None:
        """The folder that sockets lie in; None where their path would be too long."""
        longest = self.seat.folder / f"{SOCKET_NAME}65535.lock"
        return self.seat.folder if can_be_socket(longest) else None

    def make_data(self) -> None:
        """Make the data folder if there is none; a half-made one never gets its final name."""
        if self.data.exists():
            self._check_data()
            return
        part = self.seat.folder / "data.part"
        shutil.rmtree(part, ignore_errors=True)
        password_file = self.seat.folder / "password"
        write_private(password_file, self.secrets.superuser)
        if self.seat.owner_id is not None:
            os.chown(password_file, self.seat.owner_id, self.seat.owner_id)
        try:
            self._initdb(part, password_file)
        finally:
            password_file.unlink()
        part.rename(self.data)

    def _initdb(self, folder: Path, password_file: Path) -> None:
        has_rounds = int(self._major()) >= LOGIN_ROUNDS_FROM
        command = (
            *self.seat.prefix,
            str(self.seat.programs / "initdb"),
            f"--pgdata={folder}",
            f"--username={SUPERUSER}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--no-locale",
            "--data-checksums",
            *((f"--set={LOGIN_ROUNDS}",) if has_rounds else ()),
            *(() if self.durable else ("--no-sync",)),
        )
        done = subprocess.run(  # noqa: S603
            command, check=False, capture_output=True, timeout=INITDB_WAIT_S, env=environment()
        )
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise Refusal(
                f"PostgreSQL could not make its data folder {folder}: "
                f"{said[-1] if said else f'initdb ended with {done.returncode}'}"
            )

    def _check_data(self) -> None:
        version = self.data / "PG_VERSION"
        if not version.is_file():
            raise Refusal(
                f"{self.data} is not a PostgreSQL data folder (expected the file PG_VERSION in "
                "it); restore it from a backup, or move the state folder away to start anew."
            )
        stored, ours = version.read_text(encoding="ascii").strip(), self._major()
        if stored != ours:
            raise Refusal(
                f"{self.data} was made by PostgreSQL {stored}, the program found is PostgreSQL "
                f"{ours}; set QUANTLAB_POSTGRES_BIN to the bin folder of PostgreSQL {stored}."
            )

    def _major(self) -> str:
        done = subprocess.run(  # noqa: S603
            (*self.seat.prefix, str(self.seat.programs / "postgres"), "--version"),
            check=True,
            capture_output=True,
            text=True,
            env=environment(),
        )
        return done.stdout.split()[2].split(".")[0]

    def end_leftover(self) -> None:
        """End a server that a lost supervisor left on our data, and wait for its shutdown."""
        pid_file = self.data / "postmaster.pid"
        deadline = time.monotonic() + LEFTOVER_WAIT_S
        asked = False
        while (pid := _serving_pid(pid_file, self.data)) is not None:
            if not asked:
                os.kill(pid, signal.SIGINT)
                asked = True
            if time.monotonic() > deadline:
                raise Refusal(
                    f"process {pid} still serves {self.data} and does not end; end it first."
                )
            time.sleep(0.1)
        # A lock that a power cut left names a process number that is somebody else's by now.
        for left in self.seat.folder.glob(f"{SOCKET_NAME}*"):
            left.unlink(missing_ok=True)

    def program(self, port: int) -> Program:
        """Say how the server is run in the foreground on a port."""
        folder = self._sockets
        settings = (
            f"port={port}",
            "unix_socket_directories=" + ("" if folder is None else f'"{folder}"'),
            "unix_socket_permissions=0700",
            *SETTINGS,
            *(() if self.durable else THROWAWAY_SETTINGS),
        )
        flags = [word for setting in settings for word in ("-c", setting)]
        return Program(
            name="postgres",
            argv=(
                *self.seat.prefix,
                str(self.seat.programs / "postgres"),
                "-D",
                str(self.data),
                *flags,
            ),
            environment=environment(),
            stop_signal=signal.SIGINT,  # SIGTERM would wait for open clients for ever
            hasty=True,
            stop_wait_s=STOP_WAIT_S,
        )


def environment() -> dict[str, str]:
    """Give the programs of PostgreSQL a plain environment: PG* variables would change them."""
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "TMPDIR") if key in os.environ}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}


def _serving_pid(pid_file: Path, data: Path) -> int | None:
    try:
        lines = pid_file.read_text(encoding="utf-8").splitlines()
        pid = int(lines[0])
    except (OSError, ValueError, IndexError):
        return None
    process = look_up(pid)
    ours = len(lines) > 1 and Path(lines[1]) == data
    return pid if ours and process is not None and "postgres" in process.command else None
