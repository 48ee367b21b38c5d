"""Replay: what was recorded decides itself again, and ticks with commands decide the same alone."""

import asyncio
import json
import os
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.support.live_path import LivePath, live_path, random_order, recorded_ticks
from tests.support.stack import FreshDatabase, Stack, fresh_database
from tests.support.world import ALPHA, world
from typer.testing import CliRunner

from quantlab.engine.batch import BatchRun, given_commands
from quantlab.engine.replay import Recording, rules_for, verify
from quantlab.kernel.decimals import format_minor
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.container import Ports
from quantlab_app.use_cases.replay import read_recording
from quantlab_server.cli.main import app

pytestmark = [pytest.mark.stack, pytest.mark.data]
TICKS = 220
# Fewer of these would fill too little.
TICKS_OF = {"BTCUSD": 350, "ES": 350}
CASES = {
    "EURUSD": (("demo-100k", "evaluation-50k", "swing-25k"), ("0.5", "2", "5"), 60),
    "XAUUSD": (("demo-100k", "evaluation-50k", "swing-25k"), ("0.3", "1", "3"), 900),
    "ES": (("evaluation-50k", "swing-25k", "futures-50k"), ("1", "2", "5"), 4),
    "BTCUSD": (("demo-100k", "evaluation-50k", "swing-25k"), ("0.1", "0.5", "1"), 300),
}

COSTS = {
    "commissions": {"*": {"commissionMinorPerLot": "277.7", "commissionBasisPoints": "0.3"}},
    "swaps": {"*": {"unit": "points", "long": "-6.35", "short": "1.07"}},
    "margin": {"leverage": {"*": "10"}, "stopOutPercent": "100"},
}

_FIRST_FILL = "(select min(event_seq) from fill where account_id = %(account)s)"
_ITS_QUOTE = (
    "(select quote_seq from fill where account_id = %(account)s order by event_seq limit 1)"
)
_OF_THE_BOT = "account_id = %(account)s and source_kind = 'bot'"
TAMPERINGS = (
    ("fill", "price_ticks", f"account_id = %(account)s and event_seq = {_FIRST_FILL}", ("fill",)),
    ("tick", "ask_ticks", f"seq = {_ITS_QUOTE}", ("event", "tick")),
    ("account", "balance_minor", "account_id = %(account)s", ("account",)),
    ("decided_command", "received_ns", _OF_THE_BOT, ("event",)),
)


def without_limits(document: dict[str, Any]) -> None:
    """Rates are counted on a clock of their own; one drawdown trails the highest equity.

    One type has costs and margin of its own.
    """
    for bucket in document["rateLimits"].values():
        bucket |= {"perMinute": 1_000_000, "burst": 1_000_000}
    for kind in document["accountTypes"]:
        if kind["id"] == "demo-100k":
            kind.update(COSTS)
        for rule in kind["profileContent"]["rules"]:
            if kind["id"] == "swing-25k" and rule["rule"] == "max_drawdown":
                rule["parameters"] |= {"mode": "trailing", "basis": "equity"}


async def trade_over(
    live: LivePath, symbol: str, seed: int, *, ticks: int = TICKS, often: float = 0.08
) -> list[str]:
    """Trade some accounts at random over a file's ticks; return the accounts."""
    kinds, lots, reach = CASES[symbol]
    made = live.world
    instrument = made.ports.catalog.instruments[symbol]
    quotes = recorded_ticks(symbol, instrument, ticks)
    live.clock.at_ns = quotes[0].ts_ns
    accounts = [await made.account(ALPHA, kind) for kind in kinds]
    bots = [await made.bot(ALPHA, account_id) for account_id in accounts]
    rng = random.Random(seed)
    for number, tick in enumerate(quotes):
        await live.tick(tick)
        for bot in bots:
            if rng.random() < often:
                body = random_order(rng, tick, instrument, lots, reach)
                await live.send(bot, {**body, "id": f"{number}"})
    return accounts


@pytest.mark.parametrize("symbol", CASES)
async def test_a_batch_run_decides_what_the_live_path_did(
    stack: Stack, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, symbol: str
) -> None:
    seen: Counter[str] = Counter()
    with fresh_database(stack) as database:
        async with world(database.app_dsn, redis_url, tmp_path, without_limits) as made:
            async with live_path(made, 0, monkeypatch) as live:
                accounts = await trade_over(live, symbol, seed=7, ticks=TICKS_OF.get(symbol, TICKS))
            for account_id in accounts:
                recording = await read_recording(made.ports, made.scope(ALPHA), account_id)
                seen += Counter(one.command.name for one in recording.decided)
                seen += Counter(row.table for row in recording.rows)
                assert_same(recording, live)
    print(symbol, dict(seen))
    assert seen["fill"] > 10
    assert seen["work_order"] > 3
    assert seen["order"] > 10


def assert_same(recording: Recording, live: LivePath) -> None:
    report = verify(recording)
    assert report.difference is None, str(report.difference)
    assert report.commands == len(recording.decided)
    rules = rules_for(recording, recording.opening)
    run = BatchRun(recording.opening, recording.catalog, rules, live.ticks)
    assert run.trace_hash(given_commands(recording.decided)) == report.trace_hash


def reaching(database: FreshDatabase, redis_url: str) -> dict[str, str]:
    return {"QUANTLAB_DATABASE_URL": database.app_dsn, "QUANTLAB_REDIS_URL": redis_url}


async def here(database: FreshDatabase, redis_url: str, *words: str) -> tuple[int, str]:
    """Run the command in a thread of this process."""
    given = ["replay", *words]
    ran = await asyncio.to_thread(CliRunner().invoke, app, given, env=reaching(database, redis_url))
    return ran.exit_code, ran.stdout or ran.stderr


async def cli(database: FreshDatabase, redis_url: str, *words: str) -> tuple[int, str]:
    """Run the command in a process of its own, whose hashes are seeded anew."""
    environment = {**os.environ, **reaching(database, redis_url)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from quantlab_server.cli.main import app; app()", "replay"),
        *words,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, (out or err).decode()


async def test_the_command_line_replays_exports_and_checks(
    stack: Stack, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fresh_database(stack) as database:
        async with (
            world(database.app_dsn, redis_url, tmp_path, without_limits) as made,
            live_path(made, 0, monkeypatch) as live,
        ):
            account_id = (await trade_over(live, "BTCUSD", seed=3, ticks=120, often=0.2))[0]
        own = ("--state", str(tmp_path), "--json")
        code, said = await cli(database, redis_url, "account", account_id, *own)
        found = json.loads(said)
        assert (code, found["matches"]) == (0, True)
        file = tmp_path / "recording.json"
        code, said = await cli(database, redis_url, "export", account_id, str(file), *own)
        assert (code, json.loads(said)["traceHash"]) == (0, found["traceHash"])
        checks = [await cli(database, redis_url, "check", str(file), "--json") for _ in range(2)]
        assert [(code, json.loads(said)["traceHash"]) for code, said in checks] == [
            (0, found["traceHash"])
        ] * 2
        executed, rejected = ('"outcome": "executed"', '"outcome": "rejected"')
        file.write_text(file.read_text().replace(executed, rejected, 1))
        code, said = await here(database, redis_url, "check", str(file))
        assert code == 1
        assert "outcome: recorded 'rejected', replayed 'executed'" in " ".join(said.split())
        nobody = "00000000-0000-7000-8000-00000000dead"
        code, said = await here(database, redis_url, "account", nobody, "--state", str(tmp_path))
        assert code == 1
        assert nobody in said
        await assert_bad_ticks_are_weighed(database, redis_url, account_id, own)


async def assert_bad_ticks_are_weighed(
    database: FreshDatabase, redis_url: str, account_id: str, own: tuple[str, ...]
) -> None:
    with psycopg.connect(database.superuser_dsn) as connection:
        row = connection.execute(
            "select f.quote_seq, a.balance_minor from quantlab.fill f join quantlab.account a"
            " using (account_id) where account_id = %s order by f.event_seq limit 1",
            (account_id,),
        ).fetchone()
    assert row is not None
    seq, balance_minor = row

    async def weigh(from_seq: int, to_seq: int) -> tuple[int, str]:
        ends = ("--from-seq", str(from_seq), "--to-seq", str(to_seq))
        words = ("without", account_id, "--symbol", "BTCUSD", *ends, *own)
        return await here(database, redis_url, *words)

    code, said = await weigh(seq, seq)
    found = json.loads(said)
    assert (code, found["affected"], len(found["fillsUndone"]) >= 1) == (0, True, True)
    assert found["fillsUndone"][0].endswith(f"tick {seq}")
    assert found["balance"] == format_minor(balance_minor, 2)
    code, said = await weigh(10**6, 10**6 + 1)
    assert (code, said.count("\n")) == (1, 1), said


async def assert_tampering_is_named(
    database: FreshDatabase, ports: Ports, scope: Scope, account_id: str
) -> None:
    """Change what nobody but the owner of the database could change, one thing at a time."""
    for table, column, where, named in TAMPERINGS:
        statement = f"update quantlab.{table} set {column} = {column} + %(by)s where {where}"  # noqa: S608
        with psycopg.connect(database.superuser_dsn, autocommit=True) as connection:
            connection.execute("set search_path = quantlab")
            values = {"account": account_id, "by": 1}
            assert connection.execute(statement.encode(), values).rowcount > 0
            found = verify(await read_recording(ports, scope, account_id)).difference
            connection.execute(statement.encode(), {**values, "by": -1})
        assert found is not None, table
        assert found.table in named, found


async def test_what_retention_forgets_of_the_inbox_can_still_be_replayed(
    stack: Stack, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fresh_database(stack) as database:
        async with world(database.app_dsn, redis_url, tmp_path, without_limits) as made:
            async with live_path(made, 0, monkeypatch) as live:
                account_id = (await trade_over(live, "BTCUSD", seed=5, ticks=60, often=0.2))[0]
                before = await read_recording(made.ports, made.scope(ALPHA), account_id)
                kinds = ("watch", "schedule", "bot")
                later_ns = live.clock.at_ns + 1
                gone = await made.ports.inbox.forget_before(ALPHA, later_ns, kinds)
            assert gone >= len(before.decided) > 3
            after = await read_recording(made.ports, made.scope(ALPHA), account_id)
            assert after == before
            assert verify(after).matches
            await assert_tampering_is_named(database, made.ports, made.scope(ALPHA), account_id)
