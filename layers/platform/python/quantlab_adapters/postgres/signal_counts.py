"""The ends of signal attempts, counted over the inbox."""

from quantlab_adapters.postgres.database import Database
from quantlab_app.ports.signals import SignalTotals

_TOTALS = """
select count(*) filter (where outcome = 'executed') as executed,
  count(*) filter (where outcome = 'rejected') as rejected,
  count(*) filter (where state = 2) as dead,
  count(*) filter (where state = 0 and outcome is distinct from 'refused') as pending,
  coalesce(sum(duplicates), 0)::bigint as duplicates,
  count(*) filter (where outcome = 'refused') as refused
from inbox where tenant_id = %s and source_kind = 'bot'
"""


class PostgresSignalCounts:
    """SignalCounts port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def totals(self, tenant_id: str) -> SignalTotals:
        async with self._database.tenant(tenant_id) as connection:
            row = await (await connection.execute(_TOTALS, (tenant_id,))).fetchone()
        return row or {}
