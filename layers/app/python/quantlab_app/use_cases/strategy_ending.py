"""How a live run ends: its row, the commands that cancel what it has asked for, the audit log."""

import hashlib
from typing import Final

from quantlab.engine.commands import TRADE
from quantlab.kernel.canonical import Json, canonical_json
from quantlab.kernel.records import replace
from quantlab.live.intents import SOURCE, client_id
from quantlab.tenancy.scope import Scope
from quantlab_app.ports.container import Ports
from quantlab_app.ports.inbox import NewCommand
from quantlab_app.ports.live_strategies import RunStatus, StrategyRun
from quantlab_app.use_cases.tenant_events import noted

PENDING_MAX: Final = 1_000
DETAIL_MAX: Final = 4_000
TOLD_MAX: Final = 400


async def end_run(
    ports: Ports, scope: Scope, run: StrategyRun, status: RunStatus, reason: str, detail: str
) -> StrategyRun:
    """End a run that its holder holds, unless it has ended or another holds it.

    One that fails leaves no more of its orders than one that is killed. What cancels them and what
    tells the tenant's audit log is in the inbox with its end, or neither is.
    """
    said: dict[str, Json] = {"reason": reason, "detail": detail[:TOLD_MAX]}
    commands = await cancelling(ports, scope, run) if status == "failed" else []
    commands.append(_told(ports, scope, run, status, said))
    ended = await ports.strategy_runs.end(
        scope.tenant_id, run, status, reason, detail[:DETAIL_MAX], ports.clock.now_ns(), commands
    )
    if not ended:
        return run
    await ports.wakes.wake("orders", scope.tenant_id, run.account_id)
    return replace(run, status=status, reason=reason)


async def tell(
    ports: Ports, scope: Scope, run: StrategyRun, what: str, more: dict[str, Json]
) -> None:
    """Tell the tenant's audit log of a run, once each: that it has started, was killed ..."""
    await ports.inbox.accept(scope, _told(ports, scope, run, what, more))


def _told(
    ports: Ports, scope: Scope, run: StrategyRun, what: str, more: dict[str, Json]
) -> NewCommand:
    payload: dict[str, Json] = {
        "runId": run.run_id, "accountId": run.account_id, "strategyId": run.strategy_id,
        "version": run.version, "sourceHash": run.source_hash, **more,
    }  # fmt: skip
    return noted(
        ports.ids, scope, f"strategy.{what}", payload, now_ns=ports.clock.now_ns(),
        key=f"{run.run_id}:{what}",
    )  # fmt: skip


async def cancelling(ports: Ports, scope: Scope, run: StrategyRun) -> list[NewCommand]:
    """Return what cancels all a run has asked for: what works, and what nobody has decided on yet.

    Nothing for a run that was started so that its orders stay.
    """
    if not run.cancels_orders:
        return []
    owned = await ports.accounts.find(scope, run.account_id)
    prefix = client_id(run.run_id, 0)[:-1]
    wanted: dict[str, dict[str, str]] = {}
    for order in owned.account.working.values() if owned is not None else ():
        if (order.client_id or "").startswith(prefix):
            wanted[order.order_id] = {"action": "cancel", "orderId": order.order_id}
    pending = await ports.inbox.deliveries(
        scope, source_kind=SOURCE, account_ids=(run.account_id,), status="accepted", before=None,
        limit=PENDING_MAX,
    )  # fmt: skip
    for delivery in pending:
        known = delivery.payload.get("clientId")
        if delivery.source_id == run.run_id and delivery.payload["action"] in ("buy", "sell"):
            wanted[str(known)] = {"action": "cancel", "clientId": str(known)}
    return [_cancel(ports, run, named, payload) for named, payload in wanted.items()]


def _cancel(ports: Ports, run: StrategyRun, named: str, payload: dict[str, str]) -> NewCommand:
    return NewCommand(
        signal_id=ports.ids.new_id(),
        account_id=run.account_id,
        source_kind=SOURCE,
        source_id=run.run_id,
        idempotency_key=hashlib.sha256(f"{run.run_id}\x00cancel\x00{named}".encode()).digest(),
        body_digest=hashlib.sha256(canonical_json(dict(payload))).digest(),
        name=TRADE,
        payload=dict(payload),
        received_ns=ports.clock.now_ns(),
    )
