"""The embedded Valkey: its configuration file, its command line, and how it is found ready."""

import os
import secrets
import signal
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from quantlab_server.addresses import LOOPBACK, can_be_socket
from quantlab_server.children import Program
from quantlab_server.postgres_store import SECRET_BYTES
from quantlab_server.private_files import write_private

STOP_WAIT_S: Final = 30.0
ANSWER_WAIT_S: Final = 1.0


def fresh_password() -> str:
    return secrets.token_hex(SECRET_BYTES)


@dataclass(frozen=True, slots=True)
class ValkeyStore:
    """Know one data folder and the program that serves it."""

    server: Path
    folder: Path
    password: str
    durable: bool

    def url(self, port: int) -> str:
        return f"redis://:{self.password}@{LOOPBACK}:{port}/0"

    def nearest_url(self, port: int) -> str:
        """Name the socket where there is one."""
        if not can_be_socket(self._socket):
            return self.url(port)
        return f"unix://:{self.password}@{quote(str(self._socket))}?db=0"

    @property
    def _socket(self) -> Path:
        return self.folder / "socket"

    def program(self, port: int) -> Program:
        """Write the configuration (it holds the password, so no argument does) and use it."""
        path = self._socket
        socket_lines = (f'unixsocket "{path}"', "unixsocketperm 700") if can_be_socket(path) else ()
        lines = (
            *socket_lines,
            f"bind {LOOPBACK}",
            f"port {port}",
            "protected-mode yes",
            f"requirepass {self.password}",
            "daemonize no",
            "loglevel warning",
            f'dir "{self.folder}"',
            'save ""',
            f"appendonly {'yes' if self.durable else 'no'}",
            "appendfsync everysec",
            "maxmemory-policy noeviction",
        )
        configuration = self.folder / "valkey.conf"
        write_private(configuration, "\n".join(lines) + "\n")
        return Program(
            name="valkey",
            argv=(str(self.server), str(configuration)),
            environment={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
            stop_signal=signal.SIGTERM,
            hasty=True,
            stop_wait_s=STOP_WAIT_S,
        )

    def answers(self, port: int) -> bool:
        """Tell whether the server has loaded its data and lets us log in."""
        try:
            with socket.create_connection((LOOPBACK, port), timeout=ANSWER_WAIT_S) as connection:
                connection.sendall(f"AUTH {self.password}\r\nPING\r\nQUIT\r\n".encode())
                answer = b""
                while chunk := connection.recv(256):
                    answer += chunk
        except OSError:
            return False
        return answer.startswith(b"+OK\r\n+PONG\r\n")
