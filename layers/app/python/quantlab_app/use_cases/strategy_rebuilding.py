"""The state of a live run, rebuilt: from the newest snapshot that holds, and what came after it."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from quantlab.live import events
from quantlab_app.ports.container import Ports
from quantlab_app.ports.live_strategies import LiveProgram, RunEnded, Snapshot, StrategyRun
from quantlab_app.use_cases.strategy_orders import OrderDesk

PAGE: Final = 500

Opened = tuple[LiveProgram, OrderDesk]
_EVENT_BYTES: Final = 8 * events.QUOTE_WORDS

_log = structlog.get_logger("quantlab.strategy")


async def rebuild(
    ports: Ports, tenant_id: str, run: StrategyRun, open_anew: Callable[[], Awaitable[Opened]]
) -> int:
    """Bring a program to the state the run was kept in; return about how many events that took.

    open_anew begins the program from nothing, in place of the one before. Raises RunEnded where the
    state cannot be had, or is another one: `snapshot_unreadable`, `replay_mismatch`.
    """
    for snapshot in await ports.strategy_runs.snapshots(tenant_id, run.run_id):
        program, desk = await open_anew()
        if await _holds(program, snapshot):
            desk.restore(snapshot.desk)
            return await _replay(ports, tenant_id, run, (program, desk), snapshot.step)
        _log.warning("snapshot_refused", run_id=run.run_id, step=snapshot.step)
    return await _replay(ports, tenant_id, run, await open_anew(), 0)


async def _holds(program: LiveProgram, snapshot: Snapshot) -> bool:
    """Restore a snapshot and say whether the state is the one that was kept."""
    if hashlib.sha256(snapshot.image).hexdigest() != snapshot.image_hash:
        return False
    answer = await program.restore(snapshot.image)
    return (answer.state_hash, answer.orders) == (snapshot.state_hash, snapshot.orders)


async def _replay(ports: Ports, tenant_id: str, run: StrategyRun, opened: Opened, step: int) -> int:
    """Feed what was fed after a step: what comes of it was sent before."""
    program, desk = opened
    fed = 0
    while page := await ports.strategy_runs.journal(tenant_id, run.run_id, step, PAGE):
        for number, words in page:
            if number != step + 1:
                raise RunEnded("snapshot_unreadable", f"no snapshot of it fits, and its journal"
                               f" has no step {step + 1}: the release may be another")  # fmt: skip
            step = number
            fed += len(words) // _EVENT_BYTES
            for frame in events.frames(words):
                answer = await program.feed(frame, hashed=False)
                desk.remember(answer.given)
    answer = await program.feed(b"", hashed=True)
    if (answer.state_hash, answer.orders) != (run.state_hash, run.orders):
        raise RunEnded("replay_mismatch", "its state could not be rebuilt from its journal")
    if answer.trap:
        raise RunEnded(answer.trap, f"it was stopped by its limit {answer.trap}")
    return fed
