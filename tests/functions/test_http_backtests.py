"""Backtests over HTTP and through the worker, on recorded ticks, held to the command line."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.http_backtests import (
    CROSS,
    EURUSD,
    GBPUSD,
    PATH,
    WHOLE,
    asked,
    by_command_line,
    children,
    ended,
    instant,
    read,
    told_on_the_bus,
    until,
    working,
)
from tests.support.recorded_ticks import as_columns, record
from tests.support.resources import Site, problem, site
from tests.support.set_clock import SetClock
from tests.support.stack import FreshDatabase
from tests.support.world import ALPHA, BETA

from quantlab.tenancy.permissions import Role
from quantlab_app.use_cases import backtest_work
from quantlab_app.use_cases import backtests as use_cases

pytestmark = pytest.mark.stack
NOBODY = "00000000-0000-7000-8000-000000000000"
SLOW = """input rounds = int(9000, min=1, max=9000)
var seen = 0
on tick
    x = bid
    for i in 1..9000
        if i < rounds
            x := sqrt(x * x + 1.0)
    seen += 1
    if seen % 50 == 0 and position == 0
        buy(0.1)
    else if seen % 50 == 25 and x > 0
        close_position()
"""
PAIRS = """input side = string("long")
input lots = float(0.5, min=0.1, max=2.0)
on tick
    if bid("GBPUSD") > 1.25 and position == 0 and side == "short"
        sell(lots)
    else if position != 0
        close_position()
"""
TRAPS = """var n = 0
on tick
    n += 1
    m = idiv(100, 500 - n)
    if m > 1000000
        flatten()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a state folder that lasts as long as the database of this module."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture
async def served(
    fresh_database: FreshDatabase, redis_url: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Site]:
    monkeypatch.setenv("QUANTLAB_ARGON2_TIME_COST", "1")
    monkeypatch.setenv("QUANTLAB_ARGON2_MEMORY_KIB", "8192")
    async with site(fresh_database.app_dsn, redis_url, folder) as made:
        ports = made.world.ports
        if await ports.tick_segments.last("EURUSD") is None:
            await record(ports, EURUSD, sealed=12_000)
            await record(ports, GBPUSD, sealed=0)
            await ports.tick_log.close()
        yield made


async def test_a_run_is_what_the_command_line_makes_of_the_same_ticks(
    served: Site, tmp_path: Path
) -> None:
    trader = await served.person(Role.TRADER)
    saved = await served.send("POST", trader, "/strategies", {"name": "cross", "source": CROSS})
    strategy_id = saved.json()["strategyId"]
    made = await asked(served, trader, strategyId=strategy_id, inputs={"fast": 12, "lots": 0.5})
    assert (made["status"], made["version"], made["ticksTotal"]) == ("queued", 1, None)
    assert made["sourceHash"] == saved.json()["sourceHash"]
    path = f"{PATH}/{made['backtestId']}"
    assert problem(await served.get(trader, f"{path}/result")) == (409, "backtest_not_done")
    async with working(served):
        shown = await until(served, trader, made["backtestId"], "done")
    ticks = as_columns(tmp_path / "EURUSD", EURUSD)
    expected = by_command_line(
        tmp_path / "cli", CROSS, "--ticks", f"EURUSD={ticks}", "--set", "fast=12", "--set",
        "lots=0.5",
    )  # fmt: skip
    assert expected["fills"] > 100
    assert shown["traceHash"] == expected["traceHash"]
    assert (shown["ticksDone"], shown["ticksTotal"]) == (len(EURUSD), len(EURUSD))
    assert shown["summary"]["fills"] == expected["fills"]
    assert shown["summary"]["metrics"]["netProfit"] == expected["metrics"]["netProfit"]
    result = await served.get(trader, f"{path}/result")
    assert result.headers["content-type"] == "application/json"
    told = result.json()
    assert told.pop("timings")["run"] > 0
    assert told == {
        **{k: v for k, v in expected.items() if k != "timings"},
        "strategy": "SMA cross",
    }
    whole = (await served.get(trader, f"{path}/result", details=True)).json()
    assert len(whole["fillList"]) == expected["fills"]
    page = await served.get(trader, f"{path}/report")
    assert page.text.startswith("<!doctype html>")
    assert "sandbox" in page.headers["content-security-policy"]
    listed = (await served.get(trader, PATH)).json()["items"]
    assert listed == [shown]


async def test_rules_seeds_and_several_symbols_are_as_on_the_command_line(
    served: Site, tmp_path: Path
) -> None:
    trader = await served.person(Role.TRADER)
    both = {"symbols": ["GBPUSD", "EURUSD"], "accountType": "demo-100k", "seed": 7}
    shown = await ended(served, trader, source=PAIRS, inputs={"side": "short", "lots": 1.5}, **both)
    assert shown["status"] == "done", shown
    assert shown["symbols"] == ["EURUSD", "GBPUSD"]
    assert shown["configVersion"] == served.world.configs[ALPHA].version
    sources = [
        f"{quotes[0].symbol}={as_columns(tmp_path / quotes[0].symbol, quotes)}"
        for quotes in (EURUSD, GBPUSD)
    ]
    expected = by_command_line(
        tmp_path / "cli", PAIRS.replace('"long"', '"short"'), "--ticks", sources[0], "--ticks",
        sources[1], "--profile", f"{ALPHA}/demo-100k", "--seed", "7", "--set", "lots=1.5",
    )  # fmt: skip
    assert expected["fills"] > 100
    assert shown["traceHash"] == expected["traceHash"]
    assert shown["ticksTotal"] == len(EURUSD) + len(GBPUSD)


async def test_a_range_takes_the_ticks_within_it(
    served: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the middle of a sealed segment to the middle of what is not sealed yet.

    The run has ended before its lease is renewed, as a short one often has.
    """
    monkeypatch.setattr(backtest_work, "RENEW_EVERY_S", 60)
    trader = await served.person(Role.TRADER)
    begin, end = 5_003, 15_001
    shown = await ended(served, trader, **{"from": instant(begin), "to": instant(end)})
    assert shown["status"] == "done", shown
    assert shown["ticksTotal"] == end - begin
    ticks = as_columns(tmp_path / "EURUSD", EURUSD[begin:end])
    expected = by_command_line(tmp_path / "cli", CROSS, "--ticks", f"EURUSD={ticks}")
    assert shown["traceHash"] == expected["traceHash"]


async def test_a_killed_worker_is_replaced_and_the_hash_is_the_same(
    served: Site, folder: Path, fresh_database: FreshDatabase, redis_url: str, tmp_path: Path
) -> None:
    trader = await served.person(Role.TRADER)
    made = await asked(served, trader, source=SLOW)
    environment = {
        **os.environ,
        "QUANTLAB_DATABASE_URL": fresh_database.app_dsn,
        "QUANTLAB_REDIS_URL": redis_url,
        "QUANTLAB_STATE": str(folder),
        "QUANTLAB_CONFIGS": "agent/configs",
    }
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "quantlab_server", "role", "worker", "backtest_worker",
        env=environment, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        begun = await until(served, trader, made["backtestId"], "running", started=True)
        assert begun["ticksDone"] < len(EURUSD)
    finally:
        worker.send_signal(signal.SIGKILL)
        await worker.wait()
    assert (await read(served, trader, made["backtestId"]))["status"] == "running"
    ports = served.world.ports
    when_the_lease_is_over = ports.clock.now_ns() + backtest_work.LEASE_NS
    served.world.ports = replace(ports, clock=SetClock(when_the_lease_is_over))
    async with working(served):
        shown = await until(served, trader, made["backtestId"], "done")
    found = await served.world.ports.backtests.find(served.world.scope(ALPHA), made["backtestId"])
    assert found is not None
    assert found.attempts == 2
    ticks = as_columns(tmp_path / "EURUSD", EURUSD)
    expected = by_command_line(tmp_path / "cli", SLOW, "--ticks", f"EURUSD={ticks}")
    assert shown["traceHash"] == expected["traceHash"]
    assert list((folder / "backtests").iterdir()) == []


async def test_a_run_is_cancelled_while_it_waits_and_while_it_runs(
    served: Site, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backtest_work, "RENEW_EVERY_S", 0.02)  # before the run is over
    trader = await served.person(Role.TRADER)
    first, second = [await asked(served, trader, source=SLOW) for _ in range(2)]
    cancel = await served.send("POST", trader, f"{PATH}/{second['backtestId']}/cancel")
    assert (cancel.status_code, cancel.json()["status"]) == (202, "cancelled")
    path = f"{PATH}/{first['backtestId']}/cancel"
    async with told_on_the_bus(served) as told, working(served):
        await until(served, trader, first["backtestId"], "running", started=True)
        if sys.platform == "linux":
            (child,) = children(os.getpid())
            status = Path(f"/proc/{child}/status").read_text(encoding="ascii")  # noqa: ASYNC240
            assert "Seccomp:\t2" in status
            assert "NoNewPrivs:\t1" in status
        cancel = await served.send("POST", trader, path)
        assert (cancel.json()["status"], cancel.json()["cancelling"]) == ("running", True)
        shown = await until(served, trader, first["backtestId"], "cancelled")
        while not told or told[-1]["status"] == "running":
            await asyncio.sleep(0.01)
    assert 0 < shown["ticksDone"] < len(EURUSD)
    assert shown["endedAt"] is not None
    assert children(os.getpid()) == []
    assert problem(await served.send("POST", trader, path)) == (409, "backtest_ended")
    assert {one["backtestId"] for one in told} == {first["backtestId"]}
    assert {one["tenantId"] for one in told} == {ALPHA}
    assert (told[0]["status"], told[-1]["status"]) == ("running", "cancelled")
    assert list((folder / "backtests").iterdir()) == []


async def test_a_worker_that_is_told_to_stop_leaves_its_run_to_another(served: Site) -> None:
    trader = await served.person(Role.TRADER)
    made = await asked(served, trader, source=SLOW)
    async with working(served):
        await until(served, trader, made["backtestId"], "running", started=True)
    assert (await read(served, trader, made["backtestId"]))["status"] == "queued"
    async with working(served):
        await until(served, trader, made["backtestId"], "running")
        await served.send("POST", trader, f"{PATH}/{made['backtestId']}/cancel")
        await until(served, trader, made["backtestId"], "cancelled")
    found = await served.world.ports.backtests.find(served.world.scope(ALPHA), made["backtestId"])
    assert found is not None
    assert found.attempts == 1


async def test_a_run_that_fails_says_why(served: Site) -> None:
    trader = await served.person(Role.TRADER)
    shown = await ended(served, trader, source=TRAPS)
    assert shown["status"] == "done"
    assert (shown["summary"]["end"], shown["summary"]["trap"]) == ("trap", "division_by_zero")
    # An account in euros needs the pair that converts its profits: the account says so.
    foreign = await served.person(Role.TRADER, BETA)
    span = {"from": instant(0), "to": instant(len(GBPUSD))}
    refused = await ended(served, foreign, accountType="one-step-50k", symbols=["GBPUSD"], **span)
    assert (refused["status"], refused["error"]["code"]) == ("failed", "not_run")
    assert "ticks of EURUSD too" in refused["error"]["detail"]
    place = f"{PATH}/{refused['backtestId']}/result"
    assert problem(await served.get(foreign, place)) == (409, "backtest_not_done")


async def test_an_account_type_that_hedges_is_run(served: Site) -> None:
    person = await served.person(Role.TRADER, BETA)
    shown = await ended(served, person, accountType="demo-hedging-100k")
    assert (shown["status"], shown["summary"]["end"]) == ("done", "end_of_data")


async def test_owners_and_tenants_have_so_many_and_no_more(
    served: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(use_cases, "OPEN_A_USER_MAX", 2)
    monkeypatch.setattr(use_cases, "OPEN_A_TENANT_MAX", 3)
    first, second = await served.person(Role.TRADER), await served.person(Role.TRADER)
    made = [await asked(served, first) for _ in range(2)]
    wish = {"source": CROSS, **WHOLE}
    full = await served.send("POST", first, PATH, wish)
    assert problem(full) == (409, "too_many_backtests")
    assert "2 of an owner" in full.json()["detail"]
    other = await asked(served, second)
    full = await served.send("POST", second, PATH, wish)
    assert problem(full) == (409, "too_many_backtests")
    assert "3 of a tenant" in full.json()["detail"]
    for person, run in ((first, made[0]), (first, made[1]), (second, other)):
        await served.send("POST", person, f"{PATH}/{run['backtestId']}/cancel")
    again = await asked(served, first)
    await served.send("POST", first, f"{PATH}/{again['backtestId']}/cancel")
    monkeypatch.setattr(use_cases, "TICKS_MAX", 10_000)
    wide = await served.send("POST", first, PATH, wish)
    assert [one["pointer"] for one in wide.json()["errors"]] == ["/from"]
    assert "10000 ticks" in wide.json()["errors"][0]["expected"]


NOT_TAKEN: tuple[tuple[dict[str, Any], str], ...] = (
    ({"symbols": []}, "/symbols"),
    ({"symbols": ["EURUSD", "EURUSD"]}, "/symbols"),
    ({"symbols": ["NOPE"]}, "/symbols/0"),
    ({"symbols": ["USDJPY"]}, "/symbols/0"),
    ({"from": "yesterday"}, "/from"),
    ({"from": instant(5), "to": instant(5)}, "/from"),
    ({"to": "2190-01-01T00:00:00Z"}, "/to"),
    ({"to": instant(-5), "from": instant(-9)}, "/symbols/0"),
    ({"accountType": "none"}, "/accountType"),
    ({"inputs": {"nope": 1}}, "/inputs"),
    ({"inputs": {"fast": 1}}, "/inputs/fast"),
    ({"inputs": {"fast": 2.5}}, "/inputs/fast"),
    ({"inputs": {"fast": "12"}}, "/inputs/fast"),
    ({"inputs": {"fast": True}}, "/inputs/fast"),
    ({"seed": -1}, "/seed"),
    ({"strategyId": NOBODY}, ""),
    ({"source": None}, ""),
    ({"version": 1}, ""),
    ({"source": PAIRS}, "/symbols"),
)


async def test_a_field_that_does_not_hold_is_named(served: Site) -> None:
    trader = await served.person(Role.TRADER)
    for change, pointer in NOT_TAKEN:
        answer = await served.send("POST", trader, PATH, {"source": CROSS, **WHOLE, **change})
        assert problem(answer) == (422, "invalid_fields"), (change, answer.text)
        assert [one["pointer"] for one in answer.json()["errors"]] == [pointer], change
    broken = await served.send(
        "POST", trader, PATH, {**WHOLE, "source": "on tick\n    x = smaa(bid, 3)\n"}
    )
    assert problem(broken) == (422, "not_compiled")
    assert broken.json()["diagnostics"][0]["line"] == 2
    assert (await served.get(trader, PATH)).json()["items"] == []


async def test_who_sees_and_who_runs(served: Site) -> None:
    trader = await served.person(Role.TRADER)
    saved = await served.send("POST", trader, "/strategies", {"name": "mine", "source": CROSS})
    made = await asked(served, trader)
    path = f"{PATH}/{made['backtestId']}"
    own = {**WHOLE, "strategyId": saved.json()["strategyId"]}
    requests: tuple[tuple[str, str, Any], ...] = (
        ("GET", path, None),
        ("GET", f"{path}/result", None),
        ("GET", f"{path}/report", None),
        ("POST", f"{path}/cancel", None),
        ("POST", PATH, own),
    )
    outsiders = (
        await served.person(Role.TRADER),
        await served.person(Role.TENANT_ADMIN, BETA),
    )
    for outsider in outsiders:
        listed = (await served.get(outsider, PATH)).json()["items"]
        assert made["backtestId"] not in {one["backtestId"] for one in listed}
        for method, place, body in requests:
            answer = await served.send(method, outsider, place, body)
            assert problem(answer) == (404, "not_found"), (method, place)
    risk, viewer = await served.person(Role.RISK_MANAGER), await served.person(Role.VIEWER)
    assert (await served.get(risk, path)).json() == made
    for method, place, body in requests[3:]:
        assert problem(await served.send(method, risk, place, body)) == (403, "forbidden")
    for method, place, body in requests:
        assert problem(await served.send(method, viewer, place, body)) == (403, "forbidden")
    admin = await served.person(Role.TENANT_ADMIN)
    assert (await served.send("POST", admin, f"{path}/cancel")).json()["status"] == "cancelled"
    for place in (f"{PATH}/{NOBODY}", f"{PATH}/none"):
        assert problem(await served.get(trader, place)) == (404, "not_found")


async def test_lists_come_newest_first_in_pages(served: Site) -> None:
    trader = await served.person(Role.TRADER)
    made = []
    for _ in range(3):
        made.insert(0, (await asked(served, trader))["backtestId"])
        await served.send("POST", trader, f"{PATH}/{made[0]}/cancel")
    pages = await served.pages(trader, PATH, limit=2)
    assert [[one["backtestId"] for one in rows] for rows in pages] == [made[:2], made[2:]]
    assert (await served.get(trader, PATH, status="queued")).json()["items"] == []
    cancelled = (await served.get(trader, PATH, status="cancelled")).json()["items"]
    assert len(cancelled) == 3
