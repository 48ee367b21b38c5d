"""The group as a whole: started, killed in parts and as a whole, ended; nothing is left behind."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, Queue
from threading import Thread

import psycopg
import pytest
from tests.support.in_memory import memory_folder

from quantlab_db.setup import answers
from quantlab_server.addresses import free_port, port_is_free
from quantlab_server.group import stop_group
from quantlab_server.processes import look_up
from quantlab_server.refusal import Refusal
from quantlab_server.stores import owner_dsn_of

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(not Path("/proc").exists(), reason="needs the death signal of Linux"),
]
PROGRAM = Path(__file__).parents[1] / "support" / "small_group.py"


class Group:
    """One small group run as its own process."""

    def __init__(self, state: Path, port: int, **environment: str) -> None:
        self.state = state
        self.ended: tuple[int, str] | None = None
        self.seen: list[str] = []
        self.process = subprocess.Popen(
            (sys.executable, "-P", str(PROGRAM), str(state), str(port)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        self.lines: Queue[str] = Queue()
        self.reader = Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self.lines.put(line.rstrip("\n"))

    def wait_for(self, wanted: str, wait_s: float = 90) -> list[str]:
        deadline = time.monotonic() + wait_s
        while not any(wanted in line for line in self.seen):
            assert time.monotonic() < deadline, f"never saw {wanted!r}; saw {self.seen}"
            ended = self.process.poll() is not None and self.lines.empty()
            assert not ended, f"ended without {wanted!r}; saw {self.seen}"
            with contextlib.suppress(Empty):
                self.seen.append(self.lines.get(timeout=0.2))
        return self.seen

    def pids(self) -> dict[str, int]:
        return dict(json.loads((self.state / "processes.json").read_text()))

    def finish(self) -> tuple[int, str]:
        code = self.process.wait(60)
        self.reader.join(5)
        if self.ended is None:
            assert self.process.stdout is not None
            assert self.process.stderr is not None
            self.ended = (code, self.process.stderr.read())
            self.process.stdout.close()
            self.process.stderr.close()
        return self.ended


@pytest.fixture
def state() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="quantlab-group-", dir=memory_folder()) as name:
        yield Path(name) / "state"


@pytest.fixture(scope="module")
def first_run() -> Iterator[Path]:
    """A state folder whose group has run once: making a database takes longer than most tests."""
    with tempfile.TemporaryDirectory(prefix="quantlab-group-", dir=memory_folder()) as name:
        group = Group(Path(name) / "state", free_port())
        group.wait_for("group is up")
        group.process.terminate()
        assert group.finish() == (0, "")
        yield group.state


@pytest.fixture
def ran_before(state: Path, first_run: Path) -> None:
    subprocess.run(("cp", "-a", first_run, state), check=True)


@pytest.fixture
def start(state: Path) -> Iterator[Callable[..., Group]]:
    groups: list[Group] = []

    def begin(port: int | None = None, **environment: str) -> Group:
        groups.append(Group(state, port or free_port(), **environment))
        return groups[-1]

    yield begin
    for group in groups:
        if group.process.poll() is None:
            group.process.terminate()
        group.finish()


def eventually(true: Callable[[], bool], wait_s: float = 20) -> bool:
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.05)
    return False


def all_gone(pids: dict[str, int]) -> bool:
    return all(look_up(pid) is None for pid in pids.values())


@pytest.mark.usefixtures("ran_before")
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_everything_in_order(
    start: Callable[..., Group], state: Path, ending: signal.Signals
) -> None:
    group = start()
    group.wait_for("the queue works")
    group.wait_for("group is up")
    pids = group.pids()
    assert set(pids) == {"supervisor", "postgres", "valkey", "queue:small", "server"}
    group.process.send_signal(ending)
    code, error = group.finish()
    assert (code, error) == (0, "")
    assert all_gone(pids)
    assert not (state / "processes.json").exists()
    log = (state / "logs" / "postgres.log").read_text()
    assert "database system is shut down" in log
    assert "terminating connection" not in log
    assert (state / "logs" / "queue.small.log").read_text() == "the queue works\n"


@pytest.mark.usefixtures("ran_before")
def test_lines_of_children_carry_their_names(start: Callable[..., Group]) -> None:
    group = start()
    group.wait_for("the queue works")
    lines = group.wait_for("ready to accept")
    assert any(line.startswith("postgres ") and "ready to accept" in line for line in lines)
    assert any(line.startswith("queue:small ") and "the queue works" in line for line in lines)


@pytest.mark.usefixtures("ran_before")
def test_nothing_outlives_a_killed_supervisor_and_the_next_one_starts(
    start: Callable[..., Group], state: Path
) -> None:
    port = free_port()
    group = start(port)
    group.wait_for("group is up")
    pids = group.pids()
    group.process.kill()
    group.finish()
    again = start(port)
    again.wait_for("group is up")
    assert all_gone(pids)
    assert answers(owner_dsn_of(state))


@pytest.mark.usefixtures("ran_before")
@pytest.mark.parametrize("name", ["server", "queue:small", "valkey", "postgres"])
def test_a_killed_child_is_started_again(
    start: Callable[..., Group], state: Path, name: str
) -> None:
    group = start()
    group.wait_for("group is up")
    with psycopg.connect(owner_dsn_of(state), autocommit=True) as connection:
        connection.execute("create table public.kept (n int)")
        connection.execute("insert into public.kept values (1)")
    before = group.pids()
    os.kill(before[name], signal.SIGKILL)
    group.wait_for(f"{name} ended (signal 9)")
    assert eventually(lambda: group.pids().get(name) not in {None, before[name]})
    after = group.pids()
    assert {key: pid for key, pid in after.items() if key != name} == {
        key: pid for key, pid in before.items() if key != name
    }
    assert eventually(lambda: answers(owner_dsn_of(state)))
    with psycopg.connect(owner_dsn_of(state)) as connection:
        assert connection.execute("select n from public.kept").fetchall() == [(1,)]


def test_a_taken_port_is_one_sentence(start: Callable[..., Group], state: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, error = start(port).finish()
    assert code == 1
    assert error == (
        f"port {port} on 127.0.0.1 is taken; choose another: make up PORT={port + 1}\n"
    )
    assert not (state / "pg" / "data").exists()


@pytest.mark.usefixtures("ran_before")
def test_a_second_group_on_the_same_state_is_one_sentence(
    start: Callable[..., Group], state: Path
) -> None:
    group = start()
    group.wait_for("group is up")
    code, error = start().finish()
    assert code == 1
    assert error == (
        f"QuantLabEngine already runs on {state} (process {group.process.pid}); "
        f"end it first: make down STATE={state}\n"
    )
    assert look_up(group.process.pid) is not None


@pytest.mark.usefixtures("ran_before")
def test_a_broken_server_is_one_sentence_and_leaves_nothing(
    start: Callable[..., Group], state: Path
) -> None:
    group = start(SMALL_GROUP_BROKEN="1")
    code, error = group.finish()
    assert code == 1
    assert error.startswith("server keeps ending; it last said: this server is broken")
    assert error.count("\n") == 1
    memory = json.loads((state / "stores.json").read_text())
    assert port_is_free(memory["postgres_port"])
    assert port_is_free(memory["valkey_port"])


def test_a_broken_state_folder_is_one_sentence(start: Callable[..., Group], state: Path) -> None:
    state.write_text("a file")
    code, error = start().finish()
    assert code == 1
    assert error.startswith(f"the state folder {state} cannot be made")
    assert error.count("\n") == 1


@pytest.mark.usefixtures("ran_before")
def test_down_ends_the_group_and_waits(start: Callable[..., Group], state: Path) -> None:
    assert stop_group(state) is False
    group = start()
    group.wait_for("group is up")
    pids = group.pids()
    assert stop_group(state) is True
    assert all_gone({name: pid for name, pid in pids.items() if name != "supervisor"})
    assert group.finish()[0] == 0
    assert stop_group(state) is False


@pytest.mark.usefixtures("ran_before")
def test_down_does_not_signal_a_stranger(start: Callable[..., Group], state: Path) -> None:
    group = start()
    group.wait_for("group is up")
    pid_file = state / "supervisor.pid"
    kept = pid_file.read_text()
    pid_file.write_text(f"{os.getpid()} 1\n")
    with pytest.raises(Refusal, match="does not name the process"):
        stop_group(state)
    pid_file.write_text(kept)
    assert stop_group(state) is True
