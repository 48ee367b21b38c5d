"""A PostgreSQL that has stopped in the middle of everything, and goes on later."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg


@contextmanager
def hung(superuser_dsn: str) -> Iterator[None]:
    """Stop the server with all its processes while the block runs."""
    stopped: list[int] = []
    try:
        for pid in _processes(superuser_dsn):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                stopped.append(pid)
        yield
    finally:
        for pid in stopped:
            with suppress(ProcessLookupError):  # one may have been ending
                os.kill(pid, signal.SIGCONT)


def _processes(superuser_dsn: str) -> Iterator[int]:
    """Yield the postmaster, then what it has started by then."""
    with psycopg.connect(superuser_dsn, autocommit=True) as connection:
        row = connection.execute("select pg_read_file('postmaster.pid')").fetchone()
    assert row is not None
    postmaster = int(row[0].split()[0])
    yield postmaster
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children")
    yield from map(int, children.read_text().split())
