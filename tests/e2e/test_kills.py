"""Every process is killed in the middle of a run; what was acknowledged is carried out, once."""

import asyncio
import gc
import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.accounting import assert_acknowledged_once, assert_answered_are_counted
from tests.support.load_house import (
    ALPHA,
    cleared,
    ends_of,
    fifty_bots,
    invariants,
    load_platform,
    senders,
    settled,
)
from tests.support.running_platform import Platform, all_gone, eventually, eventually_async
from tests.support.signals_load import ACCEPTED, LoadBot, Log
from tests.support.watcher import Watcher

pytestmark = [
    pytest.mark.stack,
    pytest.mark.e2e,
    pytest.mark.skipif(not Path("/proc").exists(), reason="needs the death signal of Linux"),
    # redis-py leaves a connection open whose server dies while it is made.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
VICTIMS = (
    "server",
    "queue:order_execute",
    "queue:audit_append",
    "queue:event_publish",
    "worker:account_watch",
    "worker:market_feed",
    "scheduler",
    "valkey",
    "postgres",
)
WORKERS = 12
WATCHED, SEEN_WAIT_S = 5, 20
SEED = int(os.environ.get("QUANTLAB_SEED", "7"))
ROUNDS, ATTEMPTS, PER_SECOND, PAUSE_S = 1, 1_000, 40, 1.2
FULL = int(os.environ.get("QUANTLAB_SOAK", "10000"))


@pytest.fixture
def doomed() -> Iterator[Platform]:
    with load_platform() as made:
        yield made
    gc.collect()


async def test_no_kill_loses_or_doubles_a_signal(doomed: Platform) -> None:
    await _run_and_kill(doomed, ATTEMPTS, ROUNDS, PER_SECOND)
    await _lose_the_supervisor(doomed)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif("QUANTLAB_SOAK" not in os.environ, reason="by hand: make soak")
async def test_no_kill_loses_or_doubles_a_signal_at_full_length(doomed: Platform) -> None:
    await _run_and_kill(doomed, FULL, 4, 100)
    await _lose_the_supervisor(doomed)


async def _run_and_kill(doomed: Platform, attempts: int, rounds: int, per_second: float) -> None:
    bots = await fifty_bots(doomed)
    before, log = ends_of(doomed), Log()
    tenant = next(one for one in doomed.demo["tenants"] if one["tenantId"] == ALPHA)
    watched = [bot.account_id for bot in bots if bot.tenant_id == ALPHA][:WATCHED]
    watcher = Watcher(doomed, tenant["apiKey"], watched)
    watching = asyncio.create_task(watcher.run())
    try:
        async with senders(doomed, bots, log, SEED) as sending:
            killing = asyncio.create_task(_kill_each(doomed, rounds))
            await sending.run(attempts, WORKERS, per_second, killing.done)
            assert await killing == Counter(VICTIMS * rounds)
        await settled(doomed)
        await _assert_all_was_seen(doomed, watcher)
    finally:
        watching.cancel()
        await asyncio.wait({watching})

    assert not log.surprises, f"{len(log.surprises)}: " + "\n".join(log.surprises[:20])
    assert log.unknown > 0
    ends = ends_of(doomed).since(before)
    assert_answered_are_counted(ends, log)
    assert_acknowledged_once(doomed, log)
    findings = await invariants(doomed)
    assert not findings, str(findings)
    assert await cleared(doomed)
    _assert_books_are_of_these_bots(doomed, bots)


async def _assert_all_was_seen(doomed: Platform, watcher: Watcher) -> None:
    """Every event of the watched accounts reached the socket, in order and once."""

    def kept() -> dict[str, list[tuple[int, str]]]:
        with doomed.database() as connection:
            rows = connection.execute(
                "select stream_id::text as id, seq, event_type from event"
                " where stream_id = any(%s::uuid[]) order by 1, 2",
                (watcher.account_ids,),
            ).fetchall()
        found: dict[str, list[tuple[int, str]]] = {}
        for row in rows:
            found.setdefault(row["id"], []).append((row["seq"], row["event_type"]))
        return found

    await eventually_async(lambda: kept() == watcher.events, SEEN_WAIT_S, "all events are seen")
    assert watcher.faults == []
    assert watcher.connections > 1


async def _kill_each(doomed: Platform, rounds: int) -> Counter[str]:
    """Kill every process some times, in a seeded order, while the bots send."""
    chance = random.Random(SEED)
    killed: Counter[str] = Counter()
    await asyncio.sleep(1)
    for _ in range(rounds):
        for role in chance.sample(VICTIMS, len(VICTIMS)):
            pid = doomed.kill(role)
            killed[role] += 1
            await doomed.restarted(role, pid)
            await asyncio.sleep(PAUSE_S * chance.uniform(0.5, 1.5))
    return killed


def _assert_books_are_of_these_bots(doomed: Platform, bots: list[LoadBot]) -> None:
    with doomed.database() as connection:
        traded = connection.execute("select distinct account_id::text as id from fill").fetchall()
    assert {row["id"] for row in traded} <= {bot.account_id for bot in bots}
    assert len(traded) > len(bots) / 2


async def _lose_the_supervisor(doomed: Platform) -> None:
    """Kill the supervisor: nothing stays behind; the next one finds everything as it was."""
    before, pids = ends_of(doomed), doomed.pids()
    books = _books(doomed)
    doomed.kill("supervisor")
    assert all_gone(pids), f"left running: {pids}"
    doomed.up()
    assert eventually(doomed.healthy)
    assert not set(doomed.pids().values()) & set(pids.values())
    assert ends_of(doomed) == before
    assert books <= _books(doomed)
    bots, log = await fifty_bots(doomed), Log()
    async with senders(doomed, bots, log, SEED + 1) as sending:
        await sending.run(60, WORKERS)
    await settled(doomed)
    assert log.ends()[ACCEPTED] > 0
    findings = await invariants(doomed)
    assert not findings, str(findings)


def _books(doomed: Platform) -> set[tuple[object, ...]]:
    """Read what no restart may change: every booking."""
    with doomed.database() as connection:
        rows = connection.execute("select * from ledger_entry").fetchall()
    return {tuple(row.values()) for row in rows}
