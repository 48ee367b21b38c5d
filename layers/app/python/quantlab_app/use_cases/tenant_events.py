"""Events of a tenant that concern no account: they reach its own stream through the inbox."""

import hashlib
from collections.abc import Sequence

from quantlab.kernel.canonical import Json, canonical_json
from quantlab.kernel.instants import format_rfc3339
from quantlab.tenancy.scope import Scope, system_scope
from quantlab_app.ports.clock import Clock, Ids
from quantlab_app.ports.inbox import Inbox, NewCommand
from quantlab_app.ports.market import QuoteRefusals


def noted(
    ids: Ids,
    scope: Scope,
    event_type: str,
    payload: dict[str, Json],
    *,
    now_ns: int,
    key: str | None = None,
) -> NewCommand:
    """Return what records an event on the tenant's stream, once per key where one is given."""
    signal_id = ids.new_id()
    return NewCommand(
        signal_id=signal_id,
        account_id=None,
        source_kind="operator" if scope.actor.kind != "system" else "schedule",
        source_id=scope.actor.id,
        idempotency_key=hashlib.sha256(f"{event_type}\x00{key or signal_id}".encode()).digest(),
        body_digest=hashlib.sha256(canonical_json(payload)).digest(),
        name=event_type,
        payload=payload,
        received_ns=now_ns,
        outcome="executed",
    )


async def note(
    inbox: Inbox,
    ids: Ids,
    scope: Scope,
    event_type: str,
    payload: dict[str, Json],
    *,
    now_ns: int,
    key: str | None = None,
) -> None:
    """Record an event on the tenant's stream, once per key where one is given."""
    command = noted(ids, scope, event_type, payload, now_ns=now_ns, key=key)
    await inbox.accept(scope, command)


async def note_quote_refusals(
    inbox: Inbox, ids: Ids, clock: Clock, tenants: Sequence[str], refusals: Sequence[QuoteRefusals]
) -> None:
    """Tell every tenant which quotes the gate refused, summed per symbol, reason and minute."""
    for tenant_id in tenants:
        scope = system_scope(tenant_id, "market_feed", "")
        for refusal in refusals:
            await note(
                inbox,
                ids,
                scope,
                "market.quote_refused",
                {
                    "symbol": refusal.symbol,
                    "reason": refusal.reason,
                    "count": refusal.count,
                    "until": format_rfc3339(refusal.ts_ns),
                },
                now_ns=clock.now_ns(),
                key=f"{refusal.symbol}:{refusal.reason}:{refusal.ts_ns}",
            )
