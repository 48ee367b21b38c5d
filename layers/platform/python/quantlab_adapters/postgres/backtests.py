"""The queue of backtests in PostgreSQL."""

from collections.abc import Sequence
from typing import Any, Final

from psycopg.types.json import Json

from quantlab.tenancy.scope import Scope
from quantlab_adapters.postgres.database import Connection, Database
from quantlab_app.ports.backtests import (
    Backtest,
    BacktestStatus,
    Claimed,
    Ending,
    Full,
    Held,
)

_COLUMNS: Final = (
    "b.backtest_id::text, b.user_id::text, b.created_by, b.strategy_id::text, b.version,"
    " b.source_hash, b.symbols, b.from_ns, b.to_ns, b.account_type, b.config_version, b.inputs,"
    " b.seed, b.created_ns, b.status, b.error, b.error_detail, b.ticks_total, b.ticks_done,"
    " b.attempts, b.cancel_requested, b.started_ns, b.ended_ns, b.trace_hash, b.summary,"
    " b.result_key"
)
_BACKTEST: Final = f"select {_COLUMNS} from backtest b where b.tenant_id = %(tenant)s"  # noqa: S608 - constants only
# One tenant's runs are counted one after another.
_ALONE: Final = "select pg_advisory_xact_lock(hashtextextended('backtests ' || %(tenant)s, 0))"
_OPEN: Final = """
select count(*) as everybody,
  count(*) filter (where user_id is not distinct from %(user)s::uuid) as own
from backtest where tenant_id = %(tenant)s and status in ('queued', 'running')
"""
_ADD: Final = """
insert into backtest (tenant_id, backtest_id, user_id, created_by, strategy_id, version, source,
  source_hash, symbols, from_ns, to_ns, account_type, config_version, inputs, seed, created_ns)
values (%(tenant)s, %(backtest)s, %(user)s, %(by)s, %(strategy)s, %(version)s, %(source)s,
  %(hash)s, %(symbols)s, %(from)s, %(to)s, %(type)s, %(config)s, %(inputs)s, %(seed)s, %(created)s)
"""
_CANCEL: Final = """
update backtest set cancel_requested = true,
  status = case when status = 'queued' then 'cancelled' else status end,
  ended_ns = case when status = 'queued' then %(now)s else ended_ns end
where tenant_id = %(tenant)s and backtest_id = %(backtest)s and status in ('queued', 'running')
"""
_CLAIM: Final = f"""
with free as (
  select backtest_id from backtest
  where tenant_id = %(tenant)s and status in ('queued', 'running') and leased_until_ns <= %(now)s
  order by created_ns, backtest_id limit 1 for update skip locked
), b as (
  update backtest held set status = 'running', lease_id = %(lease)s, leased_until_ns = %(until)s,
    attempts = held.attempts + 1, ticks_done = 0, started_ns = coalesce(held.started_ns, %(now)s)
  from free where held.tenant_id = %(tenant)s and held.backtest_id = free.backtest_id
  returning held.*
)
select {_COLUMNS}, coalesce(b.source, v.source) as strategy_source, coalesce(s.name, '') as name
from b left join strategy_version v on v.tenant_id = b.tenant_id
    and v.strategy_id = b.strategy_id and v.version = b.version
  left join strategy s on s.tenant_id = b.tenant_id and s.strategy_id = b.strategy_id
"""  # noqa: S608 - constants only
_HOLDS: Final = """
where tenant_id = %(tenant)s and backtest_id = %(backtest)s and lease_id = %(lease)s
  and status = 'running'
"""
_RENEW: Final = f"""
update backtest set leased_until_ns = %(until)s, ticks_done = %(done)s,
  ticks_total = coalesce(%(total)s, ticks_total) {_HOLDS} returning cancel_requested
"""  # noqa: S608 - constants only
_RELEASE: Final = f"""
update backtest set status = 'queued', lease_id = null, leased_until_ns = 0,
  attempts = attempts - 1, ticks_done = 0 {_HOLDS}
"""  # noqa: S608 - constants only
_END: Final = f"""
update backtest set status = %(status)s, ended_ns = %(ended)s, error = %(error)s,
  error_detail = %(detail)s, ticks_done = coalesce(%(done)s, ticks_done),
  ticks_total = coalesce(%(total)s, ticks_total),
  trace_hash = %(hash)s, summary = %(summary)s, result_key = %(key)s,
  lease_id = null, leased_until_ns = 0 {_HOLDS}
"""  # noqa: S608 - constants only


class PostgresBacktests:
    """Backtests port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self, scope: Scope, backtest: Backtest, source: str | None, user_max: int, tenant_max: int
    ) -> Full | None:
        values = _values(scope, backtest, source)
        async with self._database.tenant(scope.tenant_id) as connection:
            await connection.execute(_ALONE, values)
            (row,) = await _fetched(connection, _OPEN, values)
            if row["own"] >= user_max:
                return "user"
            if row["everybody"] >= tenant_max:
                return "tenant"
            await connection.execute(_ADD, values)
            return None

    async def page(
        self,
        scope: Scope,
        *,
        user_id: str | None,
        status: BacktestStatus | None,
        before: tuple[int, str] | None,
        limit: int,
    ) -> Sequence[Backtest]:
        before_ns, before_id = before or (None, None)
        return await self._found(
            scope,
            " and (%(user)s::uuid is null or b.user_id = %(user)s)"
            " and (%(status)s::text is null or b.status = %(status)s)"
            " and (%(ns)s::bigint is null or (b.created_ns, b.backtest_id) < (%(ns)s, %(id)s))"
            " order by b.created_ns desc, b.backtest_id desc limit %(limit)s",
            user=user_id,
            status=status,
            ns=before_ns,
            id=before_id,
            limit=limit,
        )

    async def find(self, scope: Scope, backtest_id: str) -> Backtest | None:
        found = await self._found(scope, " and b.backtest_id = %(backtest)s", backtest=backtest_id)
        return found[0] if found else None

    async def _found(self, scope: Scope, condition: str, **values: Any) -> list[Backtest]:
        async with self._database.tenant(scope.tenant_id) as connection:
            named = {"tenant": scope.tenant_id, **values}
            return [
                _backtest(row) for row in await _fetched(connection, _BACKTEST + condition, named)
            ]

    async def cancel(self, scope: Scope, backtest_id: str, now_ns: int) -> bool:
        values = {"tenant": scope.tenant_id, "backtest": backtest_id, "now": now_ns}
        async with self._database.tenant(scope.tenant_id) as connection:
            return (await connection.execute(_CANCEL, values)).rowcount == 1

    async def waiting(self, now_ns: int) -> Sequence[str]:
        async with self._database.plain() as connection:
            cursor = await connection.execute("select backtest_tenants(%s) as tenant_id", (now_ns,))
            return [row["tenant_id"] for row in await cursor.fetchall()]

    async def claim(
        self, scope: Scope, lease_id: str, now_ns: int, until_ns: int
    ) -> Claimed | None:
        values = {
            "tenant": scope.tenant_id, "lease": lease_id, "now": now_ns, "until": until_ns,
        }  # fmt: skip
        async with self._database.tenant(scope.tenant_id) as connection:
            rows = await _fetched(connection, _CLAIM, values)
        if not rows:
            return None
        source, name = rows[0].pop("strategy_source"), rows[0].pop("name")
        return Claimed(_backtest(rows[0]), source, name, lease_id)

    async def renew(
        self, scope: Scope, claimed: Claimed, until_ns: int, done: int, total: int | None
    ) -> Held:
        values = {**_holding(scope, claimed), "until": until_ns, "done": done, "total": total}
        async with self._database.tenant(scope.tenant_id) as connection:
            rows = await _fetched(connection, _RENEW, values)
        if not rows:
            return "lost"
        return "cancel" if rows[0]["cancel_requested"] else "held"

    async def release(self, scope: Scope, claimed: Claimed) -> None:
        async with self._database.tenant(scope.tenant_id) as connection:
            await connection.execute(_RELEASE, _holding(scope, claimed))

    async def end(self, scope: Scope, claimed: Claimed, ending: Ending) -> bool:
        values = {
            **_holding(scope, claimed),
            "status": ending.status,
            "ended": ending.ended_ns,
            "error": ending.error,
            "detail": ending.error_detail,
            "done": ending.ticks_done,
            "total": ending.ticks_total,
            "hash": ending.trace_hash,
            "summary": None if ending.summary is None else Json(ending.summary),
            "key": ending.result_key,
        }
        async with self._database.tenant(scope.tenant_id) as connection:
            return (await connection.execute(_END, values)).rowcount == 1


async def _fetched(
    connection: Connection, statement: str, values: dict[str, Any]
) -> list[dict[str, Any]]:
    return await (await connection.execute(statement.encode(), values)).fetchall()


def _backtest(row: dict[str, Any]) -> Backtest:
    return Backtest(**{**row, "symbols": tuple(row["symbols"])})


def _holding(scope: Scope, claimed: Claimed) -> dict[str, Any]:
    return {
        "tenant": scope.tenant_id,
        "backtest": claimed.backtest.backtest_id,
        "lease": claimed.lease_id,
    }


def _values(scope: Scope, backtest: Backtest, source: str | None) -> dict[str, Any]:
    return {
        "tenant": scope.tenant_id,
        "backtest": backtest.backtest_id,
        "user": backtest.user_id,
        "by": backtest.created_by,
        "strategy": backtest.strategy_id,
        "version": backtest.version,
        "source": source,
        "hash": backtest.source_hash,
        "symbols": list(backtest.symbols),
        "from": backtest.from_ns,
        "to": backtest.to_ns,
        "type": backtest.account_type,
        "config": backtest.config_version,
        "inputs": Json(backtest.inputs),
        "seed": backtest.seed,
        "created": backtest.created_ns,
    }
