"""Halts in PostgreSQL. The order path reads those that hold in its own transaction."""

from collections.abc import Mapping, Sequence
from typing import Any, LiteralString

from quantlab.market.halts import Halt
from quantlab.tenancy.scope import Scope
from quantlab_adapters.postgres.database import Database
from quantlab_app.ports.halts import KnownHalt

# Of the tenant that the transaction is under.
PRESENT: LiteralString = """
select symbol, reason from instrument_halt
where tenant_id = current_tenant() and resumed_ns is null
"""
_KNOWN: LiteralString = """
select halt_id::text, symbol, reason, halted_by, halted_ns, resumed_by, resumed_ns, resumed_reason
from instrument_halt where tenant_id = %(tenant)s
"""
_BEGIN = """
insert into instrument_halt (tenant_id, halt_id, symbol, reason, halted_by, halted_ns)
values (%(tenant)s, %(halt)s, %(symbol)s, %(reason)s, %(by)s, %(now)s)
on conflict (tenant_id, symbol) where resumed_ns is null do nothing
"""
_END = """
update instrument_halt set resumed_by = %(by)s, resumed_reason = %(reason)s,
  resumed_ns = greatest(%(now)s, halted_ns)
where tenant_id = %(tenant)s and symbol = %(symbol)s and resumed_ns is null
"""


class PostgresHalts:
    """Halts port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, scope: Scope, new: KnownHalt) -> bool:
        values = {"halt": new.halt_id, "symbol": new.symbol, "reason": new.reason}
        values |= {"by": new.halted_by}
        return await self._changed(scope, _BEGIN, {**values, "now": new.halted_ns})

    async def end(self, scope: Scope, symbol: str, by: str, reason: str, now_ns: int) -> bool:
        values = {"symbol": symbol, "by": by, "reason": reason, "now": now_ns}
        return await self._changed(scope, _END, values)

    async def present(self, tenant_id: str) -> Mapping[str, str]:
        async with self._database.tenant(tenant_id) as connection:
            rows = await (await connection.execute(PRESENT)).fetchall()
        return {row["symbol"]: row["reason"] for row in rows}

    async def page(
        self, scope: Scope, *, before: tuple[int, str] | None, limit: int, ended: bool | None
    ) -> Sequence[KnownHalt]:
        moment, last_id = before if before is not None else (None, None)
        rows = await self._rows(
            scope,
            " and (%(moment)s::bigint is null"
            "  or (halted_ns, halt_id) < (%(moment)s, %(last)s::uuid))"
            " and (%(ended)s::boolean is null or (resumed_ns is not null) = %(ended)s)"
            " order by halted_ns desc, halt_id desc limit %(limit)s",
            {"moment": moment, "last": last_id, "limit": limit, "ended": ended},
        )
        return [KnownHalt(**row) for row in rows]

    async def of_symbols(self, scope: Scope, symbols: Sequence[str]) -> Sequence[Halt]:
        rows = await self._rows(
            scope,
            " and symbol = any(%(symbols)s) order by halted_ns, halt_id",
            {"symbols": list(symbols)},
        )
        return [KnownHalt(**row).halt for row in rows]

    async def _rows(
        self, scope: Scope, where: LiteralString, values: Mapping[str, Any]
    ) -> Sequence[dict[str, Any]]:
        async with self._database.tenant(scope.tenant_id) as connection:
            cursor = await connection.execute(_KNOWN + where, {"tenant": scope.tenant_id, **values})
            return await cursor.fetchall()

    async def _changed(
        self, scope: Scope, statement: LiteralString, values: Mapping[str, Any]
    ) -> bool:
        async with self._database.tenant(scope.tenant_id) as connection:
            cursor = await connection.execute(statement, {"tenant": scope.tenant_id, **values})
            return cursor.rowcount == 1
