"""What one transaction of the order path writes: one statement for nearly all of it."""

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from quantlab.engine import ENGINE_VERSION
from quantlab.engine.commands import Event, Outcome
from quantlab.ledger.state import Account, write_tally
from quantlab_adapters.postgres.columns import (
    bools,
    columns,
    int8s,
    jsons,
    numbered,
    texts,
    uuids,
)
from quantlab_adapters.postgres.exchange import Parameter, Row, Statement
from quantlab_adapters.postgres.held import held_records
from quantlab_adapters.postgres.life_writes import lives_written
from quantlab_adapters.postgres.order_rows import order_row
from quantlab_adapters.postgres.rows import Rows, RowTypes
from quantlab_app.ports.execution import Batch

_DAYS = numbered("""
insert into account_day select current_tenant(), x.account_id, x.date::date, x.realised_minor,
  x.traded, x.equity_gain_minor
from unnest(%s::uuid[], %s::text[], %s::bigint[], %s::boolean[], %s::bigint[])
  x(account_id, date, realised_minor, traded, equity_gain_minor)
""")
_VIOLATIONS = numbered("""
insert into violation (tenant_id, account_id, event_seq, rule, action, verdict, at_ns)
select current_tenant(), x.*
from unnest(%s::uuid[], %s::bigint[], %s::text[], %s::text[], %s::json[], %s::bigint[]) x
""")
_ORDER = """tenant_id, account_id, order_id, signal_id, client_id, source_kind, symbol, side,
  order_type, size_steps, filled_steps, stop_loss_ticks, take_profit_ticks, status, reason,
  event_seq, created_ns, terms"""
_WORKING = f"""
insert into working_order ({_ORDER})
select current_tenant(), x.account_id, x.order_id, x.signal_id, x.client_id, x.source_kind,
  x.symbol, x.side, x.order_type, x.size_steps, x.filled_steps, x.stop_loss_ticks,
  x.take_profit_ticks, x.status, x.reason, x.event_seq, x.created_ns, x.terms
from unnest($1::order_row[]) x
on conflict (tenant_id, account_id, order_id) do update set size_steps = excluded.size_steps,
  filled_steps = excluded.filled_steps, status = excluded.status, reason = excluded.reason,
  event_seq = excluded.event_seq, terms = excluded.terms
"""  # noqa: S608 - constants only
_NOT_WORKING = numbered("""
delete from working_order w using unnest(%s::uuid[], %s::uuid[]) x(account_id, order_id)
where w.tenant_id = current_tenant() and w.account_id = x.account_id and w.order_id = x.order_id
""")
# What nearly every batch writes is one statement: each has a price of its own in the driver, in the
# protocol and in the server. So has each table in it, with or without rows: it names those that get
# any. All parts see the state from before it and touch rows of their own.
_PARTS: Final = {
    "accounts": ("account_row", """
  update account a set status = x.status, status_reason = x.status_reason,
    config_version = x.config_version, balance_minor = x.balance_minor,
    carry_micro = x.carry_micro, high_water_minor = x.high_water_minor, event_seq = x.event_seq,
    day_date = x.day_date::date, day_started_ns = x.day_started_ns,
    day_next_reset_ns = x.day_next_reset_ns,
    day_start_balance_minor = x.day_start_balance_minor,
    day_start_equity_minor = x.day_start_equity_minor, day_realised_minor = x.day_realised_minor,
    day_traded = x.day_traded, raised = string_to_array(x.raised, ','),
    tally = x.tally, held = x.held
  from unnest(%s::account_row[]) x
  where a.tenant_id = current_tenant() and a.account_id = x.account_id
  returning a.account_id
"""),
    "positions": ("position_row", """
  insert into position select current_tenant(), x.* from unnest(%s::position_row[]) x
  on conflict (tenant_id, account_id, symbol, ticket) do update
    set size_steps = excluded.size_steps, cost = excluded.cost,
    stop_loss_ticks = excluded.stop_loss_ticks,
    take_profit_ticks = excluded.take_profit_ticks, opened_at_ns = excluded.opened_at_ns,
    opened_seq = excluded.opened_seq
"""),
    "closed_positions": ("closed_position_row", """
  delete from position p using unnest(%s::closed_position_row[]) x
  where p.tenant_id = current_tenant() and p.account_id = x.account_id and p.symbol = x.symbol
    and p.ticket = x.ticket
"""),
    "placed": ("order_row", f"""
  insert into orders ({_ORDER}, ended_ns)
  select current_tenant(), x.* from unnest(%s::order_row[]) x
"""),  # noqa: S608 - constants only
    "filled": ("fill_row", """
  insert into fill (tenant_id, account_id, event_seq, fill_id, order_id, symbol, side, size_steps,
    price_ticks, slippage_ticks, bid_ticks, ask_ticks, quote_ts_ns, quote_seq, rate_num, rate_den,
    realised_minor, commission_minor, config_version, engine_version, filled_ns, bid_size_steps,
    ask_size_steps, fill_model, fill_seed, ticket)
  select current_tenant(), x.* from unnest(%s::fill_row[]) x
"""),
    "booked": ("ledger_row", """
  insert into ledger_entry (tenant_id, account_id, event_seq, kind, amount_minor, carry_micro,
    balance_minor, at_ns)
  select current_tenant(), x.* from unnest(%s::ledger_row[]) x
"""),
    "done": ("done_row", """
  update inbox i set state = 1, outcome = x.outcome, reason = x.reason, result = x.result,
    done_ns = x.done_ns, from_seq = x.from_seq, to_seq = x.to_seq, inputs = x.inputs,
    decision = (select nextval('decision_seq'))
  from unnest(%s::done_row[]) x
  where i.tenant_id = current_tenant() and i.inbox_id = x.inbox_id
"""),
}  # fmt: skip
_PUBLISHED = """published as (
  delete from outbox where tenant_id = current_tenant() and topic = 2
    and outbox_id = any(%s::bigint[])
), """
_APPENDED = """appended as (
  insert into event (tenant_id, stream_id, seq, event_type, occurred_ns, payload)
  select current_tenant(), x.* from unnest(%s::event_row[]) x
)
insert into outbox (tenant_id, topic, stream_id, from_seq, to_seq)
select current_tenant(), t.topic, x.stream_id, x.from_seq, x.to_seq
from unnest(%s::span_row[]) x, (values (1::smallint), (2::smallint)) t(topic)
"""
# What is written without its accounts would be another tenant's: then nothing is.
_WHOLE = " where expect_rows((select count(*) from accounts), cardinality($1))"
_NAMED = " returning topic, stream_id::text, from_seq, outbox_id"
_EVENTS = numbered(f"with {_APPENDED}{_NAMED}")

_DAY_SHAPE = (uuids, texts, int8s, bools, int8s)
_NOT_WORKING_SHAPE = (uuids, uuids)
_VIOLATION_SHAPE = (uuids, int8s, texts, texts, jsons, int8s)

PUBLISH = 2
Streams = Sequence[tuple[str, Sequence[Event]]]
# The row of the outbox that asks to publish some events, by their stream and their first number.
Outbox = dict[tuple[str, int], int]


def written(
    types: RowTypes, batch: Batch, outcomes: Sequence[Outcome], sent: Sequence[int]
) -> list[Statement]:
    """Write every table the outcomes touch and forget what was sent.

    sent names the rows of the outbox whose events have reached the sockets; the last statement's
    answer names the new ones, see `outbox`.
    """
    last = {outcome.account.account_id: outcome.account for outcome in outcomes}
    accounts = list(last.values())
    moved, gone = _position_rows(batch, accounts)
    statements: list[Statement] = []
    if days := _day_rows(outcomes):
        statements.append((_DAYS, columns(_DAY_SHAPE, days)))
    if violations := _violation_rows(outcomes):
        statements.append((_VIOLATIONS, columns(_VIOLATION_SHAPE, violations)))
    rows: dict[str, list[tuple[Any, ...]]] = {
        "accounts": [_account_row(account) for account in accounts],
        "positions": moved,
        "closed_positions": gone,
        "placed": _order_rows(outcomes),
        "filled": _fill_rows(outcomes),
        "booked": _ledger_rows(outcomes),
        "done": [_done_row(outcome) for outcome in outcomes],
    }
    present = tuple(name for name, found in rows.items() if found)
    whole: list[Parameter] = [
        *(types[_PARTS[name][0]].rows(rows[name]) for name in present),
        *([int8s(sent)] if sent else []),
        *_events(types, [(o.account.account_id, o.events) for o in outcomes if o.events]),
    ]
    return [
        *statements,
        *lives_written(outcomes),
        *_working_written(types, batch, accounts),
        (_outcomes_written(present, bool(sent)), whole),
    ]


@cache
def _outcomes_written(present: tuple[str, ...], sent: bool) -> str:
    parts = "".join(f"{name} as ({_PARTS[name][1]}), " for name in present)
    published = _PUBLISHED if sent else ""
    return numbered(f"with {parts}{published}{_APPENDED}{_WHOLE}{_NAMED}")


def _working_written(types: RowTypes, batch: Batch, accounts: Sequence[Account]) -> list[Statement]:
    """Write the working orders that changed and drop those that ended; most batches have none."""
    changed: list[tuple[Any, ...]] = []
    ended: list[tuple[str, str]] = []
    for account in accounts:
        before = batch.accounts[account.account_id].working
        changed += [
            order_row(account.account_id, order)
            for order_id, order in account.working.items()
            if before.get(order_id) is not order
        ]
        ended += [(account.account_id, id_) for id_ in before if id_ not in account.working]
    statements: list[Statement] = []
    if changed:
        rows = types["order_row"].rows([(*row, None) for row in changed])
        statements.append((_WORKING, (rows,)))
    if ended:
        statements.append((_NOT_WORKING, columns(_NOT_WORKING_SHAPE, ended)))
    return statements


def events_written(types: RowTypes, streams: Streams) -> Statement:
    """Append events, and the rows of the outbox that name them."""
    return _EVENTS, _events(types, streams)


def outbox(rows: Sequence[Row]) -> Outbox:
    """Read which rows of the outbox a statement has written for the sockets."""
    return {
        (stream_id, from_seq): outbox_id
        for topic, stream_id, from_seq, outbox_id in rows
        if topic == PUBLISH
    }


def _events(types: RowTypes, streams: Streams) -> tuple[Rows, Rows]:
    rows = [
        (stream_id, e.seq, e.event_type, e.occurred_ns, e.payload)
        for stream_id, events in streams
        for e in events
    ]
    ranges: dict[str, tuple[int, int]] = {}
    for stream_id, events in streams:
        first, _ = ranges.get(stream_id, (events[0].seq, 0))
        ranges[stream_id] = (first, events[-1].seq)
    spans = [(stream_id, *span) for stream_id, span in ranges.items()]
    return types["event_row"].rows(rows), types["span_row"].rows(spans)


def _position_rows(
    batch: Batch, accounts: Sequence[Account]
) -> tuple[list[tuple[Any, ...]], list[tuple[str, str, str]]]:
    """Return the positions that changed, and those that are gone."""
    moved: list[tuple[Any, ...]] = []
    gone: list[tuple[str, str, str]] = []
    for account in accounts:
        before = batch.accounts[account.account_id].positions
        for key, p in account.positions.items():
            if before.get(key) is not p:
                moved.append(
                    (
                        account.account_id,
                        p.symbol,
                        p.size_steps,
                        p.cost,
                        p.stop_loss_ticks,
                        p.take_profit_ticks,
                        p.opened_at_ns,
                        p.opened_seq,
                        p.ticket or "",
                    )
                )
        gone.extend(
            (account.account_id, p.symbol, p.ticket or "")
            for key, p in before.items()
            if key not in account.positions
        )
    return moved, gone


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
        write_tally(account.tally),
        held_records(account.positions.values()),
    )


def _day_rows(outcomes: Sequence[Outcome]) -> list[tuple[Any, ...]]:
    return [
        (o.account.account_id, d.date, d.realised_minor, d.traded, d.equity_gain_minor)
        for o in outcomes
        for d in o.closed_days
    ]


def _order_rows(outcomes: Sequence[Outcome]) -> list[tuple[Any, ...]]:
    return [
        (*order_row(o.account.account_id, order), o.decided_ns)
        for o in outcomes
        for order in o.orders
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
            f.bid_size_steps,
            f.ask_size_steps,
            f.fill_model,
            f.fill_seed,
            f.ticket,
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
            v.verdict,
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
        result,
        outcome.decided_ns,
        outcome.events[0].seq if outcome.events else None,
        outcome.events[-1].seq if outcome.events else None,
        outcome.inputs,
    )
