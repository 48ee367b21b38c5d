"""Where the parts of this machine find each other: ports of the loopback interface, sockets."""

import os
import socket
from pathlib import Path
from typing import Final

LOOPBACK: Final = "127.0.0.1"
# What macOS leaves for the path of a socket; Linux has four bytes more.
SOCKET_PATH_MAX: Final = 103


def port_is_free(port: int, host: str = LOOPBACK) -> bool:
    """Tell whether a server could listen there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port(preferred: int | None = None) -> int:
    """Return the preferred port if it is free, any free one otherwise."""
    if preferred is not None and port_is_free(preferred):
        return preferred
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
    return port


def can_be_socket(path: Path) -> bool:
    """Tell whether a Unix socket may have this path, and files and addresses can name it."""
    text = os.fsencode(path)
    return len(text) <= SOCKET_PATH_MAX and not set(b'",\\') & set(text)
