"""Bad ticks in PostgreSQL."""

from collections.abc import Mapping, Sequence
from typing import Any, LiteralString

import orjson

from quantlab.engine.bad_ticks import BadTicks
from quantlab.tenancy.scope import Scope
from quantlab_adapters.postgres.database import Database
from quantlab_app.ports.bad_ticks import AccountDifference, BadTickRange

_RANGES: LiteralString = """
select range_id::text, symbol, from_seq, to_seq, ticks, reason, marked_by, marked_ns, withdrawn_by,
  withdrawn_ns, withdrawn_reason
from bad_tick_range where tenant_id = %(tenant)s
"""
_ADD = """
insert into bad_tick_range (tenant_id, range_id, symbol, from_seq, to_seq, ticks, reason, marked_by,
  marked_ns)
values (%(tenant)s, %(range)s, %(symbol)s, %(from)s, %(to)s, %(ticks)s, %(reason)s, %(by)s, %(now)s)
on conflict (tenant_id, range_id) do nothing
"""
_WITHDRAW = """
update bad_tick_range r set withdrawn_by = %(by)s, withdrawn_ns = %(now)s,
  withdrawn_reason = %(reason)s
where r.tenant_id = %(tenant)s and r.range_id = %(range)s and r.withdrawn_ns is null
  and not exists (select 1 from approval a where a.tenant_id = %(tenant)s
    and a.kind = 'correction' and a.subject ->> 'rangeId' = %(range)s::text
    and a.state in ('pending', 'approved', 'executed'))
"""
_TRADED: LiteralString = "where x.tenant_id = a.tenant_id and x.account_id = a.account_id"
# The state of an account changes by its commands alone: one without any since saw nothing bad.
_TO_COMPUTE = f"""
select a.account_id::text as id from account a
where a.tenant_id = %(tenant)s
  and not exists (select 1 from bad_tick_difference x {_TRADED} and x.range_id = %(range)s)
  and (exists (select 1 from fill x {_TRADED} and x.symbol = any(%(symbols)s))
    or exists (select 1 from orders x {_TRADED} and x.symbol = any(%(symbols)s))
    or exists (select 1 from working_order x {_TRADED} and x.symbol = any(%(symbols)s))
    or exists (select 1 from position x {_TRADED} and x.symbol = any(%(symbols)s)))
  and (exists (select 1 from inbox x {_TRADED} and x.state = 1
      and (x.inputs ->> 'feedSeq')::bigint >= %(from)s)
    or exists (select 1 from decided_command x {_TRADED}
      and (x.inputs ->> 'feedSeq')::bigint >= %(from)s))
order by a.account_id limit %(limit)s
"""  # noqa: S608 - constants only
_STORE = """
insert into bad_tick_difference as d (tenant_id, range_id, account_id, event_seq, affected,
  amount_minor, document, digest, problem, computed_ns)
values (%(tenant)s, %(range)s, %(account)s, %(seq)s, %(affected)s, %(amount)s, %(document)s,
  %(digest)s, %(problem)s, %(now)s)
on conflict (tenant_id, range_id, account_id) do update set event_seq = excluded.event_seq,
  affected = excluded.affected, amount_minor = excluded.amount_minor, document = excluded.document,
  digest = excluded.digest, problem = excluded.problem, computed_ns = excluded.computed_ns
where not exists (select 1 from approval a where a.tenant_id = d.tenant_id
  and a.account_id = d.account_id and a.kind = 'correction'
  and a.subject ->> 'differenceDigest' = d.digest
  and a.state in ('pending', 'approved', 'executed'))
"""
_DIFFERENCES = """
select range_id::text, account_id::text, event_seq, affected, amount_minor, document, digest,
  problem, computed_ns
from bad_tick_difference where tenant_id = %(tenant)s and range_id = %(range)s
  and (%(after)s::uuid is null or account_id > %(after)s::uuid)
  and (%(affected)s::boolean is null or affected = %(affected)s)
order by account_id limit %(limit)s
"""


class PostgresBadTickRanges:
    """BadTickRanges port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, scope: Scope, new: BadTickRange) -> bool:
        values = {
            "range": new.range_id,
            "symbol": new.bad.symbol,
            "from": new.bad.from_seq,
            "to": new.bad.to_seq,
            "ticks": new.ticks,
            "reason": new.reason,
            "by": new.marked_by,
            "now": new.marked_ns,
        }
        return await self._changed(scope, _ADD, values)

    async def find(self, scope: Scope, range_id: str) -> BadTickRange | None:
        where = " and range_id = %(range)s"
        found = await self._ranges(scope, where, {"range": range_id})
        return found[0] if found else None

    async def page(
        self, scope: Scope, before: tuple[int, str] | None, limit: int
    ) -> Sequence[BadTickRange]:
        moment, last_id = before if before is not None else (None, None)
        return await self._ranges(
            scope,
            " and (%(moment)s::bigint is null"
            "  or (marked_ns, range_id) < (%(moment)s, %(last)s::uuid))"
            " order by marked_ns desc, range_id desc limit %(limit)s",
            {"moment": moment, "last": last_id, "limit": limit},
        )

    async def standing_before(
        self, scope: Scope, marked: BadTickRange | None
    ) -> Sequence[BadTickRange]:
        return await self._ranges(
            scope,
            " and (%(range)s::uuid is null"
            " or (marked_ns, range_id) < (%(moment)s::bigint, %(range)s::uuid))"
            " and withdrawn_ns is null order by marked_ns, range_id",
            {
                "moment": None if marked is None else marked.marked_ns,
                "range": None if marked is None else marked.range_id,
            },
        )

    async def withdraw(
        self, scope: Scope, range_id: str, by: str, reason: str, now_ns: int
    ) -> bool:
        values = {"range": range_id, "by": by, "reason": reason, "now": now_ns}
        return await self._changed(scope, _WITHDRAW, values)

    async def accounts_to_compute(
        self, scope: Scope, range_id: str, from_seq: int, symbols: Sequence[str], limit: int
    ) -> Sequence[str]:
        values = {"range": range_id, "from": from_seq, "symbols": list(symbols), "limit": limit}
        return [row["id"] for row in await self._rows(scope, _TO_COMPUTE, values)]

    async def store(self, scope: Scope, difference: AccountDifference) -> None:
        values = {
            "range": difference.range_id,
            "account": difference.account_id,
            "seq": difference.event_seq,
            "affected": difference.affected,
            "amount": difference.amount_minor,
            "document": orjson.dumps(dict(difference.document)).decode(),
            "digest": difference.digest,
            "problem": difference.problem,
            "now": difference.computed_ns,
        }
        await self._changed(scope, _STORE, values)

    async def differences(
        self, scope: Scope, range_id: str, *, after: str | None, limit: int, affected: bool | None
    ) -> Sequence[AccountDifference]:
        values = {"range": range_id, "after": after, "limit": limit, "affected": affected}
        rows = await self._rows(scope, _DIFFERENCES, values)
        return [AccountDifference(**row) for row in rows]

    async def _ranges(
        self, scope: Scope, where: LiteralString, values: Mapping[str, Any]
    ) -> Sequence[BadTickRange]:
        return [_range(row) for row in await self._rows(scope, _RANGES + where, values)]

    async def _rows(
        self, scope: Scope, statement: LiteralString, values: Mapping[str, Any]
    ) -> Sequence[dict[str, Any]]:
        async with self._database.tenant(scope.tenant_id) as connection:
            cursor = await connection.execute(statement, {"tenant": scope.tenant_id, **values})
            return await cursor.fetchall()

    async def _changed(
        self, scope: Scope, statement: LiteralString, values: Mapping[str, Any]
    ) -> bool:
        async with self._database.tenant(scope.tenant_id) as connection:
            cursor = await connection.execute(statement, {"tenant": scope.tenant_id, **values})
            return cursor.rowcount == 1


def _range(row: dict[str, Any]) -> BadTickRange:
    bad = BadTicks(row.pop("symbol"), row.pop("from_seq"), row.pop("to_seq"))
    return BadTickRange(bad=bad, **row)
