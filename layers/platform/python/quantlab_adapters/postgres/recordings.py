"""An account's whole record in one statement, so that it is of one moment."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final, LiteralString

from quantlab.engine.commands import Command, Event, Fill, Violation
from quantlab.ledger.fills import LedgerEntry
from quantlab.market.quote import Quote
from quantlab.tenancy.scope import Scope
from quantlab_adapters.postgres.accounts import ACCOUNT, owned
from quantlab_adapters.postgres.database import Database
from quantlab_adapters.postgres.order_rows import order_of
from quantlab_app.ports.recordings import AccountRecord, DecidedCommand, WantedTick

_FILL: Final = tuple(field.name for field in fields(Fill) if field.name != "entries")
_DECIDED = """decision, inbox_id, signal_id, account_id, source_kind, source_id, command, payload,
  received_ns, outcome, reason, result, done_ns, inputs"""
_OWN = "where tenant_id = %(tenant)s and account_id = %(account)s"
_RECORD = f"""
select a.*,
  (select json_agg(json_build_array(inbox_id, signal_id, account_id, source_kind, source_id,
      command, payload, received_ns, outcome, reason, result, done_ns, inputs)
      order by decision nulls first, inbox_id)
    from (select {_DECIDED} from inbox {_OWN} and state = 1
      union all select {_DECIDED} from decided_command {_OWN}) d) as decided,
  (select json_agg(json_build_array(seq, event_type, occurred_ns, payload) order by seq)
    from event where tenant_id = %(tenant)s and stream_id = %(account)s) as events,
  (select json_agg(json_build_array({", ".join(_FILL)}) order by event_seq)
    from fill {_OWN}) as fills,
  (select json_agg(json_build_array(event_seq, kind, amount_minor, carry_micro, balance_minor)
      order by event_seq, kind) from ledger_entry {_OWN}) as ledger,
  (select json_agg(json_build_array(order_id, signal_id, client_id, source_kind, symbol, side,
      order_type, size_steps, filled_steps, stop_loss_ticks, take_profit_ticks, status, reason,
      event_seq, created_ns, terms) order by event_seq) from orders {_OWN}) as ended,
  (select json_agg(json_build_array(rule, action, verdict, event_seq) order by event_seq)
    from violation {_OWN}) as violations
from ({ACCOUNT} where a.tenant_id = %(tenant)s and a.account_id = %(account)s) a
"""  # noqa: S608 - constants only
_TICKS = """
select distinct t.* from unnest(%s::text[], %s::bigint[], %s::bigint[])
  wanted (symbol, feed_seq, until_ts_ns), lateral (
    select symbol, bid_ticks, ask_ticks, ts_ns, seq, bid_size_steps, ask_size_steps from tick
    where tick.symbol = wanted.symbol and tick.ts_ns <= wanted.until_ts_ns
      and tick.seq <= wanted.feed_seq
    order by ts_ns desc, seq desc limit 1) t
"""
_SEALED = """
select object_key from tick_segment where symbol = %s and from_seq <= %s
order by from_seq desc limit 1
"""
_SEALED_FROM = """
select object_key from tick_segment where symbol = %s and to_seq >= %s order by from_seq limit 1
"""


class PostgresRecordings:
    """Recordings port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, scope: Scope, account_id: str) -> AccountRecord | None:
        values = {"tenant": scope.tenant_id, "account": account_id}
        async with self._database.tenant(scope.tenant_id) as connection:
            row = await (await connection.execute(_RECORD, values)).fetchone()
        return None if row is None else _record(scope.tenant_id, row)

    async def ticks(self, wanted: Sequence[WantedTick]) -> Sequence[Quote]:
        columns = (
            [one.symbol for one in wanted],
            [one.feed_seq for one in wanted],
            [one.until_ts_ns for one in wanted],
        )
        async with self._database.plain() as connection:
            rows = await (await connection.execute(_TICKS, columns)).fetchall()
        return [Quote(**row) for row in rows]

    async def sealed_in(self, symbol: str, feed_seq: int) -> str | None:
        return await self._key(_SEALED, symbol, feed_seq)

    async def sealed_from(self, symbol: str, feed_seq: int) -> str | None:
        return await self._key(_SEALED_FROM, symbol, feed_seq)

    async def _key(self, statement: LiteralString, symbol: str, feed_seq: int) -> str | None:
        async with self._database.plain() as connection:
            row = await (await connection.execute(statement, (symbol, feed_seq))).fetchone()
        return None if row is None else str(row["object_key"])


def _record(tenant_id: str, row: dict[str, Any]) -> AccountRecord:
    return AccountRecord(
        account=owned(tenant_id, row).account,
        decided=[
            DecidedCommand(Command(*values[:8]), *values[8:]) for values in row["decided"] or ()
        ],
        events=[Event(*values) for values in row["events"] or ()],
        fills=[
            Fill(**dict(zip(_FILL, values, strict=True)), entries=())
            for values in row["fills"] or ()
        ],
        ledger=[(values[0], LedgerEntry(*values[1:])) for values in row["ledger"] or ()],
        orders=[order_of(values) for values in row["ended"] or ()],
        violations=[Violation(*values) for values in row["violations"] or ()],
    )
