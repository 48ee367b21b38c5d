"""How the platform is: each store's answer and its time, and the age of the feed's clock."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, Final

from quantlab.kernel.records import dataclass
from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import StoreUnavailable
from quantlab_app.ports.metrics import Probe

PROBE_LIMIT_S: Final = 2.0
_left: Final[set[asyncio.Task[None]]] = set()


@dataclass(frozen=True, slots=True)
class StoreHealth:
    """One store. latency_us is how long it took to answer or to fail."""

    name: str
    up: bool
    latency_us: int


@dataclass(frozen=True, slots=True)
class Health:
    """feed_age_ns is None when no feed has run, or Redis does not say."""

    stores: tuple[StoreHealth, ...]
    feed_age_ns: int | None

    @property
    def up(self) -> bool:
        """Say whether every store answers."""
        return all(store.up for store in self.stores)


async def health(ports: Ports) -> Health:
    """Ask every store at once."""
    stores = await asyncio.gather(*(_asked(probe) for probe in ports.probes))
    return Health(tuple(stores), await _feed_age_ns(ports))


async def _asked(probe: Probe) -> StoreHealth:
    started = time.perf_counter_ns()
    try:
        await _in_time(probe.touch())
        up = True
    except (StoreUnavailable, TimeoutError):
        up = False
    return StoreHealth(probe.name, up, (time.perf_counter_ns() - started) // 1000)


async def _in_time(asked: Coroutine[Any, Any, None]) -> None:
    """Wait for an answer, not for its driver to give up: that asks a hung store to stop first."""
    task = asyncio.create_task(asked)
    await asyncio.wait({task}, timeout=PROBE_LIMIT_S)
    if task.done():
        task.result()
        return
    _left.add(task)
    task.add_done_callback(_forget)
    task.cancel()
    raise TimeoutError


def _forget(task: asyncio.Task[None]) -> None:
    _left.discard(task)
    if not task.cancelled():
        task.exception()


async def _feed_age_ns(ports: Ports) -> int | None:
    try:
        async with asyncio.timeout(PROBE_LIMIT_S):
            clock = await ports.quotes.feed_clock()
    except (StoreUnavailable, TimeoutError):
        return None
    return None if clock is None else ports.clock.now_ns() - clock.wall_ts_ns
