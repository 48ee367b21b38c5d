"""What must hold after every run: all accepted are executed, sums are balances, no audit gap."""

import asyncio
import time
from typing import Any, Final

import psycopg

from bench.world import World
from quantlab.tenancy.scope import system_scope
from quantlab_app.use_cases.audit import walk
from quantlab_edge.compose import build
from quantlab_edge.settings import Settings

AUDIT_WAIT_S: Final = 10.0
POLL_S: Final = 0.05

_INBOX = """
select count(*) filter (where state = 1 and outcome = 'executed') as executed,
  count(*) filter (where state <> 1 or outcome <> 'executed') as others
from quantlab.inbox where source_kind = 'bot'
"""
_LEDGER = """
select count(*) from quantlab.account a where a.balance_minor <> (
  select coalesce(sum(amount_minor), 0) from quantlab.ledger_entry l
  where l.tenant_id = a.tenant_id and l.account_id = a.account_id)
"""
_AUDIT_BEHIND = """
select count(*), coalesce(sum(a.event_seq - coalesce(h.seq, 0)), 0)
from quantlab.account a left join quantlab.audit_head h
  on h.tenant_id = a.tenant_id and h.stream_id = a.account_id
where h.seq is distinct from a.event_seq
"""
_AUDIT_GAPS = """
select count(*) from (
  select tenant_id, stream_id from quantlab.audit_log group by tenant_id, stream_id
  having count(*) <> max(seq) or min(seq) <> 1) broken
"""


def after_run(world: World) -> dict[str, Any]:
    """Check the database once a run has drained; the audit log gets ten seconds to catch up."""
    with psycopg.connect(world.superuser_dsn, autocommit=True) as connection:
        behind, lag_s = _caught_up(connection)
        executed, others = connection.execute(_INBOX).fetchone() or (0, 0)
        return {
            "executed_so_far": executed,
            "not_executed": others,
            "ledger_mismatches": _one(connection, _LEDGER),
            "audit_streams_behind": behind,
            "audit_catch_up_s": lag_s,
            "audit_gaps": _one(connection, _AUDIT_GAPS),
        }


def _caught_up(connection: psycopg.Connection[Any]) -> tuple[int, float]:
    start = time.monotonic()
    while True:
        streams, _ = connection.execute(_AUDIT_BEHIND).fetchone() or (0, 0)
        waited_s = time.monotonic() - start
        if streams == 0 or waited_s > AUDIT_WAIT_S:
            return streams, round(waited_s, 2)
        time.sleep(POLL_S)


def _one(connection: psycopg.Connection[Any], statement: str) -> int:
    row = connection.execute(statement).fetchone()
    return int(row[0]) if row else 0


def verified_chains(world: World) -> dict[str, Any]:
    """Walk every chain of every tenant as an auditor would, recomputing each hash."""
    return asyncio.run(_walked(world))


async def _walked(world: World) -> dict[str, Any]:
    settings = Settings(database_url=world.app_dsn, redis_url=world.redis_url, state=world.state)
    ports = await build(settings)
    entries, broken, start = 0, [], time.monotonic()
    try:
        for tenant in world.tenants:
            scope = system_scope(tenant["tenantId"], "bench", "bench-verification")
            async for head, found in walk(ports, scope):
                entries += head.seq
                if found is not None:
                    broken.append(str(found))
    finally:
        await ports.close()
    return {"entries": entries, "broken": broken, "seconds": round(time.monotonic() - start, 1)}
