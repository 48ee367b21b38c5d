"""Carrying out backtests: one at a time, held by a lease that is renewed while it runs.

A worker that dies lets its lease end, and another begins the run anew: source, ticks, configuration
and seed are the same, so the results are.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from quantlab.kernel.instants import SECOND_NS, format_rfc3339
from quantlab.kernel.records import dataclass
from quantlab.market.quote import Quote
from quantlab.tenancy.scope import Scope, system_scope
from quantlab_app.ports.backtests import (
    Backtest,
    BacktestFailed,
    BacktestFiles,
    BacktestJob,
    Claimed,
    Ending,
)
from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import Fault, StoreUnavailable
from quantlab_app.ports.sockets import BACKTESTS
from quantlab_app.use_cases.waiting import end_all, wait_at_most

LOOK_EVERY_S: Final = 0.5
RENEW_EVERY_S: Final = 1.0
LEASE_NS: Final = 15 * SECOND_NS
ATTEMPTS_MAX: Final = 3
PAGE_TICKS: Final = 50_000
ACTOR: Final = "backtest_worker"
SUMMARY: Final = (
    "netProfit", "totalReturn", "maxDrawdown", "maxDrawdownPercent", "winRate", "profitFactor",
    "sharpe",
)  # fmt: skip
COUNTS: Final = ("ticks", "orders", "fills", "trades", "end", "trap", "passed")


@dataclass(slots=True)
class _Held:
    """A run in the making: how far it is, and of how much."""

    claimed: Claimed
    done: int = 0
    total: int | None = None

    def note(self, done: int, total: int) -> None:
        self.done, self.total = done, total


async def work_until(ports: Ports, stop: asyncio.Event) -> None:
    """Carry out runs until told to stop; the one under way is left to another worker then."""
    last = ""
    while not stop.is_set():
        try:
            tenant_id = await _turn(ports, last, stop)
        except StoreUnavailable:
            tenant_id = None
        if tenant_id is not None:
            last = tenant_id
            continue
        await wait_at_most(stop, LOOK_EVERY_S)


async def _turn(ports: Ports, last: str, stop: asyncio.Event) -> str | None:
    """Carry out one run of the next tenant that has one; return the tenant."""
    now_ns = ports.clock.now_ns()
    tenants = sorted(await ports.backtests.waiting(now_ns), key=lambda one: (one <= last, one))
    for tenant_id in tenants:
        scope = system_scope(tenant_id, ACTOR, ACTOR)
        lease_id = ports.ids.new_id()
        claimed = await ports.backtests.claim(scope, lease_id, now_ns, now_ns + LEASE_NS)
        if claimed is not None:
            await carry_out(ports, scope, claimed, stop)
            return tenant_id
    return None


async def carry_out(ports: Ports, scope: Scope, claimed: Claimed, stop: asyncio.Event) -> None:
    """Carry out one run that this worker holds, to its end, its cancelling, or the stop."""
    if claimed.backtest.cancel_requested:
        await _end(ports, scope, _Held(claimed), _ending(ports, "cancelled"))
        return
    if claimed.backtest.attempts > ATTEMPTS_MAX:
        detail = f"{ATTEMPTS_MAX} workers have begun this run and none has ended it"
        lost = _ending(ports, "failed", error="worker_lost", error_detail=detail)
        await _end(ports, scope, _Held(claimed), lost)
        return
    held = _Held(claimed)
    await _publish(ports, scope, held, "running")
    running = asyncio.create_task(_run(ports, scope, held))
    told = await _watched(ports, scope, held, running, stop)
    if told is None:
        await _end(ports, scope, held, running.result())
    elif told == "cancel":
        await _end(ports, scope, held, _ending(ports, "cancelled", ticks_done=held.done))
    elif told == "stop":
        await ports.backtests.release(scope, claimed)


async def _watched(
    ports: Ports, scope: Scope, held: _Held, running: asyncio.Task[Ending], stop: asyncio.Event
) -> str | None:
    """Renew the lease while a run is under way; where it is to end early, end it and say why."""
    stopping = asyncio.create_task(stop.wait())
    until_ns = ports.clock.now_ns() + LEASE_NS
    told: str | None = None
    try:
        while told is None:
            await asyncio.wait(
                {running, stopping}, timeout=RENEW_EVERY_S, return_when=asyncio.FIRST_COMPLETED
            )
            if running.done():
                return None
            if stop.is_set():
                told = "stop"
                continue
            now_ns = ports.clock.now_ns()
            try:
                answer = await ports.backtests.renew(
                    scope, held.claimed, now_ns + LEASE_NS, held.done, held.total
                )
            except StoreUnavailable:
                told = "lost" if now_ns > until_ns else None
                continue
            until_ns = now_ns + LEASE_NS
            told = None if answer == "held" else answer
            await _publish(ports, scope, held, "running")
        return told
    finally:
        await end_all((stopping, running))


async def _run(ports: Ports, scope: Scope, held: _Held) -> Ending:
    """Run a backtest and store its files; return how it ended."""
    backtest = held.claimed.backtest
    try:
        job = await _job(ports, scope, held.claimed)
        ticks = {
            symbol: recorded(ports, symbol, backtest.from_ns, backtest.to_ns)
            for symbol in backtest.symbols
        }
        files = await ports.backtest_runner.run(job, ticks, held.note)
        key = f"backtests/{scope.tenant_id}/{backtest.backtest_id}/{held.claimed.lease_id}"
        found = _read(files)
        await _store(ports, key, files)
    except BacktestFailed as failed:
        return _failed(ports, held, failed.slug, str(failed))
    except Fault as fault:
        return _failed(ports, held, "store_failed", f"{type(fault).__name__}: {fault}")
    return _ending(
        ports,
        "done",
        ticks_done=found["ticks"],
        ticks_total=found["ticks"] if held.total is None else held.total,
        trace_hash=found["traceHash"],
        summary={
            **{name: found[name] for name in COUNTS},
            "account": found["account"],
            "metrics": {name: found["metrics"][name] for name in SUMMARY},
        },
        result_key=key,
    )


async def _job(ports: Ports, scope: Scope, claimed: Claimed) -> BacktestJob:
    backtest = claimed.backtest
    config, profile = None, ""
    if backtest.account_type is not None and backtest.config_version is not None:
        config = (await ports.tenant_configs.pinned(scope, backtest.config_version)).document
        profile = f"{scope.tenant_id}/{backtest.account_type}"
    return BacktestJob(
        backtest_id=backtest.backtest_id,
        lease_id=claimed.lease_id,
        source=claimed.source,
        name=claimed.name or "strategy",
        inputs=backtest.inputs,
        seed=backtest.seed,
        account_type=backtest.account_type,
        profile=profile,
        config=config,
    )


async def recorded(
    ports: Ports, symbol: str, from_ns: int, to_ns: int
) -> AsyncIterator[Sequence[Quote]]:
    """Yield the recorded ticks of [from_ns, to_ns), oldest first: sealed ones, then the log's."""
    after_seq, page_from_ns = 0, from_ns
    for segment in await ports.tick_segments.between(symbol, from_ns, to_ns):
        ticks = await ports.tick_archive.load(segment.object_key)
        yield [tick for tick in ticks if from_ns <= tick.ts_ns < to_ns]
        after_seq, page_from_ns = segment.to_seq, max(from_ns, segment.to_ts_ns)
    while page := await ports.tick_log.page(symbol, page_from_ns, after_seq, PAGE_TICKS):
        kept = [tick for tick in page if tick.ts_ns < to_ns]
        yield kept
        if len(kept) < len(page):
            return
        after_seq, page_from_ns = page[-1].seq, page[-1].ts_ns


def _read(files: BacktestFiles) -> dict[str, Any]:
    """Read the results that a child wrote, as far as the row keeps them."""
    try:
        found: dict[str, Any] = json.loads(files.result)
        wanted = {**{name: found[name] for name in COUNTS}, "account": found["account"]}
        metrics = {name: found["metrics"][name] for name in SUMMARY}
        return {**wanted, "metrics": metrics, "traceHash": str(found["traceHash"])}
    except (ValueError, KeyError, TypeError) as error:
        raise BacktestFailed("forbidden_call", f"the results are none: {error!r}") from error


async def _store(ports: Ports, key: str, files: BacktestFiles) -> None:
    await ports.result_files.store(f"{key}/details.json", files.details)
    await ports.result_files.store(f"{key}/report.html", files.report)
    await ports.result_files.store(f"{key}/result.json", files.result)


def _ending(ports: Ports, status: Any, **fields: Any) -> Ending:
    return Ending(status=status, ended_ns=ports.clock.now_ns(), **fields)


def _failed(ports: Ports, held: _Held, slug: str, detail: str) -> Ending:
    done, total = held.done, held.total
    return _ending(
        ports, "failed", error=slug, error_detail=detail, ticks_done=done, ticks_total=total
    )


async def _end(ports: Ports, scope: Scope, held: _Held, ending: Ending) -> None:
    """Record how a run ended and tell it, unless another worker holds it by now."""
    if await ports.backtests.end(scope, held.claimed, ending):
        await _publish(ports, scope, held, ending.status, ending)


async def _publish(
    ports: Ports, scope: Scope, held: _Held, status: str, ending: Ending | None = None
) -> None:
    backtest: Backtest = held.claimed.backtest
    message: dict[str, Any] = {
        "tenantId": scope.tenant_id,
        "backtestId": backtest.backtest_id,
        "status": status,
        "ticksDone": held.done,
        "ticksTotal": held.total,
    }
    if ending is not None:
        message |= {
            "endedAt": format_rfc3339(ending.ended_ns),
            "error": ending.error,
            "traceHash": ending.trace_hash,
        }
    with contextlib.suppress(StoreUnavailable):
        await ports.event_bus.publish(BACKTESTS, json.dumps(message).encode())
