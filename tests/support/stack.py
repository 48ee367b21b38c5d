"""One embedded PostgreSQL and Valkey for a test run, and a fresh migrated database per module."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from quantlab_db.migrate import migrate
from quantlab_db.setup import copy_database, drop_database
from quantlab_server.logs import Output
from quantlab_server.private_files import private_folder
from quantlab_server.stores import EmbeddedStores
from tests.support.in_memory import memory_folder

TEMPLATE = "quantlab_template"
_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Stack:
    """The addresses of the stores of this test run; the database is migrated."""

    owner_dsn: str
    app_dsn: str
    superuser_dsn: str
    redis_url: str


@dataclass(frozen=True, slots=True)
class FreshDatabase:
    """A database nobody else has written to, under each of its three logins."""

    name: str
    owner_dsn: str
    app_dsn: str
    superuser_dsn: str


@contextmanager
def running_stack() -> Iterator[Stack]:
    """Start both stores in a temporary folder, without fsync, and stop them at the end."""
    with tempfile.TemporaryDirectory(prefix="quantlab-tests-", dir=memory_folder()) as name:
        state = private_folder(Path(name) / "state")
        stores = EmbeddedStores(state, Output(state / "logs"), durable=False)
        urls = stores.start()
        try:
            migrate(urls.owner_dsn)
            copy_database(stores.superuser_dsn, "quantlab", TEMPLATE)
            yield Stack(
                urls.owner_dsn,
                urls.app_dsn,
                _database(stores.superuser_dsn, "quantlab"),
                urls.redis_url,
            )
        finally:
            stores.stop()


@contextmanager
def fresh_database(stack: Stack) -> Iterator[FreshDatabase]:
    """Copy the migrated template; drop the copy at the end."""
    name = f"quantlab_test_{next(_numbers)}"
    copy_database(stack.superuser_dsn, TEMPLATE, name)
    try:
        yield FreshDatabase(
            name,
            _database(stack.owner_dsn, name),
            _database(stack.app_dsn, name),
            _database(stack.superuser_dsn, name),
        )
    finally:
        drop_database(stack.superuser_dsn, name)


def _database(dsn: str, name: str) -> str:
    return f"{dsn.rpartition('/')[0]}/{name}"
