"""Halting an instrument for a tenant, and letting it trade again."""

from collections.abc import Sequence
from typing import Final

import structlog

from quantlab.kernel.canonical import Json
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import NotFound, StoreUnavailable
from quantlab_app.ports.halts import KnownHalt
from quantlab_app.use_cases.tenant_events import note

HALTS_TOPIC: Final = "halts"

_log = structlog.get_logger("quantlab.halts")


async def halt(ports: Ports, scope: Scope, symbol: str, reason: str) -> tuple[KnownHalt, bool]:
    """Halt an instrument from the next decision on; say whether it was not halted before.

    NotFound where there is no such instrument.
    """
    _known(ports, symbol)
    new = KnownHalt(
        halt_id=ports.ids.new_id(),
        symbol=symbol,
        reason=reason,
        halted_by=f"{scope.actor.kind}:{scope.actor.id}",
        halted_ns=ports.clock.now_ns(),
    )
    fresh = await ports.halts.begin(scope, new)
    if fresh:
        told: dict[str, Json] = {"reason": reason, "by": new.halted_by}
        await _tell(ports, scope, "market.instrument_halted", symbol, told)
    return await _present(ports, scope, symbol), fresh


async def resume(ports: Ports, scope: Scope, symbol: str, reason: str) -> bool:
    """Let an instrument trade again; what waits does so with its next quote. False if it was.

    NotFound where there is no such instrument.
    """
    _known(ports, symbol)
    by, now_ns = f"{scope.actor.kind}:{scope.actor.id}", ports.clock.now_ns()
    ended = await ports.halts.end(scope, symbol, by, reason, now_ns)
    if ended:
        told: dict[str, Json] = {"reason": reason, "by": by}
        await _tell(ports, scope, "market.instrument_resumed", symbol, told)
    return ended


async def list_halts(
    ports: Ports, scope: Scope, before: tuple[int, str] | None, limit: int, *, ended: bool | None
) -> Sequence[KnownHalt]:
    """Return halts, newest first; those that have ended, or those that hold, only."""
    return await ports.halts.page(scope, before=before, limit=limit, ended=ended)


async def _present(ports: Ports, scope: Scope, symbol: str) -> KnownHalt:
    for one in await ports.halts.page(
        scope, before=None, limit=len(ports.catalog.instruments), ended=False
    ):
        if one.symbol == symbol:
            return one
    raise NotFound(f"a halt of {symbol}")


def _known(ports: Ports, symbol: str) -> None:
    if symbol not in ports.catalog.instruments:
        raise NotFound(f"instrument {symbol}")


async def _tell(
    ports: Ports, scope: Scope, event_type: str, symbol: str, told: dict[str, Json]
) -> None:
    """Record it for auditors, and have account_watch look: the writer sees it anyway."""
    payload: dict[str, Json] = {"symbol": symbol, **told}
    now_ns = ports.clock.now_ns()
    await note(ports.inbox, ports.ids, scope, event_type, payload, now_ns=now_ns)
    try:
        await ports.event_bus.publish(HALTS_TOPIC, scope.tenant_id.encode())
    except StoreUnavailable as fault:
        _log.warning("publish_failed", tenant_id=scope.tenant_id, cause=str(fault))
