"""Drain a queue: woken per tenant, swept for lost wakes, several tenants side by side.

A fault of the world is logged and left to the next sweep; a bug ends the process, and the
supervisor starts a new one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from quantlab_app.ports.audit import Wakes
from quantlab_app.ports.errors import Fault
from quantlab_app.use_cases.waiting import end_all

SWEEP_EVERY_S: Final = 0.5
LISTEN_AGAIN_S: Final = 0.5
TENANTS_A_TURN: Final = 16
SLOW_S: Final = 0.5
Drain = Callable[[Sequence[str]], Awaitable[int]]
Waiting = Callable[[], Awaitable[Sequence[str]]]

_log = structlog.get_logger("quantlab.queue")


@dataclass(frozen=True, slots=True)
class _Turn:
    tenant_ids: list[str]
    began_s: float


@dataclass(slots=True)
class QueueRunner:
    """Keep at most one drain of a tenant running, and at most `lanes` in all.

    A turn takes all who wait, tenants_a_turn at most. While one is under way no other begins: what
    comes meanwhile makes the next one larger, and a row costs least in a large one. Another lane
    takes a turn only where a whole one waits, or the one under way takes longer than SLOW_S. When
    a turn settled full_turn rows there are perhaps more, and its tenants go to the end of the line
    again, so that a busy tenant does not starve the others; what comes after a smaller turn has a
    wake of its own. waiting names the tenants a sweep finds; a queue that is not woken lives from
    its sweeps alone. Under load it may sweep less often (busy_sweep_every_s): its turns are larger
    then.
    """

    queue: str
    drain: Drain
    waiting: Waiting
    lanes: int
    full_turn: int = 1
    sweep_every_s: float = SWEEP_EVERY_S
    busy_sweep_every_s: float | None = None
    woken: bool = True
    tenants_a_turn: int = TENANTS_A_TURN
    _line: dict[str, None] = field(default_factory=dict)
    _turns: dict[asyncio.Task[int], _Turn] = field(default_factory=dict)
    _broken: asyncio.Future[None] | None = None
    _stopping: bool = False

    async def run(self, wakes: Wakes, stop: asyncio.Event) -> None:
        """Work until asked to stop, then let what is running finish."""
        self._broken = asyncio.get_running_loop().create_future()
        helpers = (
            asyncio.create_task(self._sweep(), name="sweep"),
            asyncio.create_task(_wait(stop), name="stop"),
            *([asyncio.create_task(self._listen(wakes), name="listen")] if self.woken else []),
        )
        try:
            done, _ = await asyncio.wait(
                {*helpers, self._broken}, return_when=asyncio.FIRST_COMPLETED
            )
            for future in done:
                future.result()
        finally:
            self._stopping = True
            await end_all(helpers)
            self._line.clear()
            await asyncio.gather(*self._turns, return_exceptions=True)

    def wake(self, tenant_id: str) -> None:
        """Drain a tenant soon; a wake during its drain means one more drain after it."""
        self._line[tenant_id] = None
        self._fill()

    def _fill(self) -> None:
        running = {tenant_id for turn in self._turns.values() for tenant_id in turn.tenant_ids}
        ready = [tenant_id for tenant_id in self._line if tenant_id not in running]
        now_s = asyncio.get_running_loop().time()
        while ready and self._may_begin(len(ready), now_s):
            tenant_ids, ready = ready[: self.tenants_a_turn], ready[self.tenants_a_turn :]
            for tenant_id in tenant_ids:
                del self._line[tenant_id]
            task = asyncio.create_task(self._drain(tenant_ids))
            self._turns[task] = _Turn(tenant_ids, now_s)
            task.add_done_callback(self._drained)

    def _may_begin(self, ready: int, now_s: float) -> bool:
        if len(self._turns) >= self.lanes:
            return False
        ends_soon = any(now_s - turn.began_s < SLOW_S for turn in self._turns.values())
        return ready >= self.tenants_a_turn or not ends_soon

    async def _drain(self, tenant_ids: list[str]) -> int:
        try:
            return await self.drain(tenant_ids)
        except Fault as fault:
            _log.warning(
                "drain failed", queue=self.queue, tenant_ids=tenant_ids,
                fault=type(fault).__name__, detail=str(fault),
            )  # fmt: skip
            return 0

    def _drained(self, task: asyncio.Task[int]) -> None:
        tenant_ids = self._turns.pop(task).tenant_ids
        if task.cancelled():
            return
        bug = task.exception()
        if bug is None:
            if task.result() >= self.full_turn and not self._stopping:
                self._line.update(dict.fromkeys(tenant_ids))
            self._fill()
        elif self._broken is not None and not self._broken.done():
            self._broken.set_exception(bug)

    async def _sweep(self) -> None:
        while not self._stopping:  # a cancellation can be lost in what it waits for
            found: Sequence[str] = ()
            try:
                found = await self.waiting()
                for tenant_id in found:
                    self.wake(tenant_id)
            except Fault as fault:
                _log.warning("sweep failed", queue=self.queue, fault=type(fault).__name__)
            await asyncio.sleep((found and self.busy_sweep_every_s) or self.sweep_every_s)

    async def _listen(self, wakes: Wakes) -> None:
        while not self._stopping:
            try:
                async for tenant_id in wakes.listen(self.queue):
                    self.wake(tenant_id)
            except Fault as fault:
                _log.warning("listening failed", queue=self.queue, fault=type(fault).__name__)
            await asyncio.sleep(LISTEN_AGAIN_S)


async def _wait(stop: asyncio.Event) -> None:
    await stop.wait()
