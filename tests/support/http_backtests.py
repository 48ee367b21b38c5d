"""Backtests asked for over HTTP, carried out by a worker, and run again by the command line."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from quantlab.kernel.instants import format_rfc3339
from quantlab_app.ports.sockets import BACKTESTS
from quantlab_app.use_cases.backtest_work import work_until
from quantlab_app.use_cases.waiting import end_all
from quantlab_server.cli.main import app
from tests.support.recorded_ticks import START_NS, STEP_NS, walk
from tests.support.resources import Person, Site

PATH = "/backtests"
CROSS = Path("examples/sma_cross.qls").read_text(encoding="utf-8")
EURUSD = walk("EURUSD", 20_000, 108_000, 1)
GBPUSD = walk("GBPUSD", 5_000, 125_000, 2, first_seq=2)


def instant(place: int) -> str:
    return format_rfc3339(START_NS + place * STEP_NS)


WHOLE = {"symbols": ["EURUSD"], "from": instant(0), "to": instant(len(EURUSD))}


@contextlib.asynccontextmanager
async def working(served: Site) -> AsyncIterator[None]:
    """Run a worker in this process; its children are processes of their own."""
    stop = asyncio.Event()
    task = asyncio.create_task(work_until(served.world.ports, stop))
    try:
        yield
    finally:
        stop.set()
        await task


@contextlib.asynccontextmanager
async def told_on_the_bus(served: Site) -> AsyncIterator[list[dict[str, Any]]]:
    """Collect what the bus says of backtests."""
    told: list[dict[str, Any]] = []
    attached = asyncio.Event()
    bus = served.world.ports.event_bus
    listening = asyncio.create_task(
        bus.listen((BACKTESTS,), lambda _, body: told.append(json.loads(body)), attached.set)
    )
    try:
        await attached.wait()
        yield told
    finally:
        await end_all([listening])


async def asked(served: Site, person: Person, **fields: Any) -> dict[str, Any]:
    wish = {**WHOLE, **fields}
    if "strategyId" not in wish:
        wish = {"source": CROSS, **wish}
    answer = await served.send("POST", person, PATH, wish)
    assert answer.status_code == 202, answer.text
    document: dict[str, Any] = answer.json()
    place = f"/tenants/{person.tenant_id}{PATH}/{document['backtestId']}"
    assert answer.headers["location"] == place
    return document


async def read(served: Site, person: Person, backtest_id: str) -> dict[str, Any]:
    answer = await served.get(person, f"{PATH}/{backtest_id}")
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def until(
    served: Site, person: Person, backtest_id: str, *status: str, started: bool = False
) -> dict[str, Any]:
    """Wait until a run has a status, and where asked some ticks behind it."""
    while True:
        shown = await read(served, person, backtest_id)
        if shown["status"] in status and (not started or shown["ticksDone"] > 0):
            return shown
        assert shown["status"] in ("queued", "running"), shown["error"]
        await asyncio.sleep(0.05)


async def ended(served: Site, person: Person, **fields: Any) -> dict[str, Any]:
    made = await asked(served, person, **fields)
    async with working(served):
        return await until(served, person, made["backtestId"], "done", "failed")


def by_command_line(folder: Path, source: str, *options: str) -> dict[str, Any]:
    """Run the same as `quantlab backtest run` does, of files of columns."""
    folder.mkdir()
    (folder / "strategy.qls").write_text(source, encoding="utf-8")
    done = CliRunner().invoke(
        app,
        ["backtest", "run", str(folder / "strategy.qls"), "--json", str(folder / "out"), *options],
    )
    assert done.exit_code == 0, done.output
    document: dict[str, Any] = json.loads((folder / "out").read_text(encoding="utf-8"))
    return document


def children(parent: int) -> list[int]:
    """Return the processes of runs that a process has started, where the system lists them."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            ppid = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            if ppid == parent and b"backtests.child" in (place / "cmdline").read_bytes():
                found.append(int(place.name))
    return found
