"""`quantlab up` and `quantlab down` with the real roles, read from the manifests alone."""

import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from quantlab_server.addresses import free_port
from quantlab_server.plan import manifests, roles_of
from quantlab_server.processes import look_up

pytestmark = pytest.mark.stack
ROOT = Path(__file__).parents[2]


def quantlab(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (sys.executable, "-m", "quantlab_server", *(str(argument) for argument in arguments)),
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=150,
    )


@pytest.fixture
def state() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="quantlab-cli-") as name:
        yield Path(name) / "state"
        quantlab("down", "--state", Path(name) / "state")


def test_the_manifests_alone_say_what_runs(state: Path) -> None:
    port = free_port()
    started = quantlab("up", "--port", port, "--state", state, "--detach", "--json")
    assert started.returncode == 0, started.stderr
    ready = json.loads(started.stdout)
    roles = {role.name for role in roles_of(manifests())}
    assert set(ready["processes"]) == roles | {"supervisor", "postgres", "valkey"}
    assert ready["url"] == f"http://127.0.0.1:{port}"
    assert httpx.get(f"{ready['url']}/health").status_code == httpx.codes.OK

    again = quantlab("up", "--port", free_port(), "--state", state, "--detach")
    assert again.returncode == 1
    assert again.stdout == ""
    assert again.stderr.startswith(f"QuantLabEngine already runs on {state} (process ")
    assert again.stderr.count("\n") == 1

    revision = json.loads(quantlab("db", "status", "--state", state, "--json").stdout)
    assert revision["revision"] == revision["newest"]

    stopped = quantlab("down", "--state", state, "--json")
    assert json.loads(stopped.stdout) == {"state": str(state), "stopped": True}
    assert all(look_up(pid) is None for pid in ready["processes"].values())


def test_a_taken_port_is_told_to_the_one_who_asked(state: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = quantlab("up", "--port", port, "--state", state, "--detach")
    assert refused.returncode == 1
    assert refused.stderr == (
        f"port {port} on 127.0.0.1 is taken; choose another: make up PORT={port + 1}\n"
    )


def test_what_is_printed_names_the_state_folder(state: Path, tmp_path: Path) -> None:
    state.mkdir()
    bot = dict.fromkeys(("botId", "accountId", "symbol", "secret", "token"), "x")
    tenant = {"tenantId": "t", "apiKey": "k", "users": [], "accounts": [], "bots": [bot]}
    demo = {"url": "u", "wsUrl": "w", "curl": "c", "tenants": [tenant]}
    (state / "demo.json").write_text(json.dumps(demo))
    said = quantlab("demo", "--state", state).stdout
    assert f".venv/bin/quantlab watch --state {state} --account x" in said
    missing = quantlab("watch", "--state", tmp_path / "none", "--account", "x")
    assert missing.returncode == 1
    assert "demo.json is missing: run make up first" in missing.stderr


@pytest.mark.parametrize(
    ("feed", "sentence"),
    [
        ("telepathy", "FEED: expected synthetic or replay:FILE, got 'telepathy'."),
        ("replay:/none.csv.gz", "FEED: expected a file of ticks, got /none.csv.gz."),
        ("synthetic:seed=x", "FEED: expected seed= as a whole number, got 'x'."),
        ("synthetic:speed=-1", "FEED: expected speed= from 0 to 100000, got '-1'."),
    ],
)
def test_a_feed_that_cannot_play_is_refused_before_anything_starts(
    state: Path, feed: str, sentence: str
) -> None:
    refused = quantlab("up", "--state", state, "--feed", feed)
    assert (refused.returncode, refused.stderr) == (1, f"{sentence}\n")
    assert not state.exists()


def test_down_where_nothing_runs_is_no_failure(state: Path) -> None:
    stopped = quantlab("down", "--state", state)
    assert (stopped.returncode, stopped.stdout) == (0, f"nothing runs on {state}\n")


def test_a_role_says_which_setting_is_missing() -> None:
    refused = subprocess.run(
        (sys.executable, "-m", "quantlab_server", "role", "scheduler"),
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin"},
    )
    assert refused.returncode == 1
    assert refused.stderr.startswith("the settings are incomplete: QUANTLAB_DATABASE_URL: ")
    assert refused.stderr.count("\n") == 1
