"""What one transaction of the order path writes of accounts' lives: seldom anything."""

from collections.abc import Sequence
from typing import Any

from quantlab.engine.commands import Outcome
from quantlab.engine.life_records import LifeRecords
from quantlab_adapters.postgres.accounts import insert_account
from quantlab_adapters.postgres.columns import (
    columns,
    int8s,
    jsons,
    numbered,
    texts,
    uuids,
)
from quantlab_adapters.postgres.database import Connection
from quantlab_adapters.postgres.exchange import Statement
from quantlab_app.ports.accounts import NewAccount

_BOOKINGS = numbered("""
insert into ledger_entry (tenant_id, account_id, event_seq, kind, amount_minor, carry_micro,
  balance_minor, at_ns)
select current_tenant(), x.* from unnest(%s::uuid[], %s::bigint[], %s::text[], %s::bigint[],
  %s::bigint[], %s::bigint[], %s::bigint[]) x
""")
_PAYOUTS = numbered("""
insert into payout (tenant_id, account_id, approval_id, event_seq, date, amount_minor,
  trader_minor, firm_minor, split_ppm, paid_ns)
select current_tenant(), x.account_id, x.approval_id, x.event_seq, x.date::date, x.amount_minor,
  x.trader_minor, x.firm_minor, x.split_ppm, x.paid_ns
from unnest(%s::uuid[], %s::uuid[], %s::bigint[], %s::text[], %s::bigint[], %s::bigint[],
  %s::bigint[], %s::bigint[], %s::bigint[]) x(account_id, approval_id, event_seq, date,
  amount_minor, trader_minor, firm_minor, split_ppm, paid_ns)
""")
_SNAPSHOTS = numbered("""
insert into account_snapshot (tenant_id, account_id, event_seq, snapshot_id, cause, document,
  digest, at_ns)
select current_tenant(), x.* from unnest(%s::uuid[], %s::bigint[], %s::uuid[], %s::text[],
  %s::json[], %s::text[], %s::bigint[]) x
""")
_ENDS = numbered("""
update approval a set state = x.state, ended_reason = x.reason, ended_ns = x.ended_ns,
  event_seq = x.event_seq
from unnest(%s::uuid[], %s::text[], %s::text[], %s::bigint[], %s::bigint[])
  x(approval_id, state, reason, ended_ns, event_seq)
where a.tenant_id = current_tenant() and a.approval_id = x.approval_id and a.state = 'approved'
""")
_BOOKING_SHAPE = (uuids, int8s, texts, int8s, int8s, int8s, int8s)
_PAYOUT_SHAPE = (uuids, uuids, int8s, texts, int8s, int8s, int8s, int8s, int8s)
_SNAPSHOT_SHAPE = (uuids, int8s, uuids, texts, jsons, texts, int8s)
_END_SHAPE = (uuids, texts, texts, int8s, int8s)

_Lives = Sequence[tuple[str, int, LifeRecords]]


def lives_written(outcomes: Sequence[Outcome]) -> list[Statement]:
    """Write bookings, payouts, snapshots and ends of approvals."""
    lives = [(o.account.account_id, o.decided_ns, o.life) for o in outcomes if o.life is not None]
    if not lives:
        return []
    return [
        (statement, columns(shape, rows))
        for statement, shape, rows in (
            (_BOOKINGS, _BOOKING_SHAPE, _bookings(lives)),
            (_PAYOUTS, _PAYOUT_SHAPE, _payouts(lives)),
            (_SNAPSHOTS, _SNAPSHOT_SHAPE, _snapshots(lives)),
            (_ENDS, _END_SHAPE, _ends(lives)),
        )
        if rows
    ]


def opened_in(outcomes: Sequence[Outcome]) -> list[NewAccount]:
    """Return the accounts that take over from others."""
    return [
        NewAccount(
            opened.account, None, o.decided_ns, opened.payload,
            previous_account_id=opened.previous_account_id,
        )
        for o in outcomes if o.life is not None
        for opened in o.life.opened
    ]  # fmt: skip


async def open_accounts(connection: Connection, opened: Sequence[NewAccount]) -> None:
    """Insert accounts that take over from others of the transaction's tenant."""
    for new in opened:
        await insert_account(connection, new.account.tenant_id, new)


def _bookings(lives: _Lives) -> list[tuple[Any, ...]]:
    return [
        (
            account_id, one.event_seq, one.entry.kind, one.entry.amount_minor,
            one.entry.carry_micro, one.entry.balance_minor, at_ns,
        )
        for account_id, at_ns, life in lives
        for one in life.bookings
    ]  # fmt: skip


def _payouts(lives: _Lives) -> list[tuple[Any, ...]]:
    return [
        (
            account_id, one.approval_id, one.event_seq, one.date, one.amount_minor,
            one.trader_minor, one.firm_minor, one.split_ppm, at_ns,
        )
        for account_id, at_ns, life in lives
        for one in life.payouts
    ]  # fmt: skip


def _snapshots(lives: _Lives) -> list[tuple[Any, ...]]:
    return [
        (account_id, one.event_seq, one.snapshot_id, one.cause, one.document, one.digest, at_ns)
        for account_id, at_ns, life in lives
        for one in life.snapshots
    ]


def _ends(lives: _Lives) -> list[tuple[Any, ...]]:
    return [
        (one.approval_id, one.state, one.reason, at_ns, one.event_seq)
        for _, at_ns, life in lives
        for one in life.approval_ends
    ]
