"""Forward-only migrations: every `versions/NNNN_name.sql` is one revision, run verbatim by alembic.

The chain follows from the file names, so a new migration is one new file. There is no way back:
mistakes are repaired by the next migration.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Final, cast

import psycopg
import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.script import Script
from alembic.script.revision import RevisionMap

VERSIONS: Final = Path(__file__).parent / "versions"
FILE_NAME: Final = re.compile(r"(?P<number>\d{4})_[a-z0-9_]{1,27}\.sql")
# Named, since a migration may set another search path for itself.
VERSION_TABLE_SCHEMA: Final = "public"
# Two runners may start together; the second waits here for the first.
RUNNER_LOCK: Final = 0x51_4C_44_42
RUNNER_WAIT: Final = "120s"
SCHEMA: Final = "quantlab"
LOCK_TIMEOUT: Final = "4s"
STATEMENT_TIMEOUT: Final = "60s"


class MigrationError(Exception):
    """Say what stopped the migrations, by file where it is one."""


def migrate(owner_dsn: str, versions: Path = VERSIONS) -> list[str]:
    """Bring the database to the newest revision and return the revisions applied."""
    chain = _chain(versions)
    url = sa.make_url(owner_dsn).set(drivername="postgresql+psycopg")
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    try:
        with engine.connect() as connection, _alone(connection):
            return _upgrade(connection, chain)
    finally:
        engine.dispose()


def current(owner_dsn: str) -> str | None:
    """Return the revision the database is at, or nothing before the first migration."""
    url = sa.make_url(owner_dsn).set(drivername="postgresql+psycopg")
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    try:
        with engine.connect() as connection:
            context = MigrationContext.configure(
                connection, opts={"version_table_schema": VERSION_TABLE_SCHEMA}
            )
            return context.get_current_revision()
    finally:
        engine.dispose()


def newest(versions: Path = VERSIONS) -> str | None:
    """Return the newest revision this build knows."""
    chain = _chain(versions)
    return chain[-1].revision if chain else None


def _chain(versions: Path) -> list[Script]:
    files = sorted(versions.glob("*.sql"))
    scripts: list[Script] = []
    for file in files:
        match = FILE_NAME.fullmatch(file.name)
        expected = f"{len(scripts) + 1:04d}"
        if match is None or match["number"] != expected:
            raise MigrationError(
                f"{file}: expected a name like {expected}_words.sql, since the chain follows it"
            )
        scripts.append(_script(file, scripts[-1].revision if scripts else None))
    return scripts


def _script(file: Path, down_revision: str | None) -> Script:
    module = ModuleType(f"quantlab_db.versions.{file.stem}", file.stem)
    module.__dict__.update(
        revision=file.stem, down_revision=down_revision, upgrade=_statements(file)
    )
    return Script(module, file.stem, str(file))


def _statements(file: Path) -> Callable[..., None]:
    def upgrade(connection: sa.Connection) -> None:
        cursor = connection.connection.cursor()
        try:
            cursor.execute(f"set local lock_timeout = '{LOCK_TIMEOUT}'")
            cursor.execute(f"set local statement_timeout = '{STATEMENT_TIMEOUT}'")
            cursor.execute(f"set local search_path = {SCHEMA}")
            # The driver's own cursor, without parameters: no character of the file is special.
            cursor.execute(file.read_text(encoding="utf-8"))
        except psycopg.Error as error:
            raise MigrationError(f"{file.name}: {str(error).strip()}") from error
        finally:
            cursor.close()

    return upgrade


class _alone:  # noqa: N801
    """Hold the runners' lock of this database for the length of a block."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute(sa.text(f"set lock_timeout = '{RUNNER_WAIT}'"))
        try:
            self._connection.execute(sa.select(sa.func.pg_advisory_lock(RUNNER_LOCK)))
        except sa.exc.OperationalError as error:
            raise MigrationError(f"another migration has run for {RUNNER_WAIT}") from error
        self._connection.commit()

    def __exit__(self, *_: object) -> None:
        self._connection.rollback()
        self._connection.execute(sa.select(sa.func.pg_advisory_unlock(RUNNER_LOCK)))
        self._connection.commit()


def _upgrade(connection: sa.Connection, chain: list[Script]) -> list[str]:
    applied: list[str] = []
    revisions = RevisionMap(lambda: iter(chain))

    def pending(heads: tuple[str, ...], _: MigrationContext) -> Iterator[MigrationStep]:
        unknown = set(heads) - {script.revision for script in chain}
        if unknown:
            raise MigrationError(
                f"the database is at {unknown.pop()}, which this build does not know: it was "
                "migrated by a newer program; start that one"
            )
        missing = list(revisions.iterate_revisions("heads", heads or "base"))
        for script in reversed(missing):
            applied.append(script.revision)
            yield MigrationStep.upgrade_from_script(revisions, cast(Script, script))

    context = MigrationContext.configure(
        connection,
        opts={
            "transaction_per_migration": True,
            "version_table_schema": VERSION_TABLE_SCHEMA,
            "fn": pending,
        },
    )
    with context.begin_transaction():
        context.run_migrations(connection=connection)
    connection.commit()
    return applied
