"""`quantlab strategy` against a real server: save, start, show, stop and kill, as its users do."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog.testing
from pydantic import SecretStr
from tests.support.resources import PASSWORD, Person, Site
from tests.support.world import ALPHA
from typer.testing import CliRunner, Result

from quantlab.tenancy.permissions import Role
from quantlab_app.ports.live_strategies import Line, Step
from quantlab_app.use_cases.api_keys import create_api_key
from quantlab_edge.settings import Settings
from quantlab_server import app as served_app
from quantlab_server import plan
from quantlab_server.cli.main import app
from quantlab_server.refusal import Refusal

pytestmark = pytest.mark.stack
SOURCE = """strategy "Follows"

input n = int(10, min=2, max=50)
input fast = bool(true)

on tick
    if fast and crossover(mid, sma(mid, n))
        buy(0.1)
"""


@dataclass
class Terminal:
    """Where commands are typed: a server, and who asks."""

    site: Site
    url: str
    login: tuple[str, ...]

    async def __call__(self, *arguments: str) -> Result:
        given = ["strategy", *arguments, "--url", self.url, "--tenant", ALPHA, *self.login]
        return await asyncio.to_thread(CliRunner().invoke, app, given)

    async def json(self, *arguments: str) -> Any:
        done = await self(*arguments, "--json")
        assert done.exit_code == 0, (done.output, done.exception)
        return json.loads(done.stdout)

    async def refused(self, *arguments: str) -> str:
        done = await self(*arguments)
        assert isinstance(done.exception, Refusal), done.output
        return f"{done.stderr}{done.exception}"


@pytest.fixture
async def typed(served: Site, tmp_path: Path) -> AsyncIterator[Callable[..., Terminal]]:
    listener = socket.create_server(("127.0.0.1", 0))
    settings = Settings(
        database_url=SecretStr("postgresql://nowhere"), redis_url=SecretStr("redis://nowhere"),
        state=tmp_path,
    )  # fmt: skip
    known = served_app.create_app(served.world.ports, plan.manifests())
    server = served_app.server(known, settings)
    serving = asyncio.create_task(server.serve([listener]))
    async with asyncio.timeout(10):
        while not server.started:
            await asyncio.sleep(0.01)
    port = listener.getsockname()[1]
    # The server's own lines would stand among those of the commands, in one process.
    with structlog.testing.capture_logs():
        yield lambda *login: Terminal(served, f"http://127.0.0.1:{port}", login)
    server.should_exit = True
    await serving
    listener.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "follows.qls"
    made.write_text(SOURCE)
    return made


def write(file: Path, text: str) -> None:
    file.write_text(text)


def read(file: Path) -> str:
    return file.read_text()


async def a_trader(served: Site, typed: Callable[..., Terminal]) -> tuple[Person, Terminal]:
    trader = await served.person(Role.TRADER)
    user = await served.world.ports.users.find(served.world.scope(ALPHA), trader.user_id)
    assert user is not None
    return trader, typed("--email", user.email, "--password", PASSWORD)


async def test_a_strategy_is_saved_in_versions_and_shown(
    served: Site, typed: Callable[..., Terminal], file: Path
) -> None:
    _, quantlab = await a_trader(served, typed)
    first = await quantlab.json("push", str(file))
    assert (first["name"], first["version"]) == ("follows", 1)
    assert (await quantlab.json("push", str(file)))["version"] == 1
    write(file, SOURCE.replace("buy(0.1)", "buy(0.2)"))
    second = await quantlab.json("push", str(file))
    assert (second["strategyId"], second["version"]) == (first["strategyId"], 2)
    assert "409" in await quantlab.refused("push", str(file), "--base-version", "1")
    other = await quantlab.json("push", str(file), "--name", "other")
    assert other["strategyId"] != first["strategyId"]
    listed = await quantlab.json("list")
    assert {one["name"]: one["latestVersion"] for one in listed} == {"follows": 2, "other": 1}
    shown = await quantlab.json("show", "follows", "--version", "1")
    assert shown["source"] == SOURCE
    source = await quantlab("show", first["strategyId"], "--source")
    assert source.stdout == read(file)
    assert "no strategies have the name" in await quantlab.refused("show", "nobody")


async def test_what_does_not_compile_is_not_saved_and_says_where(
    served: Site, typed: Callable[..., Terminal], file: Path
) -> None:
    _, quantlab = await a_trader(served, typed)
    write(file, "on tick\n    buy(nothing)\n")
    said = await quantlab.refused("push", str(file))
    assert f"{file}:2:9: error:" in said
    assert "422" in said
    assert await quantlab.json("list") == []


async def test_a_run_is_started_followed_and_ended(
    served: Site, typed: Callable[..., Terminal], file: Path
) -> None:
    trader, quantlab = await a_trader(served, typed)
    account = await served.account(trader)
    on = ("--account", account)
    await quantlab.json("push", str(file))
    run = await quantlab.json(
        "start", "follows", *on, "--symbol", "EURUSD", "--set", "n=20", "--set", "fast=false",
        "--orders-per-minute", "7", "--keep-orders", "--warm-up", "2h",
    )  # fmt: skip
    assert (run["inputs"], run["onKill"]) == ({"n": 20, "fast": False}, "keep_orders")
    assert (run["limits"]["ordersPerMinute"], run["warmUpSeconds"]) == (7, 7200)
    assert [one["runId"] for one in await quantlab.json("list", *on)] == [run["runId"]]
    assert (await quantlab.json("show", run["runId"], *on))["status"] == "starting"
    await _said(served, run["runId"], "first", "second")
    lines = await quantlab.json("logs", run["runId"], *on)
    assert [one["text"] for one in lines] == ["first", "second"]
    assert [one["status"] for one in await quantlab.json("stop", run["runId"], *on)] == ["stopping"]
    assert [one["status"] for one in await quantlab.json("kill", run["runId"], *on)] == ["killed"]
    followed = await quantlab("logs", run["runId"], *on, "--follow")
    assert followed.stdout.count("\n") == 2
    assert "killed: killed" in followed.stderr
    again = await quantlab("kill", *on)
    assert again.stdout == "no run was live\n"


async def test_input_that_does_not_fit_is_refused_in_one_sentence(
    served: Site, typed: Callable[..., Terminal], file: Path
) -> None:
    trader, quantlab = await a_trader(served, typed)
    account = await served.account(trader)
    await quantlab.json("push", str(file))
    start = ("start", "follows", "--account", account, "--symbol", "EURUSD")
    for given, said in (
        (("--set", "n=many"), "a number of type int"),
        (("--set", "fast=1"), "true or false"),
        (("--set", "slow=1"), "NAME one of n, fast"),
        (("--set", "n=1"), "/inputs/n"),
        (("--warm-up", "soon"), "a number and one of"),
        (("--warm-up", "31d"), "422"),
    ):
        assert said in await quantlab.refused(*start, *given)
    assert "--account, or --all" in await quantlab.refused("kill")
    assert "403" in await quantlab.refused("kill", "--all")
    nobody = Terminal(served, quantlab.url, ("--api-key", "no-key"))
    assert "401" in await nobody.refused("list")
    nowhere = Terminal(served, "http://127.0.0.1:9", quantlab.login)
    assert "is the server up?" in await nowhere.refused("list")


async def test_a_key_of_the_firm_ends_every_run(
    served: Site, typed: Callable[..., Terminal], file: Path
) -> None:
    trader, quantlab = await a_trader(served, typed)
    account = await served.account(trader)
    await quantlab.json("push", str(file))
    start = ("start", "follows", "--account", account, "--symbol", "EURUSD")
    runs = [(await quantlab.json(*start))["runId"] for _ in range(2)]
    ports, scope = served.world.ports, served.world.scope(ALPHA)
    made = await create_api_key(ports, scope, name="risk", role=Role.RISK_MANAGER)
    assert isinstance(made, tuple)
    firm = typed("--api-key", made[1])
    ended = await firm.json("kill", "--all")
    assert sorted(one["runId"] for one in ended) == sorted(runs)


async def _said(served: Site, run_id: str, *texts: str) -> None:
    """Keep lines as the runner does."""
    runs = served.world.ports.strategy_runs
    run = await runs.claim(ALPHA, run_id, served.world.ports.ids.new_id())
    assert run is not None
    step = Step(
        words=b"", events=1, orders=0, state_hash="0" * 64, feed_seqs={}, account_seq=0,
        warming=True, lines=[Line(run.live_ns, "log", text) for text in texts],
    )  # fmt: skip
    assert await runs.keep(ALPHA, run, step)
