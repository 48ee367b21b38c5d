"""Migrations: verbatim, one transaction each, in order, one runner at a time, never back."""

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from tests.support.stack import Stack

from quantlab.ledger.state import Position
from quantlab_adapters.postgres.held import held_records
from quantlab_db.migrate import VERSIONS, MigrationError, current, migrate
from quantlab_db.setup import drop_database

pytestmark = pytest.mark.stack
SCHEMA = "create schema quantlab;"


@pytest.fixture
def empty(stack: Stack) -> Iterator[str]:
    """The owner's address of a database without any table."""
    name = "quantlab_empty"
    drop_database(stack.superuser_dsn, name)
    with psycopg.connect(stack.superuser_dsn, autocommit=True) as connection:
        connection.execute(
            sql.SQL("create database {} owner quantlab_owner").format(sql.Identifier(name))
        )
    yield f"{stack.owner_dsn.rpartition('/')[0]}/{name}"
    drop_database(stack.superuser_dsn, name)


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name.removeprefix('v')}.sql").write_text(text)
    return folder


def test_files_run_verbatim_and_in_order(empty: str, tmp_path: Path) -> None:
    awkward = """
        create table odd (text text check (text like '100%' and text ~ ':x'));
        insert into odd values ('100% :x %s {} $1');
        do $$ begin insert into odd values ('100%:x' || chr(37)); end $$;
    """
    versions = write(tmp_path, v0001_schema=SCHEMA, v0002_odd=awkward)
    assert migrate(empty, versions) == ["0001_schema", "0002_odd"]
    with psycopg.connect(empty) as connection:
        rows = connection.execute("select text from quantlab.odd order by 1").fetchall()
    assert rows == [("100% :x %s {} $1",), ("100%:x%",)]
    assert migrate(empty, versions) == []
    write(tmp_path, v0003_more="create table more ();")
    assert migrate(empty, versions) == ["0003_more"]
    assert current(empty) == "0003_more"


def test_a_failing_file_leaves_nothing_and_is_named(empty: str, tmp_path: Path) -> None:
    versions = write(tmp_path, v0001_schema=SCHEMA, v0002_half="create table half (); select 1/0;")
    with pytest.raises(MigrationError, match=r"0002_half\.sql: division by zero"):
        migrate(empty, versions)
    assert current(empty) == "0001_schema"
    with psycopg.connect(empty) as connection:
        assert connection.execute("select to_regclass('quantlab.half')").fetchone() == (None,)
    write(tmp_path, v0002_half="create table half ();")
    assert migrate(empty, versions) == ["0002_half"]


def test_two_runners_do_not_race(empty: str, tmp_path: Path) -> None:
    slow = "select pg_sleep(0.2); create table once ();"
    versions = write(tmp_path, v0001_schema=SCHEMA, v0002_slow=slow)
    with ThreadPoolExecutor(2) as pool:
        applied = list(pool.map(lambda _: migrate(empty, versions), range(2)))
    assert sorted(applied) == [[], ["0001_schema", "0002_slow"]]


def test_a_newer_database_is_refused(empty: str, tmp_path: Path) -> None:
    versions = write(tmp_path, v0001_schema=SCHEMA, v0002_new="create table new ();")
    migrate(empty, versions)
    (versions / "0002_new.sql").unlink()
    with pytest.raises(MigrationError, match="0002_new, which this build does not know"):
        migrate(empty, versions)


def test_locks_and_statements_have_limits(empty: str, tmp_path: Path) -> None:
    text = """
        create table limits as
        select current_setting('lock_timeout') l, current_setting('statement_timeout') s;
    """
    migrate(empty, write(tmp_path, v0001_schema=SCHEMA, v0002_limits=text))
    with psycopg.connect(empty) as connection:
        assert connection.execute("table quantlab.limits").fetchone() == ("4s", "1min")


def test_a_locked_table_stops_the_migration_soon(empty: str, tmp_path: Path) -> None:
    versions = write(tmp_path, v0001_schema=SCHEMA + "create table quantlab.busy ();")
    migrate(empty, versions)
    write(tmp_path, v0002_alter="alter table busy add n int;")
    with psycopg.connect(empty) as other:
        other.execute("lock table quantlab.busy in access share mode")
        with pytest.raises(MigrationError, match="lock timeout"):
            migrate(empty, versions)


@pytest.mark.parametrize("name", ["v0003_gap", "v2_short", "v0002_Upper", "v0002_" + "x" * 28])
def test_a_name_outside_the_chain_is_refused(empty: str, tmp_path: Path, name: str) -> None:
    versions = write(tmp_path, v0001_schema=SCHEMA, **{name: "select 1;"})
    with pytest.raises(MigrationError, match="expected a name like 0002_words"):
        migrate(empty, versions)
    assert current(empty) is None


@dataclass(frozen=True)
class Before:
    """A schema as it was before one of our migrations."""

    owner_dsn: str
    superuser_dsn: str
    versions: Path
    next: Path

    def connect(self) -> psycopg.Connection:
        """Connect so that what a row refers to is no matter."""
        connection = psycopg.connect(self.superuser_dsn)
        connection.execute("set session_replication_role = replica")
        return connection

    def go_on(self) -> None:
        shutil.copy(self.next, self.versions)
        migrate(self.owner_dsn, self.versions)


@pytest.fixture
def before(stack: Stack, empty: str, tmp_path: Path) -> Callable[[str], Before]:
    def made(name: str) -> Before:
        scripts = sorted(VERSIONS.glob("*.sql"))
        added = next(one for one in scripts if one.stem == name)
        for script in scripts[: scripts.index(added)]:
            shutil.copy(script, tmp_path)
        migrate(empty, tmp_path)
        superuser = f"{stack.superuser_dsn.rpartition('/')[0]}/{empty.rpartition('/')[2]}"
        return Before(empty, superuser, tmp_path, added)

    return made


def test_a_live_run_of_before_the_snapshots_counts_its_orders_from_its_beginning(
    before: Callable[[str], Before],
) -> None:
    """Policies hold for the owner of the tables too: what it updates must be all rows."""
    schema = before("0024_strategy_snapshots")
    with schema.connect() as connection:
        connection.execute(
            "insert into quantlab.strategy_run (tenant_id, run_id, account_id, strategy_id,"
            " version, source_hash, created_by, symbol, inputs, terms, limits, status,"
            " cancels_orders, began_ns) select 'alpha', i, i, i, 1, repeat('0', 64), 'x',"
            " 'EURUSD', '{}', '{}', '{}', 'running', true, 7 from gen_random_uuid() i"
        )

    schema.go_on()

    with schema.connect() as connection:
        assert connection.execute("select live_ns from quantlab.strategy_run").fetchall() == [(7,)]


def test_what_a_checkpoint_found_in_arrays_is_found_in_its_records(
    before: Callable[[str], Before],
) -> None:
    schema = before("0025_checkpoint_records")
    found = "select * from quantlab.rule_checkpoint_account order by account_id"
    with schema.connect() as connection:
        connection.execute(
            "insert into quantlab.rule_checkpoint (tenant_id, checkpoint_ns, page, judged_ns,"
            " feed_ts_ns, first_account, last_account, quotes, account_ids, event_seqs, states,"
            " equities_minor, high_waters_minor, breach_below_minor, broken)"
            " select 'alpha', 1, 0, 2, 3, a, b, '[]', array[a, b], '{7, 8}', '{0, 2}',"
            " array[-1, 9223372036854775807], array[-9223372036854775808, 5], '{6, 0}', '{3, 0}'"
            " from gen_random_uuid() a, gen_random_uuid() b"
        )
        was = connection.execute(found).fetchall()

    schema.go_on()

    with schema.connect() as connection:
        assert len(was) == 2
        assert connection.execute(found).fetchall() == was


def test_what_accounts_hold_is_repeated_in_their_rows(before: Callable[[str], Before]) -> None:
    schema = before("0025_checkpoint_records")
    held = [Position("EURUSD", -5, -543_210, None, None, 0, 1), Position("ES", 1, 7, 1, 2, 0, 1)]
    holder, other = uuid4(), uuid4()
    with schema.connect() as connection:
        for account_id in (holder, other):
            connection.execute(
                "insert into quantlab.account (tenant_id, account_id, status, account_type,"
                " config_version, currency, currency_digits, initial_balance_minor, balance_minor,"
                " high_water_minor, day_date, day_started_ns, day_next_reset_ns,"
                " day_start_balance_minor, day_start_equity_minor) values ('alpha', %s, 'active',"
                " 'x', 'v', 'USD', 2, 1, 1, 1, now(), 0, 1, 1, 1)",
                (account_id,),
            )
        for one in held:
            connection.execute(
                "insert into quantlab.position (tenant_id, account_id, symbol, size_steps, cost,"
                " opened_at_ns, opened_seq) values ('alpha', %s, %s, %s, %s, 0, 1)",
                (holder, one.symbol, one.size_steps, one.cost),
            )

    schema.go_on()

    with schema.connect() as connection:
        found = connection.execute("select account_id, held from quantlab.account").fetchall()
    assert dict(found) == {holder: held_records(reversed(held)), other: b""}
