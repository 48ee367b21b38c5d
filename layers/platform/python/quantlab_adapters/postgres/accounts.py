"""Accounts in PostgreSQL: opening them, and the reads that may skip the core."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from quantlab.ledger.state import Account, ClosedDay, Day, Position, read_tally, write_tally
from quantlab.tenancy.scope import Scope
from quantlab_adapters.postgres.database import Connection, Database
from quantlab_adapters.postgres.order_rows import order_of
from quantlab_app.ports.accounts import NewAccount, OwnedAccount

ACCOUNT = """
select a.account_id::text, a.user_id::text, a.status, a.status_reason, a.currency,
  a.currency_digits, a.account_type, a.config_version, a.initial_balance_minor, a.balance_minor,
  a.carry_micro, a.high_water_minor, a.event_seq, a.day_date::text, a.day_started_ns,
  a.day_next_reset_ns, a.day_start_balance_minor, a.day_start_equity_minor, a.day_realised_minor,
  a.day_traded, a.raised, a.name, a.tally, a.client_reference,
  (extract(epoch from a.created_at) * 1000000)::bigint as created_us,
  coalesce((select json_agg(json_build_array(p.symbol, p.size_steps, p.cost, p.stop_loss_ticks,
      p.take_profit_ticks, p.opened_at_ns, p.opened_seq, nullif(p.ticket, ''))
      order by p.symbol, p.opened_seq)
    from position p where p.tenant_id = a.tenant_id and p.account_id = a.account_id), '[]')
    as positions,
  coalesce((select json_agg(json_build_array(d.date, d.realised_minor, d.traded,
      d.equity_gain_minor) order by d.date)
    from account_day d where d.tenant_id = a.tenant_id and d.account_id = a.account_id), '[]')
    as closed_days,
  (select json_agg(json_build_array(w.order_id, w.signal_id, w.client_id, w.source_kind, w.symbol,
      w.side, w.order_type, w.size_steps, w.filled_steps, w.stop_loss_ticks, w.take_profit_ticks,
      w.status, w.reason, w.event_seq, w.created_ns, w.terms) order by w.created_ns, w.order_id)
    from working_order w where w.tenant_id = a.tenant_id and w.account_id = a.account_id)
    as working
from account a
"""
_OPEN = """
insert into account (tenant_id, account_id, user_id, status, account_type, config_version,
  currency, currency_digits, initial_balance_minor, balance_minor, carry_micro, high_water_minor,
  event_seq, day_date, day_started_ns, day_next_reset_ns, day_start_balance_minor,
  day_start_equity_minor, name, tally, client_reference)
select %(tenant)s, %(account)s, coalesce(%(user)s::uuid, p.user_id), 'active', %(type)s,
  %(config)s, %(currency)s, %(digits)s, %(balance)s, %(balance)s, 0, %(balance)s, 1, %(date)s,
  %(started)s, %(reset)s, %(balance)s, %(balance)s, coalesce(%(name)s::text, p.name),
  %(tally)s, %(reference)s
from (values (1)) one left join account p
  on p.tenant_id = %(tenant)s and p.account_id = %(previous)s::uuid
"""
_LINK = """
insert into account_link (tenant_id, account_id, group_id)
select tenant_id, %(account)s, group_id from account_link
where tenant_id = %(tenant)s and account_id = %(previous)s::uuid
"""
_DEPOSIT = """
insert into ledger_entry (tenant_id, account_id, event_seq, kind, amount_minor, carry_micro,
  balance_minor, at_ns)
values (%(tenant)s, %(account)s, 1, 'deposit', %(balance)s, 0, %(balance)s, %(now)s)
"""
_CREATED = """
insert into event (tenant_id, stream_id, seq, event_type, occurred_ns, payload)
values (%(tenant)s, %(account)s, 1, 'account.created', %(now)s, %(payload)s)
"""
_OUTBOX = """
insert into outbox (tenant_id, topic, stream_id, from_seq, to_seq)
select %(tenant)s, topic, %(account)s, 1, 1 from (values (1::smallint), (2::smallint)) t(topic)
"""
_ORDERS = """
select o.order_id::text, o.signal_id::text, client_id, source_kind, symbol, side, order_type,
  size_steps, filled_steps, stop_loss_ticks, take_profit_ticks, status, reason, event_seq,
  created_ns, terms, ended_ns
from (
  select tenant_id, account_id, order_id, signal_id, client_id, source_kind, symbol, side,
    order_type, size_steps, filled_steps, stop_loss_ticks, take_profit_ticks, status, reason,
    event_seq, created_ns, terms, ended_ns
  from orders
  union all
  select tenant_id, account_id, order_id, signal_id, client_id, source_kind, symbol, side,
    order_type, size_steps, filled_steps, stop_loss_ticks, take_profit_ticks, status, reason,
    event_seq, created_ns, terms, null
  from working_order) o
where tenant_id = %(tenant)s
"""
_OF_STATUS = """
 and account_id = %(account)s and (%(before)s::bigint is null or event_seq < %(before)s)
 and (%(statuses)s::text[] is null or status = any (%(statuses)s))
order by event_seq desc limit %(limit)s
"""
_IN_THE_MARKET = """a.tenant_id = %(tenant)s and (
  exists (select from position p where p.tenant_id = a.tenant_id and p.account_id = a.account_id)
  or exists (select from working_order w
    where w.tenant_id = a.tenant_id and w.account_id = a.account_id))
"""
_OF_ORDERS = """
 and account_id = %(account)s and order_id = any (%(orders)s::uuid[]) order by event_seq
"""
_ORDER_OF_SIGNAL = f"""{_ORDERS} and account_id = (select account_id from inbox
  where tenant_id = %(tenant)s and signal_id = %(signal)s) and signal_id = %(signal)s
order by event_seq limit 1"""  # noqa: S608 - constants only
_FILLS = """
select fill_id::text, order_id::text, symbol, side, size_steps, price_ticks, slippage_ticks,
  bid_ticks, ask_ticks, quote_ts_ns, quote_seq, rate_num, rate_den, realised_minor,
  commission_minor, config_version, engine_version, filled_ns, event_seq, bid_size_steps,
  ask_size_steps, fill_model, fill_seed, ticket
from fill where tenant_id = %(tenant)s
"""
_LEDGER = """
select event_seq, kind, amount_minor, carry_micro, balance_minor, at_ns
from ledger_entry where tenant_id = %(tenant)s
"""
_LEDGER_PAGE = """
 and account_id = %(account)s and (%(before)s::bigint is null or event_seq < %(before)s
  or (event_seq = %(before)s and kind > %(kind)s))
order by event_seq desc, kind limit %(limit)s
"""
_VIOLATIONS = """
select event_seq, rule, action, verdict, at_ns from violation where tenant_id = %(tenant)s
"""
_SNAPSHOTS = """
select event_seq, snapshot_id::text, cause, document, digest, at_ns
from account_snapshot where tenant_id = %(tenant)s
"""
_BEFORE = """
 and account_id = %(account)s and (%(before)s::bigint is null or event_seq < %(before)s)
order by event_seq desc
"""

Row = dict[str, Any]


class PostgresAccounts:
    """Accounts port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self, scope: Scope, accounts: Sequence[NewAccount]) -> None:
        async with self._database.tenant(scope.tenant_id) as connection:
            for new in accounts:
                await insert_account(connection, scope.tenant_id, new)

    async def taken_references(self, scope: Scope, references: Sequence[str]) -> Sequence[str]:
        rows = await self._rows(
            "select client_reference from account where tenant_id = %(tenant)s"
            " and client_reference = any(%(references)s)",
            {"tenant": scope.tenant_id, "references": list(references)},
        )
        return [row["client_reference"] for row in rows]

    async def find(self, scope: Scope, account_id: str) -> OwnedAccount | None:
        found = await self._accounts(
            scope.tenant_id, "where a.tenant_id = %(tenant)s and a.account_id = %(account)s",
            account=account_id,
        )  # fmt: skip
        return found[0] if found else None

    async def page(
        self, scope: Scope, *, user_id: str | None, after: str | None, limit: int
    ) -> Sequence[OwnedAccount]:
        return await self._accounts(
            scope.tenant_id,
            "where a.tenant_id = %(tenant)s"
            " and (%(user)s::uuid is null or a.user_id = %(user)s)"
            " and (%(after)s::uuid is null or a.account_id > %(after)s)"
            " order by a.account_id limit %(limit)s",
            user=user_id,
            after=after,
            limit=limit,
        )

    async def ids_of(self, scope: Scope, user_id: str) -> Sequence[str]:
        async with self._database.tenant(scope.tenant_id) as connection:
            cursor = await connection.execute(
                "select account_id::text from account where tenant_id = %s and user_id = %s",
                (scope.tenant_id, user_id),
            )
            return [row["account_id"] for row in await cursor.fetchall()]

    async def watched(self, tenant_id: str) -> Sequence[OwnedAccount]:
        return await self._accounts(tenant_id, f"where {_IN_THE_MARKET}")

    async def watched_seqs(self, tenant_id: str) -> Mapping[str, int]:
        rows = await self._rows(
            f"select a.account_id::text, a.event_seq from account a where {_IN_THE_MARKET}",  # noqa: S608
            {"tenant": tenant_id},
        )
        return {row["account_id"]: row["event_seq"] for row in rows}

    async def many(self, tenant_id: str, account_ids: Sequence[str]) -> Sequence[OwnedAccount]:
        return await self._accounts(
            tenant_id,
            "where a.tenant_id = %(tenant)s and a.account_id = any(%(accounts)s::uuid[])",
            accounts=list(account_ids),
        )

    async def active_ids(self, tenant_id: str, due_before_ns: int | None) -> Sequence[str]:
        async with self._database.tenant(tenant_id) as connection:
            cursor = await connection.execute(
                "select account_id::text from account where tenant_id = %(tenant)s"
                " and status <> 'closed'"
                " and (%(due)s::bigint is null or day_next_reset_ns <= %(due)s)"
                " order by account_id",
                {"tenant": tenant_id, "due": due_before_ns},
            )
            return [row["account_id"] for row in await cursor.fetchall()]

    async def due_resets(self, tenant_id: str, now_ns: int) -> Mapping[str, int]:
        async with self._database.tenant(tenant_id) as connection:
            cursor = await connection.execute(
                "select account_id::text, day_next_reset_ns from account"
                " where tenant_id = %s and status <> 'closed' and day_next_reset_ns <= %s"
                " order by account_id",
                (tenant_id, now_ns),
            )
            rows = await cursor.fetchall()
        return {row["account_id"]: row["day_next_reset_ns"] for row in rows}

    async def orders(
        self,
        scope: Scope,
        account_id: str,
        before: int | None,
        limit: int,
        statuses: Sequence[str] | None = None,
    ) -> Sequence[Row]:
        parameters = {
            "tenant": scope.tenant_id,
            "account": account_id,
            "before": before,
            "limit": limit,
            "statuses": None if statuses is None else list(statuses),
        }
        return await self._rows(_ORDERS + _OF_STATUS, parameters)

    async def orders_named(
        self, scope: Scope, account_id: str, order_ids: Sequence[str]
    ) -> Sequence[Row]:
        return await self._rows(
            _ORDERS + _OF_ORDERS,
            {"tenant": scope.tenant_id, "account": account_id, "orders": list(order_ids)},
        )

    async def order(self, scope: Scope, account_id: str, order_id: str) -> Row | None:
        rows = await self._rows(
            _ORDERS + " and account_id = %(account)s and order_id = %(order)s",
            {"tenant": scope.tenant_id, "account": account_id, "order": order_id},
        )
        return rows[0] if rows else None

    async def order_of_signal(self, scope: Scope, signal_id: str) -> Row | None:
        rows = await self._rows(_ORDER_OF_SIGNAL, {"tenant": scope.tenant_id, "signal": signal_id})
        return rows[0] if rows else None

    async def fills(
        self, scope: Scope, account_id: str, before: int | None, limit: int
    ) -> Sequence[Row]:
        return await self._page(_FILLS, scope, account_id, before, limit)

    async def ledger(
        self, scope: Scope, account_id: str, before: tuple[int, str] | None, limit: int
    ) -> Sequence[Row]:
        seq, kind = before if before is not None else (None, None)
        return await self._rows(
            _LEDGER + _LEDGER_PAGE,
            {
                "tenant": scope.tenant_id,
                "account": account_id,
                "before": seq,
                "kind": kind,
                "limit": limit,
            },
        )

    async def violations(
        self, scope: Scope, account_id: str, before: int | None, limit: int
    ) -> Sequence[Row]:
        return await self._page(_VIOLATIONS, scope, account_id, before, limit)

    async def snapshots(
        self, scope: Scope, account_id: str, before: int | None, limit: int
    ) -> Sequence[Row]:
        return await self._page(_SNAPSHOTS, scope, account_id, before, limit)

    async def _page(
        self, statement: str, scope: Scope, account_id: str, before: int | None, limit: int
    ) -> list[Row]:
        parameters = {
            "tenant": scope.tenant_id,
            "account": account_id,
            "before": before,
            "limit": limit,
        }
        return await self._rows(f"{statement}{_BEFORE} limit %(limit)s", parameters)

    async def _rows(self, statement: str, parameters: dict[str, Any]) -> list[Row]:
        async with self._database.tenant(parameters["tenant"]) as connection:
            return await (await connection.execute(statement, parameters)).fetchall()

    async def _accounts(
        self, tenant_id: str, condition: str, **parameters: Any
    ) -> list[OwnedAccount]:
        rows = await self._rows(ACCOUNT + condition, {"tenant": tenant_id, **parameters})
        return [owned(tenant_id, row) for row in rows]


async def insert_account(connection: Connection, tenant_id: str, new: NewAccount) -> None:
    """Insert a new account with its deposit and first event, and what it takes over."""
    account = new.account
    parameters = {
        "tenant": tenant_id,
        "account": account.account_id,
        "user": new.user_id,
        "name": new.name,
        "reference": new.client_reference,
        "previous": new.previous_account_id,
        "type": account.account_type,
        "config": account.config_version,
        "currency": account.currency,
        "digits": account.currency_digits,
        "balance": account.initial_balance_minor,
        "date": account.day.date,
        "started": account.day.started_ns,
        "reset": account.day.next_reset_ns,
        "now": new.created_ns,
        "payload": orjson.dumps(new.opened_payload).decode(),
        "tally": orjson.dumps(write_tally(account.tally)).decode(),
    }
    for statement in (_OPEN, _LINK, _DEPOSIT, _CREATED, _OUTBOX):
        await connection.execute(statement, parameters)


def owned(tenant_id: str, row: Row) -> OwnedAccount:
    """Read a row of ACCOUNT."""
    positions = [Position(*fields) for fields in row["positions"]]
    account = Account(
        account_id=row["account_id"],
        tenant_id=tenant_id,
        status=row["status"],
        status_reason=row["status_reason"],
        currency=row["currency"],
        currency_digits=row["currency_digits"],
        account_type=row["account_type"],
        config_version=row["config_version"],
        initial_balance_minor=row["initial_balance_minor"],
        balance_minor=row["balance_minor"],
        carry_micro=row["carry_micro"],
        high_water_minor=row["high_water_minor"],
        event_seq=row["event_seq"],
        day=Day(
            date=row["day_date"],
            started_ns=row["day_started_ns"],
            next_reset_ns=row["day_next_reset_ns"],
            start_balance_minor=row["day_start_balance_minor"],
            start_equity_minor=row["day_start_equity_minor"],
            realised_minor=row["day_realised_minor"],
            traded=row["day_traded"],
        ),
        closed_days=tuple(ClosedDay(*day) for day in row["closed_days"]),
        raised=tuple(row["raised"]),
        positions={position.key: position for position in positions},
        working={fields[0]: order_of(fields) for fields in row["working"] or ()},
        tally=read_tally(row["tally"]),
    )
    return OwnedAccount(
        account, row["user_id"], row["created_us"] * 1000, row["name"], row["client_reference"]
    )
