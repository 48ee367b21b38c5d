"""What one transaction of the order path writes: one array statement per table."""

from collections.abc import Sequence
from typing import Any

import orjson

from quantlab.engine import ENGINE_VERSION
from quantlab.engine.commands import Event, Outcome
from quantlab.ledger.state import Account
from quantlab_adapters.postgres.database import Connection
from quantlab_app.ports.execution import Batch

TOPIC_AUDIT = 1
TOPIC_PUBLISH = 2

_ACCOUNT = """
update account a set status = x.status, status_reason = x.status_reason,
  config_version = x.config_version, balance_minor = x.balance_minor, carry_micro = x.carry_micro,
  high_water_minor = x.high_water_minor, event_seq = x.event_seq, day_date = x.day_date::date,
  day_started_ns = x.day_started_ns, day_next_reset_ns = x.day_next_reset_ns,
  day_start_balance_minor = x.day_start_balance_minor,
  day_start_equity_minor = x.day_start_equity_minor, day_realised_minor = x.day_realised_minor,
  day_traded = x.day_traded, raised = string_to_array(x.raised, ',')
from unnest(%s::uuid[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[],
  %s::bigint[], %s::bigint[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[],
  %s::bigint[], %s::boolean[], %s::text[])
  x(account_id, status, status_reason, config_version, balance_minor, carry_micro,
    high_water_minor, event_seq, day_date, day_started_ns, day_next_reset_ns,
    day_start_balance_minor, day_start_equity_minor, day_realised_minor, day_traded, raised)
where a.tenant_id = current_tenant() and a.account_id = x.account_id
"""
_DAYS = """
insert into account_day select current_tenant(), x.* from unnest(
  %s::uuid[], %s::date[], %s::bigint[], %s::boolean[]) x
"""
_POSITIONS = """
insert into position select current_tenant(), x.* from unnest(
  %s::uuid[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[],
  %s::bigint[]) x
on conflict (tenant_id, account_id, symbol) do update set size_steps = excluded.size_steps,
  cost = excluded.cost, stop_loss_ticks = excluded.stop_loss_ticks,
  take_profit_ticks = excluded.take_profit_ticks, opened_at_ns = excluded.opened_at_ns,
  opened_seq = excluded.opened_seq
"""
_CLOSED_POSITIONS = """
delete from position p using unnest(%s::uuid[], %s::text[]) x(account_id, symbol)
where p.tenant_id = current_tenant() and p.account_id = x.account_id and p.symbol = x.symbol
"""
_ORDERS = """
insert into orders (tenant_id, order_id, account_id, signal_id, client_id, source_kind, symbol,
  side, order_type, size_steps, filled_steps, stop_loss_ticks, take_profit_ticks, status, reason,
  event_seq, created_ns)
select current_tenant(), x.* from unnest(%s::uuid[], %s::uuid[], %s::uuid[], %s::text[],
  %s::text[], %s::text[], %s::smallint[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[],
  %s::bigint[], %s::text[], %s::text[], %s::bigint[], %s::bigint[]) x
"""
_FILLS = """
insert into fill (tenant_id, account_id, event_seq, fill_id, order_id, symbol, side, size_steps,
  price_ticks, slippage_ticks, bid_ticks, ask_ticks, quote_ts_ns, quote_seq, rate_num, rate_den,
  realised_minor, commission_minor, config_version, engine_version, filled_ns)
select current_tenant(), x.* from unnest(%s::uuid[], %s::bigint[], %s::uuid[], %s::uuid[],
  %s::text[], %s::smallint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[],
  %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::text[],
  %s::text[], %s::bigint[]) x
"""
_LEDGER = """
insert into ledger_entry (tenant_id, account_id, event_seq, kind, amount_minor, carry_micro,
  balance_minor, at_ns)
select current_tenant(), x.* from unnest(%s::uuid[], %s::bigint[], %s::text[], %s::bigint[],
  %s::bigint[], %s::bigint[], %s::bigint[]) x
"""
_VIOLATIONS = """
insert into violation (tenant_id, account_id, event_seq, rule, action, verdict, at_ns)
select current_tenant(), x.account_id, x.seq, x.rule, x.action, x.verdict::json, x.at_ns
from unnest(%s::uuid[], %s::bigint[], %s::text[], %s::text[], %s::text[], %s::bigint[])
  x(account_id, seq, rule, action, verdict, at_ns)
"""
_EVENTS = """
insert into event (tenant_id, stream_id, seq, event_type, occurred_ns, payload)
select %s, x.stream_id, x.seq, x.event_type, x.occurred_ns, x.payload::json
from unnest(%s::uuid[], %s::bigint[], %s::text[], %s::bigint[], %s::text[])
  x(stream_id, seq, event_type, occurred_ns, payload)
"""
_OUTBOX = """
insert into outbox (tenant_id, topic, stream_id, from_seq, to_seq)
select %s, t.topic, x.stream_id, x.from_seq, x.to_seq
from unnest(%s::uuid[], %s::bigint[], %s::bigint[]) x(stream_id, from_seq, to_seq),
  (values (1::smallint), (2::smallint)) t(topic)
"""
_DONE = """
update inbox i set state = 1, outcome = x.outcome, reason = x.reason, result = x.result::json,
  done_ns = x.done_ns, from_seq = x.from_seq, to_seq = x.to_seq
from unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[],
  %s::bigint[])
  x(inbox_id, outcome, reason, result, done_ns, from_seq, to_seq)
where i.tenant_id = current_tenant() and i.inbox_id = x.inbox_id
"""
_DROP_PUBLISHED = """
delete from outbox o using unnest(%s::uuid[], %s::bigint[]) x(stream_id, to_seq)
where o.tenant_id = current_tenant() and o.topic = 2 and o.stream_id = x.stream_id
  and o.to_seq <= x.to_seq
"""


async def write_outcomes(
    connection: Connection, tenant_id: str, batch: Batch, outcomes: Sequence[Outcome]
) -> None:
    """Write every table the outcomes touch; the caller commits."""
    last = {outcome.account.account_id: outcome.account for outcome in outcomes}
    await _write_accounts(connection, batch, list(last.values()))
    await _insert(connection, _DAYS, _day_rows(outcomes))
    await _insert(connection, _ORDERS, _order_rows(outcomes))
    await _insert(connection, _FILLS, _fill_rows(outcomes))
    await _insert(connection, _LEDGER, _ledger_rows(outcomes))
    await _insert(connection, _VIOLATIONS, _violation_rows(outcomes))
    streams = [(o.account.account_id, o.events) for o in outcomes if o.events]
    await write_events(connection, tenant_id, streams)
    await _insert(connection, _DONE, [_done_row(outcome) for outcome in outcomes])


async def write_events(
    connection: Connection, tenant_id: str, streams: Sequence[tuple[str, Sequence[Event]]]
) -> None:
    """Append events and the outbox rows that name them, and wake the audit appender."""
    rows = [
        (stream_id, e.seq, e.event_type, e.occurred_ns, orjson.dumps(e.payload).decode())
        for stream_id, events in streams
        for e in events
    ]
    if not rows:
        return
    ranges: dict[str, tuple[int, int]] = {}
    for stream_id, events in streams:
        first, _ = ranges.get(stream_id, (events[0].seq, 0))
        ranges[stream_id] = (first, events[-1].seq)
    await connection.execute(_EVENTS, (tenant_id, *_transposed(rows)))
    spans = [(stream_id, *span) for stream_id, span in ranges.items()]
    await connection.execute(_OUTBOX, (tenant_id, *_transposed(spans)))
    await connection.execute("select pg_notify('audit', %s)", (tenant_id,))


async def drop_published(connection: Connection, sent: dict[str, int]) -> None:
    """Delete the outbox rows of events that have reached the sockets."""
    await _insert(connection, _DROP_PUBLISHED, list(sent.items()))


async def _insert(connection: Connection, statement: str, rows: Sequence[Sequence[Any]]) -> None:
    if rows:
        await connection.execute(statement, _transposed(rows))


def _transposed(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


async def _write_accounts(
    connection: Connection, batch: Batch, accounts: Sequence[Account]
) -> None:
    await _insert(connection, _ACCOUNT, [_account_row(account) for account in accounts])
    moved: list[tuple[Any, ...]] = []
    gone: list[tuple[Any, ...]] = []
    for account in accounts:
        before = batch.accounts[account.account_id].positions
        for symbol, p in account.positions.items():
            if before.get(symbol) is not p:
                moved.append(
                    (
                        account.account_id,
                        symbol,
                        p.size_steps,
                        p.cost,
                        p.stop_loss_ticks,
                        p.take_profit_ticks,
                        p.opened_at_ns,
                        p.opened_seq,
                    )
                )
        gone.extend((account.account_id, s) for s in before if s not in account.positions)
    await _insert(connection, _POSITIONS, moved)
    await _insert(connection, _CLOSED_POSITIONS, gone)


def _account_row(account: Account) -> tuple[Any, ...]:
    day = account.day
    return (
        account.account_id,
        account.status,
        account.status_reason,
        account.config_version,
        account.balance_minor,
        account.carry_micro,
        account.high_water_minor,
        account.event_seq,
        day.date,
        day.started_ns,
        day.next_reset_ns,
        day.start_balance_minor,
        day.start_equity_minor,
        day.realised_minor,
        day.traded,
        ",".join(account.raised),
    )


def _day_rows(outcomes: Sequence[Outcome]) -> list[tuple[Any, ...]]:
    return [
        (o.account.account_id, d.date, d.realised_minor, d.traded)
        for o in outcomes
        for d in o.closed_days
    ]


def _order_rows(outcomes: Sequence[Outcome]) -> list[tuple[Any, ...]]:
    return [
        (
            r.order_id,
            o.account.account_id,
            o.command.signal_id,
            r.client_id,
            o.command.source_kind,
            r.symbol,
            r.side,
            r.order_type,
            r.size_steps,
            r.filled_steps,
            r.stop_loss_ticks,
            r.take_profit_ticks,
            r.status,
            r.reason,
            r.event_seq,
            o.decided_ns,
        )
        for o in outcomes
        for r in o.orders
    ]


def _fill_rows(outcomes: Sequence[Outcome]) -> list[tuple[Any, ...]]:
    return [
        (
            o.account.account_id,
            f.event_seq,
            f.fill_id,
            f.order_id,
            f.symbol,
            f.side,
            f.size_steps,
            f.price_ticks,
            f.slippage_ticks,
            f.bid_ticks,
            f.ask_ticks,
            f.quote_ts_ns,
            f.quote_seq,
            f.rate_num,
            f.rate_den,
            f.realised_minor,
            f.commission_minor,
            o.account.config_version,
            ENGINE_VERSION,
            o.decided_ns,
        )
        for o in outcomes
        for f in o.fills
    ]


def _ledger_rows(outcomes: Sequence[Outcome]) -> list[tuple[Any, ...]]:
    return [
        (
            o.account.account_id,
            f.event_seq,
            e.kind,
            e.amount_minor,
            e.carry_micro,
            e.balance_minor,
            o.decided_ns,
        )
        for o in outcomes
        for f in o.fills
        for e in f.entries
    ]


def _violation_rows(outcomes: Sequence[Outcome]) -> list[tuple[Any, ...]]:
    return [
        (
            o.account.account_id,
            v.event_seq,
            v.rule,
            v.action,
            orjson.dumps(v.verdict).decode(),
            o.decided_ns,
        )
        for o in outcomes
        for v in o.violations
    ]


def _done_row(outcome: Outcome) -> tuple[Any, ...]:
    rejection = outcome.rejection
    result = outcome.result if rejection is None else {"detail": rejection.detail}
    return (
        outcome.command.inbox_id,
        "executed" if rejection is None else "rejected",
        None if rejection is None else str(rejection.reason),
        orjson.dumps(result).decode(),
        outcome.decided_ns,
        outcome.events[0].seq if outcome.events else None,
        outcome.events[-1].seq if outcome.events else None,
    )
