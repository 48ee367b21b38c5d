"""Live runs of strategies in PostgreSQL, with the journals of what they were fed."""

import zlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from psycopg.types.json import Json

from quantlab.tenancy.scope import Scope
from quantlab_adapters.postgres.database import Connection, Database
from quantlab_adapters.postgres.inbox import insert_commands
from quantlab_app.ports.inbox import NewCommand
from quantlab_app.ports.live_strategies import (
    Line,
    NewSnapshot,
    RunStatus,
    Snapshot,
    Step,
    StrategyRun,
)

_COLUMNS: Final = """run_id::text, account_id::text, strategy_id::text, version, source_hash,
  user_id::text, created_by, symbol, inputs, terms, limits, status, reason, detail,
  holder_id::text, cancels_orders, began_ns, live_ns, ended_ns, events, orders, orders_sent,
  orders_refused, state_hash, feed_seqs, account_seq"""
_SELECT: Final = f"select {_COLUMNS} from strategy_run where tenant_id = %(tenant)s"  # noqa: S608
_LOCK_ACCOUNT: Final = """
select pg_advisory_xact_lock(hashtextextended(%(tenant)s || %(account)s, 23))
"""
_COUNT: Final = """
select count(*) as live from strategy_run
where tenant_id = %(tenant)s and account_id = %(account)s and ended_ns is null
"""
_ADD: Final = """
insert into strategy_run (tenant_id, run_id, account_id, strategy_id, version, source_hash, user_id,
  created_by, symbol, inputs, terms, limits, status, cancels_orders, began_ns, live_ns, account_seq)
values (%(tenant)s, %(run_id)s, %(account_id)s, %(strategy_id)s, %(version)s, %(source_hash)s,
  %(user_id)s, %(created_by)s, %(symbol)s, %(inputs)s, %(terms)s, %(limits)s, %(status)s,
  %(cancels_orders)s, %(began_ns)s, %(live_ns)s, %(account_seq)s)
"""
_CLAIM: Final = f"""
update strategy_run set holder_id = %(holder)s
where tenant_id = %(tenant)s and run_id = %(run)s and ended_ns is null
returning {_COLUMNS}
"""  # noqa: S608 - constants only
_KEEP: Final = """
update strategy_run set steps = steps + 1, events = events + %(events)s, orders = %(orders)s,
  orders_sent = orders_sent + %(sent)s, orders_refused = orders_refused + %(refused)s,
  state_hash = %(hash)s, feed_seqs = %(feed)s, account_seq = %(seq)s,
  status = case when status = 'starting' and not %(warming)s then 'running' else status end
where tenant_id = %(tenant)s and run_id = %(run)s and holder_id = %(holder)s and ended_ns is null
returning steps
"""
_STEP: Final = """
insert into strategy_run_step (tenant_id, run_id, step, words)
values (%(tenant)s, %(run)s, %(step)s, %(words)s)
"""
_SNAPSHOT: Final = """
insert into strategy_run_snapshot
  (tenant_id, run_id, step, state_hash, orders, desk, image, image_hash)
values (%(tenant)s, %(run)s, %(step)s, %(hash)s, %(orders)s, %(desk)s, %(image)s, %(image_hash)s)
"""
_THIN: Final = (
    """
delete from strategy_run_snapshot where tenant_id = %(tenant)s and run_id = %(run)s and step < (
  select step from strategy_run_snapshot where tenant_id = %(tenant)s and run_id = %(run)s
  order by step desc offset 1 limit 1)
""",
    """
delete from strategy_run_step where tenant_id = %(tenant)s and run_id = %(run)s and step <= (
  select step from strategy_run_snapshot where tenant_id = %(tenant)s and run_id = %(run)s
  order by step desc offset 1 limit 1)
""",
    """
delete from strategy_run_line where tenant_id = %(tenant)s and run_id = %(run)s and step < (
  select step from strategy_run_line where tenant_id = %(tenant)s and run_id = %(run)s
  order by step desc, place desc offset %(lines)s limit 1)
""",
)
_SNAPSHOTS: Final = """
select image, image_hash, desk, step, state_hash, orders from strategy_run_snapshot
where tenant_id = %s and run_id = %s order by step desc
"""
LINES_KEPT: Final = 10_000
_LINES: Final = """
insert into strategy_run_line (tenant_id, run_id, step, place, ns, kind, line)
select %(tenant)s, %(run)s, %(step)s, l.place, l.ns, l.kind, l.line
from unnest(%(places)s::integer[], %(ns)s::bigint[], %(kinds)s::text[], %(texts)s::text[])
  l(place, ns, kind, line)
"""
_STOP: Final = f"""
update strategy_run set status = %(status)s, reason = %(reason)s, ended_ns = %(ended)s
where tenant_id = %(tenant)s and ended_ns is null
  and (%(kill)s or status <> 'stopping')
  and (%(account)s::uuid is null or account_id = %(account)s)
  and (%(run)s::uuid is null or run_id = %(run)s)
returning {_COLUMNS}
"""  # noqa: S608 - constants only
_END: Final = """
update strategy_run set status = %(status)s, reason = %(reason)s, detail = %(detail)s,
  ended_ns = %(now)s
where tenant_id = %(tenant)s and run_id = %(run)s and holder_id = %(holder)s and ended_ns is null
"""


class PostgresStrategyRuns:
    """StrategyRuns port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, scope: Scope, run: StrategyRun, per_account_max: int) -> bool:
        values = {**asdict(run), "tenant": scope.tenant_id, "account": run.account_id}
        for name in ("inputs", "terms", "limits"):
            values[name] = Json(values[name])
        async with self._database.tenant(scope.tenant_id) as connection:
            await connection.execute(_LOCK_ACCOUNT, values)
            row = await (await connection.execute(_COUNT, values)).fetchone()
            if row is None or row["live"] >= per_account_max:
                return False
            await connection.execute(_ADD, values)
            return True

    async def page(
        self, scope: Scope, account_id: str, *, before: str | None, limit: int
    ) -> Sequence[StrategyRun]:
        return await self._runs(
            scope.tenant_id,
            " and account_id = %(account)s and (%(before)s::uuid is null or run_id < %(before)s)"
            " order by run_id desc limit %(limit)s",
            account=account_id,
            before=before,
            limit=limit,
        )

    async def find(self, scope: Scope, account_id: str, run_id: str) -> StrategyRun | None:
        condition = " and account_id = %(account)s and run_id = %(run)s"
        found = await self._runs(scope.tenant_id, condition, account=account_id, run=run_id)
        return found[0] if found else None

    async def lines(self, scope: Scope, run_id: str, limit: int) -> Sequence[Line]:
        async with self._database.tenant(scope.tenant_id) as connection:
            rows = await connection.execute(
                "select ns, kind, line from strategy_run_line"
                " where tenant_id = %s and run_id = %s order by step desc, place desc limit %s",
                (scope.tenant_id, run_id, limit),
            )
            found = [Line(row["ns"], row["kind"], row["line"]) for row in await rows.fetchall()]
        return found[::-1]

    async def live(self) -> Sequence[str]:
        async with self._database.plain() as connection:
            rows = await connection.execute("select strategy_run_tenants() as tenant_id")
            return [row["tenant_id"] for row in await rows.fetchall()]

    async def open_runs(self, tenant_id: str) -> Sequence[StrategyRun]:
        return await self._runs(tenant_id, " and ended_ns is null order by run_id")

    async def claim(self, tenant_id: str, run_id: str, holder_id: str) -> StrategyRun | None:
        values = {"tenant": tenant_id, "run": run_id, "holder": holder_id}
        async with self._database.tenant(tenant_id) as connection:
            row = await (await connection.execute(_CLAIM.encode(), values)).fetchone()
        return None if row is None else StrategyRun(**row)

    async def journal(
        self, tenant_id: str, run_id: str, after: int, limit: int
    ) -> Sequence[tuple[int, bytes]]:
        async with self._database.tenant(tenant_id) as connection:
            rows = await connection.execute(
                "select step, words from strategy_run_step"
                " where tenant_id = %s and run_id = %s and step > %s order by step limit %s",
                (tenant_id, run_id, after, limit),
            )
            found = await rows.fetchall()
        return [(row["step"], zlib.decompress(row["words"])) for row in found]

    async def snapshots(self, tenant_id: str, run_id: str) -> Sequence[Snapshot]:
        async with self._database.tenant(tenant_id) as connection:
            rows = await connection.execute(_SNAPSHOTS, (tenant_id, run_id))
            return [Snapshot(**row) for row in await rows.fetchall()]

    async def keep(self, tenant_id: str, run: StrategyRun, step: Step) -> bool:
        values: dict[str, Any] = {
            "tenant": tenant_id, "run": run.run_id, "holder": run.holder_id,
            "events": step.events, "orders": step.orders, "sent": len(step.commands),
            "refused": step.refused, "hash": step.state_hash, "feed": Json(dict(step.feed_seqs)),
            "seq": step.account_seq, "words": zlib.compress(step.words, 1),
            "warming": step.warming,
        }  # fmt: skip
        async with self._database.tenant(tenant_id) as connection:
            row = await (await connection.execute(_KEEP, values)).fetchone()
            if row is None:
                return False
            values["step"] = row["steps"]
            await connection.execute(_STEP, values)
            if step.lines:
                await connection.execute(_LINES, {**values, **_line_arrays(step.lines)})
            if step.snapshot is not None:
                await _keep_snapshot(connection, values, step.snapshot)
            if step.commands:
                await insert_commands(connection, ((tenant_id, one) for one in step.commands))
            return True

    async def ask_to_stop(
        self, scope: Scope, account_id: str | None, run_id: str | None, *, kill: bool, now_ns: int
    ) -> Sequence[StrategyRun]:
        status: RunStatus = "killed" if kill else "stopping"
        values = {
            "tenant": scope.tenant_id, "account": account_id, "run": run_id, "status": status,
            "reason": "killed" if kill else "stopped_by_request", "kill": kill,
            "ended": now_ns if kill else None,
        }  # fmt: skip
        async with self._database.tenant(scope.tenant_id) as connection:
            rows = await (await connection.execute(_STOP.encode(), values)).fetchall()
        return [StrategyRun(**row) for row in rows]

    async def end(
        self, tenant_id: str, run: StrategyRun, status: RunStatus, reason: str, detail: str,
        now_ns: int, commands: Sequence[NewCommand] = (),
    ) -> bool:  # fmt: skip
        values = {
            "tenant": tenant_id, "run": run.run_id, "holder": run.holder_id, "status": status,
            "reason": reason, "detail": detail, "now": now_ns,
        }  # fmt: skip
        async with self._database.tenant(tenant_id) as connection:
            ended = (await connection.execute(_END, values)).rowcount == 1
            if ended and commands:
                await insert_commands(connection, ((tenant_id, one) for one in commands))
            return ended

    async def _runs(self, tenant_id: str, condition: str, **values: Any) -> list[StrategyRun]:
        statement = (_SELECT + condition).encode()
        async with self._database.tenant(tenant_id) as connection:
            rows = await connection.execute(statement, {"tenant": tenant_id, **values})
            return [StrategyRun(**row) for row in await rows.fetchall()]


async def _keep_snapshot(
    connection: Connection, values: dict[str, Any], snapshot: NewSnapshot
) -> None:
    """Keep a snapshot of the step that values are of; two are enough, and what came after them."""
    more = {
        "desk": Json(dict(snapshot.desk)), "image": snapshot.image,
        "image_hash": snapshot.image_hash, "lines": LINES_KEPT,
    }  # fmt: skip
    await connection.execute(_SNAPSHOT, {**values, **more})
    for statement in _THIN:
        await connection.execute(statement.encode(), {**values, **more})


def _line_arrays(lines: Sequence[Line]) -> dict[str, list[Any]]:
    return {
        "places": list(range(len(lines))),
        "ns": [one.ns for one in lines],
        "kinds": [one.kind for one in lines],
        "texts": [one.text for one in lines],
    }
