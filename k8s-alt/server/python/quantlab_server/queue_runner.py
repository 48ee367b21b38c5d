"""Drain a queue: woken per tenant, swept for lost wakes, several tenants side by side.

A fault of the world is logged and left to the next sweep; a bug ends the process, and the
supervisor starts a new one.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import structlog

from quantlab_app.ports.audit import Wakes
from quantlab_app.ports.errors import Fault

SWEEP_EVERY_S: Final = 0.5
LISTEN_AGAIN_S: Final = 0.5
EVERY_TENANT: Final = None
Drain = Callable[[str | None], Awaitable[int]]

_log = structlog.get_logger("quantlab.queue")


@dataclass(slots=True)
class QueueRunner:
    """Keep at most one drain of a tenant running, and at most `lanes` in all."""

    queue: str
    drain: Drain
    lanes: int
    sweep_every_s: float = SWEEP_EVERY_S
    _waiting: dict[str | None, None] = field(default_factory=dict)
    _running: dict[str | None, asyncio.Task[None]] = field(default_factory=dict)
    _broken: asyncio.Future[None] | None = None

    async def run(self, wakes: Wakes, stop: asyncio.Event) -> None:
        """Work until asked to stop, then let what is running finish."""
        self._broken = asyncio.get_running_loop().create_future()
        helpers = (
            asyncio.create_task(self._listen(wakes), name="listen"),
            asyncio.create_task(self._sweep(), name="sweep"),
            asyncio.create_task(_wait(stop), name="stop"),
        )
        try:
            done, _ = await asyncio.wait(
                {*helpers, self._broken}, return_when=asyncio.FIRST_COMPLETED
            )
            for future in done:
                future.result()
        finally:
            for task in helpers:
                task.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            self._waiting.clear()
            await asyncio.gather(*self._running.values(), return_exceptions=True)

    def wake(self, tenant_id: str | None) -> None:
        """Drain a tenant soon; a wake during its drain means one more drain after it."""
        self._waiting[tenant_id] = None
        self._fill()

    def _fill(self) -> None:
        for tenant_id in list(self._waiting):
            if len(self._running) >= self.lanes:
                return
            if tenant_id not in self._running:
                del self._waiting[tenant_id]
                task = asyncio.create_task(self._drain(tenant_id))
                self._running[tenant_id] = task
                task.add_done_callback(partial(self._drained, tenant_id))

    async def _drain(self, tenant_id: str | None) -> None:
        try:
            await self.drain(tenant_id)
        except Fault as fault:
            _log.warning(
                "drain failed", queue=self.queue, tenant_id=tenant_id, fault=type(fault).__name__,
                detail=str(fault),
            )  # fmt: skip

    def _drained(self, tenant_id: str | None, task: asyncio.Task[None]) -> None:
        del self._running[tenant_id]
        if task.cancelled():
            return
        bug = task.exception()
        if bug is None:
            self._fill()
        elif self._broken is not None and not self._broken.done():
            self._broken.set_exception(bug)

    async def _sweep(self) -> None:
        while True:
            self.wake(EVERY_TENANT)
            await asyncio.sleep(self.sweep_every_s)

    async def _listen(self, wakes: Wakes) -> None:
        while True:
            try:
                async for tenant_id in wakes.listen(self.queue):
                    self.wake(tenant_id)
            except Fault as fault:
                _log.warning("listening failed", queue=self.queue, fault=type(fault).__name__)
            await asyncio.sleep(LISTEN_AGAIN_S)


async def _wait(stop: asyncio.Event) -> None:
    await stop.wait()
