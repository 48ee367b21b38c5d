"""The embedded stores and the fixtures built on them."""

import json
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from tests.support.in_memory import memory_folder
from tests.support.stack import FreshDatabase, Stack

from quantlab_db.migrate import current, migrate, newest
from quantlab_server.addresses import LOOPBACK, port_is_free
from quantlab_server.logs import Output
from quantlab_server.private_files import private_folder
from quantlab_server.processes import look_up
from quantlab_server.refusal import Refusal
from quantlab_server.stores import EmbeddedStores

pytestmark = pytest.mark.stack


@pytest.fixture
def state() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="quantlab-state-", dir=memory_folder()) as name:
        yield Path(name) / "state"


def stores_of(state: Path) -> EmbeddedStores:
    private_folder(state)
    return EmbeddedStores(state, Output(state / "logs"), durable=False)


def test_state_survives_a_restart_and_no_mode_outside_changes(state: Path) -> None:
    parent_mode = state.parent.stat().st_mode
    stores = stores_of(state)
    urls = stores.start()
    with psycopg.connect(urls.owner_dsn, autocommit=True) as connection:
        connection.execute("create table kept (n int)")
        connection.execute("insert into kept values (7)")
    stores.stop()
    again = stores_of(state)
    urls = again.start()
    try:
        with psycopg.connect(urls.owner_dsn) as connection:
            assert connection.execute("select n from kept").fetchone() == (7,)
    finally:
        again.stop()
    assert state.parent.stat().st_mode == parent_mode
    assert stat.S_IMODE((state / "stores.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((state / "valkey" / "valkey.conf").stat().st_mode) == 0o600
    memory = json.loads((state / "stores.json").read_text())
    assert port_is_free(memory["postgres_port"])
    assert port_is_free(memory["valkey_port"])


def reached(stores: EmbeddedStores) -> tuple[str, str]:
    """Say by which host, which is a folder for a socket, the stores answer from nearby."""
    near = stores.nearest
    with psycopg.connect(near.app_dsn) as connection:
        connection.execute("select 1")
        host = connection.info.host
    with redis.Redis.from_url(near.redis_url) as client:
        assert client.ping()
        kwargs = client.connection_pool.connection_kwargs
    return host, str(kwargs.get("path") or kwargs.get("host"))


def test_the_roles_reach_the_stores_by_sockets_that_nobody_else_may_open(state: Path) -> None:
    private_folder(state)
    (state / "pg").mkdir()
    left = state / "pg" / ".s.PGSQL.5432.lock"  # of before a power cut; the number is init's now
    left.write_text(f"1\n{state}\n", encoding="ascii")
    stores = stores_of(state)
    stores.start()
    try:
        assert not left.exists()
        assert reached(stores) == (str(state / "pg"), str(state / "valkey" / "socket"))
        for path in (*(state / "pg").glob(".s.PGSQL.*[0-9]"), state / "valkey" / "socket"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o700
    finally:
        stores.stop()


@pytest.mark.parametrize("folder", ["long" * 25, "with,comma"])
def test_where_no_socket_can_be_named_the_stores_are_reached_by_port(
    state: Path, folder: str
) -> None:
    state.mkdir()
    stores = stores_of(state / folder)
    stores.start()
    try:
        assert reached(stores) == (LOOPBACK, LOOPBACK)
    finally:
        stores.stop()


def test_a_data_folder_without_its_version_is_refused_in_one_sentence(state: Path) -> None:
    stores = stores_of(state)
    (state / "pg" / "data").mkdir()
    with pytest.raises(Refusal, match="PG_VERSION"):
        stores.start()
    assert all(not child.running() for child in stores.children)


def test_lost_passwords_are_refused(state: Path) -> None:
    private_folder(state)
    (state / "pg" / "data").mkdir(parents=True)
    with pytest.raises(Refusal, match=r"stores\.json is missing"):
        stores_of(state)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("{", "cannot be read"), ("[]", "expected a JSON object"), ("{}", "is damaged")],
)
def test_a_damaged_memory_is_refused(state: Path, text: str, expected: str) -> None:
    private_folder(state)
    (state / "stores.json").write_text(text)
    with pytest.raises(Refusal, match=expected):
        stores_of(state)


def test_a_file_in_the_place_of_the_state_folder_is_refused(state: Path) -> None:
    state.write_text("not a folder")
    with pytest.raises(Refusal, match="state folder"):
        stores_of(state)


def test_damaged_data_is_refused_with_the_servers_own_words(state: Path) -> None:
    stores = stores_of(state)
    stores.start()
    stores.stop()
    (state / "pg" / "data" / "global" / "pg_control").unlink()
    with pytest.raises(Refusal, match="pg_control"):
        stores_of(state).start()


def test_the_stores_want_their_passwords(stack: Stack) -> None:
    without = stack.app_dsn.replace(stack.app_dsn.split(":")[2].split("@")[0], "wrong")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(without)
    host = stack.redis_url.split("@")[1]
    with (
        redis.Redis.from_url(f"redis://{host}") as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()


def test_passwords_stand_in_no_argument(stack: Stack) -> None:
    if not Path("/proc/self/cmdline").exists():
        pytest.skip("no /proc on this platform")
    secrets = [stack.redis_url.split("@")[0].split(":")[-1], stack.app_dsn.split(":")[2][:48]]
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = line.read_text(errors="replace")
        except OSError:
            continue
        assert not any(secret in text for secret in secrets)


def test_a_login_pays_for_no_rounds_where_the_server_can_leave_them(stack: Stack) -> None:
    with psycopg.connect(stack.superuser_dsn) as connection:
        rounds = connection.execute(
            "select split_part(split_part(rolpassword, '$', 2), ':', 1)::int from pg_authid"
            " where rolpassword is not null"
        ).fetchall()
        wanted = 1 if connection.info.server_version >= 16_00_00 else 4_096
    assert rounds == [(wanted,)] * 3


def test_no_role_of_ours_is_strong(stack: Stack) -> None:
    with psycopg.connect(stack.superuser_dsn) as connection:
        rows = connection.execute(
            "select rolname, rolcanlogin, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb "
            "from pg_roles where rolname like 'quantlab%' order by 1"
        ).fetchall()
    assert rows == [
        ("quantlab_app", True, False, False, False, False),
        ("quantlab_lookup", False, False, False, False, False),
        ("quantlab_owner", True, False, False, False, False),
    ]


def test_the_application_role_owns_nothing_and_creates_nothing(
    fresh_database: FreshDatabase,
) -> None:
    with psycopg.connect(fresh_database.app_dsn) as connection:
        owned = connection.execute(
            "select count(*) from pg_class where relowner = 'quantlab_app'::regrole"
        ).fetchone()
        assert owned == (0,)
        for statement in ("create table public.mine (n int)", "create schema mine"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                connection.execute(statement)


def test_each_module_starts_from_the_newest_revision(fresh_database: FreshDatabase) -> None:
    assert current(fresh_database.owner_dsn) == newest()
    assert migrate(fresh_database.owner_dsn) == []


def test_valkey_is_empty_at_first(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left", "behind")


def test_valkey_is_empty_again(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0


def test_stores_die_with_the_process_that_started_them(state: Path) -> None:
    if not Path("/proc").exists():
        pytest.skip("needs the parent-death signal of Linux")
    private_folder(state)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        _start_report_and_hang(state, write)
    os.close(write)
    with os.fdopen(read) as pipe:
        pids = [int(word) for word in pipe.readline().split()]
    assert len(pids) == 2
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    memory = json.loads((state / "stores.json").read_text())
    again = stores_of(state)
    again.start()
    again.stop()
    assert all(look_up(number) is None for number in pids)
    assert port_is_free(memory["valkey_port"])
    assert "received fast shutdown request" in "".join(
        path.read_text() for path in (state / "logs").glob("postgres.log*")
    )


def _start_report_and_hang(state: Path, write: int) -> None:
    try:
        stores = stores_of(state)
        stores.start()
        os.write(write, (" ".join(str(child.pid) for child in stores.children) + "\n").encode())
        os.close(write)
        while True:
            os.wait()
    finally:
        os._exit(1)
