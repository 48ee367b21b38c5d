"""Approvals in PostgreSQL: each step in one transaction with the command that records it."""

from collections.abc import Callable, Sequence
from typing import Any, LiteralString

import orjson

from quantlab.tenancy.scope import Scope
from quantlab_adapters.postgres.database import Connection, Database
from quantlab_adapters.postgres.inbox import insert_commands
from quantlab_app.ports.approvals import Approval, Decision, NewApproval
from quantlab_app.ports.inbox import NewCommand

_COLUMNS: LiteralString = """
select a.approval_id::text, a.kind, a.account_id::text, a.asked, a.subject, a.requested_by,
  a.requester_id, a.requested_ns, a.expires_ns, a.state, a.decided_by, a.decided_ns,
  a.decision_reason, a.ended_ns, a.ended_reason, a.event_seq,
  case when p.approval_id is not null then json_build_object('amount_minor', p.amount_minor,
    'trader_minor', p.trader_minor, 'firm_minor', p.firm_minor, 'split_ppm', p.split_ppm,
    'date', p.date, 'paid_ns', p.paid_ns) end as paid
from approval a left join payout p on p.tenant_id = a.tenant_id and p.approval_id = a.approval_id
where a.tenant_id = %(tenant)s
"""
_INSERT = """
insert into approval (tenant_id, approval_id, kind, account_id, asked, subject, requested_by,
  requester_id, requested_ns, expires_ns)
values (%(tenant)s, %(approval)s, %(kind)s, %(account)s, %(asked)s, %(subject)s, %(by)s,
  %(requester)s, %(now)s, %(expires)s)
on conflict (tenant_id, approval_id) do nothing
"""
_DECIDE = """
update approval set state = %(decision)s, decided_by = %(by)s, decided_ns = %(now)s,
  decision_reason = %(reason)s,
  ended_ns = case when %(decision)s = 'rejected' then %(now)s::bigint end
where tenant_id = %(tenant)s and approval_id = %(approval)s and state = 'pending'
  and expires_ns > %(now)s
"""
_EXPIRE = """
update approval set state = 'expired', ended_ns = %(now)s
where tenant_id = %(tenant)s and state = 'pending' and expires_ns <= %(now)s
returning approval_id::text
"""


class PostgresApprovals:
    """Approvals port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def request(self, scope: Scope, new: NewApproval, command: NewCommand) -> Approval | None:
        async with self._database.tenant(scope.tenant_id) as connection:
            cursor = await connection.execute(
                _INSERT,
                {
                    "tenant": scope.tenant_id,
                    "approval": new.approval_id,
                    "kind": new.kind,
                    "account": new.account_id,
                    "asked": _json(new.asked),
                    "subject": _json(new.subject),
                    "by": new.requested_by,
                    "requester": new.requester_id,
                    "now": new.requested_ns,
                    "expires": new.expires_ns,
                },
            )
            if cursor.rowcount != 1:
                return None
            await insert_commands(connection, [(scope.tenant_id, command)])
            return await _find(connection, scope.tenant_id, new.approval_id)

    async def find(self, scope: Scope, approval_id: str) -> Approval | None:
        async with self._database.tenant(scope.tenant_id) as connection:
            return await _find(connection, scope.tenant_id, approval_id)

    async def page(
        self,
        scope: Scope,
        *,
        account_id: str | None,
        kind: str | None,
        state: str | None,
        before: tuple[int, str] | None,
        limit: int,
    ) -> Sequence[Approval]:
        moment, last_id = before if before is not None else (None, None)
        async with self._database.tenant(scope.tenant_id) as connection:
            cursor = await connection.execute(
                _COLUMNS + " and (%(account)s::uuid is null or a.account_id = %(account)s)"
                " and (%(kind)s::text is null or a.kind = %(kind)s)"
                " and (%(state)s::text is null or a.state = %(state)s)"
                " and (%(moment)s::bigint is null"
                "  or (a.requested_ns, a.approval_id) < (%(moment)s, %(last)s::uuid))"
                " order by a.requested_ns desc, a.approval_id desc limit %(limit)s",
                {
                    "tenant": scope.tenant_id,
                    "account": account_id,
                    "kind": kind,
                    "state": state,
                    "moment": moment,
                    "last": last_id,
                    "limit": limit,
                },
            )
            return [Approval(**row) for row in await cursor.fetchall()]

    async def decide(
        self,
        scope: Scope,
        approval_id: str,
        decision: Decision,
        *,
        reason: str,
        now_ns: int,
        command: NewCommand,
    ) -> bool:
        async with self._database.tenant(scope.tenant_id) as connection:
            cursor = await connection.execute(
                _DECIDE,
                {
                    "tenant": scope.tenant_id,
                    "approval": approval_id,
                    "decision": decision,
                    "by": f"{scope.actor.kind}:{scope.actor.id}",
                    "now": now_ns,
                    "reason": reason,
                },
            )
            if cursor.rowcount != 1:
                return False
            await insert_commands(connection, [(scope.tenant_id, command)])
            return True

    async def expire(
        self, tenant_id: str, now_ns: int, record: Callable[[Approval], NewCommand]
    ) -> Sequence[Approval]:
        async with self._database.tenant(tenant_id) as connection:
            cursor = await connection.execute(_EXPIRE, {"tenant": tenant_id, "now": now_ns})
            ended = []
            for row in await cursor.fetchall():
                approval = await _find(connection, tenant_id, row["approval_id"])
                if approval is not None:
                    await insert_commands(connection, [(tenant_id, record(approval))])
                    ended.append(approval)
            return ended

    async def last_payout_date(self, scope: Scope, account_id: str) -> str | None:
        async with self._database.tenant(scope.tenant_id) as connection:
            cursor = await connection.execute(
                "select max(date)::text as date from payout"
                " where tenant_id = %s and account_id = %s",
                (scope.tenant_id, account_id),
            )
            row = await cursor.fetchone()
        return None if row is None else row["date"]


async def _find(connection: Connection, tenant_id: str, approval_id: str) -> Approval | None:
    cursor = await connection.execute(
        _COLUMNS + " and a.approval_id = %(approval)s",
        {"tenant": tenant_id, "approval": approval_id},
    )
    row = await cursor.fetchone()
    return None if row is None else Approval(**row)


def _json(value: Any) -> str:
    return orjson.dumps(dict(value)).decode()
