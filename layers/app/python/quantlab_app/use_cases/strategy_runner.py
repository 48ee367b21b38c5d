"""The worker that feeds live strategies: it hears quotes, accounts and wishes, and runs them all.

Without a run it listens for wishes only. A run whose store is away is begun again from its journal.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

import orjson
import structlog

from quantlab.tenancy.scope import system_scope
from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import Fault, StoreUnavailable
from quantlab_app.ports.live_strategies import TOPIC, StrategyRun
from quantlab_app.use_cases.publishing import ACCOUNTS_TOPIC
from quantlab_app.use_cases.strategy_ending import end_run
from quantlab_app.use_cases.strategy_feeding import ACTOR, LiveStrategy
from quantlab_app.use_cases.waiting import end_all

RECONCILE_S: Final = 10.0
PULSE_S: Final = 1.0
RETRY_S: Final = 1.0

NoteRuns = Callable[[int], None]

_log = structlog.get_logger("quantlab.strategy_runner")


class StrategyRunner:
    """One running worker; note_runs gets how many runs it feeds."""

    def __init__(self, ports: Ports, note_runs: NoteRuns) -> None:
        self._ports = ports
        self._note_runs = note_runs
        self._runs: dict[str, LiveStrategy] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ears: list[asyncio.Task[None]] = []
        self._look = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Feed runs until told to stop; they go on where the next worker begins."""
        listening = asyncio.create_task(
            self._ports.event_bus.listen((TOPIC,), self._on_wish, self._look.set), name="wishes"
        )
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                self._look.clear()
                await self._reconcile()
                looking = asyncio.create_task(self._look.wait())
                await asyncio.wait(
                    {looking, stopping}, timeout=RECONCILE_S,
                    return_when=asyncio.FIRST_COMPLETED,
                )  # fmt: skip
                looking.cancel()
        finally:
            await end_all((listening, stopping, *self._ears, *self._tasks.values()))

    def _on_wish(self, _topic: str, _message: bytes) -> None:
        self._look.set()

    async def _reconcile(self) -> None:
        """Take up the runs that are ours, drop those that have ended, hear what they need."""
        for run_id in [one for one, task in self._tasks.items() if task.done()]:
            self._forget(run_id)
        try:
            wanted = await self._wanted()
        except StoreUnavailable as fault:
            _log.warning("runs_not_read", cause=str(fault))
            return
        for run_id in set(self._tasks) - set(wanted):
            await end_all((self._tasks[run_id],))
            self._forget(run_id)
        for run_id, (tenant_id, run) in wanted.items():
            if run_id not in self._tasks:
                task = asyncio.create_task(self._feed(tenant_id, run_id), name=f"run {run_id}")
                task.add_done_callback(lambda _: self._look.set())
                self._tasks[run_id] = task
            elif run.status == "stopping" and run_id in self._runs:
                self._runs[run_id].ask_to_stop()
        await self._hear()
        self._note_runs(len(self._tasks))

    async def _wanted(self) -> dict[str, tuple[str, StrategyRun]]:
        found: dict[str, tuple[str, StrategyRun]] = {}
        for tenant_id in await self._ports.strategy_runs.live():
            for run in await self._ports.strategy_runs.open_runs(tenant_id):
                if self._ports.shard.holds(run.account_id):
                    found[run.run_id] = (tenant_id, run)
        return found

    async def _feed(self, tenant_id: str, run_id: str) -> None:
        """Hold a run and feed it; after a fault of a store begin it again from its journal."""
        run: StrategyRun | None = None
        while True:
            try:
                holder_id = self._ports.ids.new_id()
                run = await self._ports.strategy_runs.claim(tenant_id, run_id, holder_id)
                if run is None:
                    return
                live = self._runs[run_id] = LiveStrategy(self._ports, tenant_id, run)
                await live.live()
            except Fault as fault:
                _log.warning("run_interrupted", run_id=run_id, cause=str(fault))
                await asyncio.sleep(RETRY_S)
            except Exception:
                _log.exception("run_broken", run_id=run_id)
                await asyncio.sleep(RETRY_S)
                if run is not None:
                    await self._give_up(tenant_id, run)
                raise
            else:
                return

    async def _give_up(self, tenant_id: str, run: StrategyRun) -> None:
        """End a run over an error of ours: it must not trade on, nor begin again for ever."""
        scope = system_scope(tenant_id, ACTOR, run.run_id)
        detail = "an error of the platform ended it"
        await end_run(self._ports, scope, run, "failed", "internal_error", detail)

    def _forget(self, run_id: str) -> None:
        self._tasks.pop(run_id, None)
        self._runs.pop(run_id, None)

    async def _hear(self) -> None:
        """Listen to quotes and accounts while there is somebody to tell."""
        if self._tasks and not self._ears:
            bus = self._ports.event_bus
            self._ears = [
                asyncio.create_task(self._follow_quotes(), name="quotes"),
                asyncio.create_task(self._pulse(), name="pulse"),
                asyncio.create_task(
                    bus.listen((ACCOUNTS_TOPIC,), self._on_accounts, self._all_accounts),
                    name="accounts",
                ),
            ]
        elif not self._tasks and self._ears:
            await end_all(self._ears)
            self._ears = []

    async def _follow_quotes(self) -> None:
        while True:
            try:
                last_seq = 0
                async for quote in self._ports.quotes.subscribe():
                    # The feed numbers what it accepts without a gap; a suspended one comes again.
                    missed = quote.seq > last_seq + 1
                    last_seq = max(last_seq, quote.seq)
                    for live in self._runs.values():
                        if missed:
                            live.on_gap()
                        if quote.symbol in live.numbers:
                            live.on_quote(quote)
            except StoreUnavailable as fault:
                _log.warning("quotes_lost", cause=str(fault))
            await asyncio.sleep(RETRY_S)

    def _on_accounts(self, _topic: str, message: bytes) -> None:
        moved = {account["account_id"] for account in orjson.loads(message)}
        for live in self._runs.values():
            if live.run.account_id in moved:
                live.on_account()

    def _all_accounts(self) -> None:
        """Make up for what was published while nobody listened."""
        for live in self._runs.values():
            live.on_account()

    async def _pulse(self) -> None:
        while True:
            await asyncio.sleep(PULSE_S)
            with contextlib.suppress(StoreUnavailable):
                clock = await self._ports.quotes.feed_clock()
                for live in self._runs.values():
                    live.on_pulse(clock)
