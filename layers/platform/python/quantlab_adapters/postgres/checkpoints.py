"""Checkpoints of the rules in PostgreSQL: whole tenants read, judged and kept page by page.

Accounts with what they hold come as records of fixed width, and so goes what was found: nothing is
made of each row in Python. SQL only loads and stores.
All pages of a tenant are of one moment. What was found of it is kept in one transaction: whole or
not at all.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, LiteralString

import numpy as np
import orjson
import psycopg

from quantlab.engine.context import write_quotes
from quantlab.engine.native.checkpoint import Amounts, Checkpoint, Group, Judged
from quantlab.engine.native.chosen import INTERPRETED, Kernels
from quantlab.ledger.state import Account, Day
from quantlab_adapters.postgres.database import Connection, Database
from quantlab_adapters.postgres.held import HELD_WIDTH
from quantlab_app.ports.judging import FindRulebook, Moment, Swept

PAGE: Final = 50_000
PAGES_AHEAD: Final = 8
LANES: Final = 2
# For so few accounts it is not worth half a second to import numba.
PLAIN_ACCOUNTS_MAX: Final = 100
FIRST: Final = "00000000-0000-0000-0000-000000000000"
LAST: Final = "ffffffff-ffff-ffff-ffff-ffffffffffff"

# Workers would hand whole arrays to their leader, element by element; our lanes fill the cores.
_ALONE: Final = "set local max_parallel_workers_per_gather = 0"
# What keeps a tenant's pages waits for them, and holds nothing that anybody else waits for.
_PATIENT: Final = "set local idle_in_transaction_session_timeout = '5min'"
_BOUNDS: Final = """
with recursive bound (account_id) as (
  values (%(first)s::uuid)
  union all
  select (select account_id from account
    where tenant_id = %(tenant)s and account_id > bound.account_id
    order by account_id offset %(page)s - 1 limit 1)
  from bound where bound.account_id is not null)
select account_id::text from bound where account_id is not null
"""
# Records are made where rows are written, see migration 0025.
_ACCOUNTS = """
select json_build_array(config_version, account_type, currency, currency_digits,
    initial_balance_minor::text, status, raised)::text,
  string_agg(checkpoint_record, null), string_agg(held, null)
from account
where tenant_id = %(tenant)s and account_id > %(after)s and account_id <= %(upto)s
  and status <> 'closed'
group by config_version, account_type, currency, currency_digits, initial_balance_minor, status,
  raised
"""
# An identifier in two halves, eight amounts, and the number of positions.
_ACCOUNT_WIDTH: Final = 11
_STORE = """
insert into rule_checkpoint (tenant_id, checkpoint_ns, page, judged_ns, feed_ts_ns, first_account,
  last_account, quotes, findings)
values (%(tenant)s, %(checkpoint)s, %(page)s, %(judged)s, %(feed)s, %(first)s, %(last)s,
  %(quotes)s, %(findings)b)
"""
_DROP = "delete from rule_checkpoint where tenant_id = %s and checkpoint_ns = %s"


@dataclass(frozen=True, slots=True)
class _Page:
    tenant_id: str
    number: int
    after: str
    upto: str


_Groups = list[tuple[Account, Amounts]]
_Keep = Callable[[_Page, _Groups], Awaitable[None]]


class PostgresCheckpoints:
    """Checkpoints port. Two lanes work side by side: the server reads while the core judges."""

    def __init__(
        self, database: Database, kernels: Callable[[], Awaitable[Kernels | None]]
    ) -> None:
        self._database = database
        self._kernels = kernels

    async def sweep(self, tenant_id: str, moment: Moment, rulebook_of: FindRulebook) -> Swept:
        asking: list[str] = []
        judged = 0

        async def keep(page: _Page, groups: _Groups) -> None:
            nonlocal judged
            if not groups:
                return
            made = [
                Group(like, (await rulebook_of(like)).profile, amounts) for like, amounts in groups
            ]
            count = sum(len(amounts.seqs) for _, amounts in groups)
            judge = Checkpoint(await self._loops(count), moment.market, moment.now_ns).judge
            found = await asyncio.to_thread(judge, made)
            await store.execute(_STORE, await asyncio.to_thread(_values, page, moment, found))
            judged += len(found.seqs)
            asking.extend(_texts(found.ids[:, found.asks]))

        async with self._database.tenant(tenant_id) as store:
            await store.execute(_PATIENT)
            await store.execute(_DROP, (tenant_id, moment.checkpoint_ns))
            await self._read(tenant_id, keep)
        return Swept(judged, asking)

    async def _loops(self, count: int) -> Kernels:
        """Return the loops for a page of so many accounts; for few, none need be compiled."""
        if count <= PLAIN_ACCOUNTS_MAX:
            return INTERPRETED
        kernels = await self._kernels()
        if kernels is None:
            raise RuntimeError("expected compiled kernels: the port is built only where they are")
        return kernels

    async def _read(self, tenant_id: str, keep: _Keep) -> None:
        """Read a tenant as of one moment, and hand its accounts on page by page.

        Pages are read ahead while others are judged and stored.
        """
        ahead: asyncio.Queue[tuple[_Page, _Groups]] = asyncio.Queue(PAGES_AHEAD)
        async with self._database.moment(tenant_id) as first:
            await first.execute(_ALONE)
            snapshot = await _snapshot(first)
            unread = await _pages(first, tenant_id)

            async def read(connection: Connection) -> None:
                for page in unread:
                    await ahead.put((page, await _groups(connection, page)))

            async def read_beside() -> None:
                async with self._database.moment(tenant_id, snapshot) as second:
                    await second.execute(_ALONE)
                    await read(second)

            async def judge() -> None:
                while True:
                    await keep(*await ahead.get())
                    ahead.task_done()

            async with asyncio.TaskGroup() as tasks:
                judging = [tasks.create_task(judge()) for _ in range(LANES)]
                beside = tasks.create_task(read_beside())
                await read(first)
                await beside
                await ahead.join()
                for one in judging:
                    one.cancel()

    async def forget(self, tenant_id: str, before_ns: int) -> None:
        async with self._database.tenant(tenant_id) as connection:
            await connection.execute(
                "delete from rule_checkpoint where tenant_id = %s and checkpoint_ns < %s",
                (tenant_id, before_ns),
            )


async def _snapshot(connection: Connection) -> str:
    cursor = await connection.execute("select pg_export_snapshot() as snapshot")
    row = await cursor.fetchone()
    if row is None:
        raise psycopg.InterfaceError("expected a snapshot")
    return str(row["snapshot"])


async def _pages(connection: Connection, tenant_id: str) -> Iterator[_Page]:
    """Return a tenant's pages, to be taken by whoever reads next."""
    values = {"tenant": tenant_id, "first": FIRST, "page": PAGE}
    cursor = await connection.execute(_BOUNDS, values)
    bounds = [*(row["account_id"] for row in await cursor.fetchall()), LAST]
    return (_Page(tenant_id, number, *ends) for number, ends in enumerate(pairwise(bounds)))


async def _groups(connection: Connection, page: _Page) -> _Groups:
    """Read a page's accounts; those of a group differ in nothing but amounts."""
    values = {"tenant": page.tenant_id, "after": page.after, "upto": page.upto}
    rows = await _rows(connection, _ACCOUNTS, values)
    return await asyncio.to_thread(
        lambda: [
            (_like(about.decode(), page.tenant_id), _amounts(*records)) for about, *records in rows
        ]
    )


def _amounts(records: bytes, held: bytes) -> Amounts:
    table = np.frombuffer(records, ">i8").reshape(-1, _ACCOUNT_WIDTH)
    ids = table[:, :2].T.astype(np.uint64, order="C")
    money, seqs, counts = (table[:, at].astype(np.int64) for at in (slice(2, -2), -2, -1))
    keys, sizes, costs = np.frombuffer(held, ">i8").reshape(-1, HELD_WIDTH).T.astype(np.int64)
    return Amounts(ids, money, seqs, counts, keys, sizes, costs)


async def _rows(
    connection: Connection, query: LiteralString, values: Mapping[str, Any] | Sequence[Any]
) -> list[list[bytes]]:
    cursor = connection.cursor(binary=True)
    await cursor.execute(query, values)
    result = cursor.pgresult
    if result is None:
        raise psycopg.InterfaceError("expected rows")
    columns = range(result.nfields)
    return [
        [result.get_value(row, column) or b"" for column in columns]
        for row in range(result.ntuples)
    ]


def _like(about: str, tenant_id: str) -> Account:
    version, kind, currency, digits, initial, status, raised = orjson.loads(about)
    return Account(
        account_id="", tenant_id=tenant_id, status=status, status_reason=None, currency=currency,
        currency_digits=digits, account_type=kind, config_version=version,
        initial_balance_minor=int(initial), balance_minor=0, carry_micro=0, high_water_minor=0,
        event_seq=0, day=Day("", 0, 0, 0, 0, 0, traded=False), closed_days=(),
        raised=tuple(raised), positions={},
    )  # fmt: skip


def _values(page: _Page, moment: Moment, found: Judged) -> dict[str, Any]:
    quotes = write_quotes(quote for _, quote in sorted(moment.market.quotes.items()))
    return {
        "tenant": page.tenant_id,
        "checkpoint": moment.checkpoint_ns,
        "page": page.number,
        "judged": moment.now_ns,
        "feed": moment.market.feed_now_ns,
        "first": _texts(found.ids[:, :1])[0],
        "last": _texts(found.ids[:, -1:])[0],
        "quotes": orjson.dumps(quotes).decode(),
        "findings": _records(found),
    }


def _records(found: Judged) -> bytes:
    """Write a record an account, as the view rule_checkpoint_account reads them."""
    amounts = (found.seqs, found.states, found.equities, found.marks, found.below, found.broken)
    table = np.empty((len(found.seqs), 2 + len(amounts)), ">i8")
    for column, values in enumerate((*found.ids.view(np.int64), *amounts)):
        table[:, column] = values
    return table.tobytes()


def _texts(ids: Any) -> list[str]:
    return [
        f"{high >> 32:08x}-{high >> 16 & 0xFFFF:04x}-{high & 0xFFFF:04x}"
        f"-{low >> 48:04x}-{low & 0xFFFF_FFFF_FFFF:012x}"
        for high, low in ids.T.tolist()
    ]
