"""Checkpoints of the rules in PostgreSQL: whole tenants read, judged and kept page by page.

Columns travel as arrays in the binary format, which NumPy reads as they are: nothing is made of
each row. SQL only loads and stores. A page is read by one statement, so that accounts and their
positions are of one moment.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson
import psycopg
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format

from quantlab.engine.context import write_quotes
from quantlab.engine.native.checkpoint import Checkpoint, Group, Held, Judged
from quantlab.ledger.state import Account, Day
from quantlab_adapters.postgres.database import Connection, Database
from quantlab_app.ports.judging import FindRulebook, Moment, Swept

if TYPE_CHECKING:
    from quantlab.engine.native.compile import Kernels

PAGE: Final = 50_000
LANES: Final = 2
FIRST: Final = "00000000-0000-0000-0000-000000000000"
LAST: Final = "ffffffff-ffff-ffff-ffff-ffffffffffff"
_UUID_OID, _UUID_ARRAY_OID = 2950, 2951
_INT8_OID, _INT8_ARRAY_OID = 20, 1016
_HEADER: Final = 20

_BOUNDS = """
select account_id::text from (
  select account_id, row_number() over (order by account_id) as place
  from account where tenant_id = %s) placed
where place %% %s = 0 order by account_id
"""
_LOAD = """
select json_build_array(config_version, account_type, currency, currency_digits,
    initial_balance_minor::text, status, raised)::text as about, true as accounts,
  array_agg(account_id), array_agg(balance_minor), array_agg(carry_micro),
  array_agg(high_water_minor), array_agg(day_next_reset_ns), array_agg(day_start_balance_minor),
  array_agg(day_start_equity_minor), array_agg(day_realised_minor), array_agg(event_seq)
from account
where tenant_id = %(tenant)s and account_id > %(after)s and account_id <= %(upto)s
  and status <> 'closed'
group by config_version, account_type, currency, currency_digits, initial_balance_minor, status,
  raised
union all
select symbol, false, array_agg(account_id), array_agg(size_steps), array_agg(cost),
  null, null, null, null, null, null
from position
where tenant_id = %(tenant)s and account_id > %(after)s and account_id <= %(upto)s
group by symbol
"""
_STORE = """
insert into rule_checkpoint (tenant_id, checkpoint_ns, page, judged_ns, feed_ts_ns, first_account,
  last_account, quotes, account_ids, event_seqs, states, equities_minor, high_waters_minor,
  breach_below_minor, broken)
values (%(tenant)s, %(checkpoint)s, %(page)s, %(judged)s, %(feed)s, %(first)s, %(last)s,
  %(quotes)s, %(ids)s, %(seqs)s, %(states)s, %(equities)s, %(marks)s, %(below)s, %(broken)s)
"""
_REPLACE = """
delete from rule_checkpoint
where tenant_id = %(tenant)s and checkpoint_ns = %(checkpoint)s and page = %(page)s
"""


@dataclass(frozen=True, slots=True)
class _Binary:
    data: bytes


class _Uuids(_Binary):
    """A uuid[] as the server takes it."""


class _Integers(_Binary):
    """A bigint[] as the server takes it."""


class _UuidsDumper(Dumper):
    format = Format.BINARY
    oid = _UUID_ARRAY_OID

    def dump(self, obj: _Binary) -> Buffer | None:
        return obj.data


class _IntegersDumper(_UuidsDumper):
    oid = _INT8_ARRAY_OID


@dataclass(frozen=True, slots=True)
class _Page:
    tenant_id: str
    number: int
    after: str
    upto: str


class PostgresCheckpoints:
    """Checkpoints port. Two lanes work side by side: the server reads while the core judges."""

    def __init__(
        self, database: Database, kernels: "Callable[[], Awaitable[Kernels | None]]"
    ) -> None:
        self._database = database
        self._kernels = kernels

    async def sweep(self, tenant_id: str, moment: Moment, rulebook_of: FindRulebook) -> Swept:
        kernels = await self._kernels()
        if kernels is None:
            raise RuntimeError("expected compiled kernels: the port is built only where they are")
        checkpoint = Checkpoint(kernels, moment.market, moment.now_ns)
        pages = iter(await self._pages(tenant_id))
        asking: list[str] = []
        judged = 0

        async def lane() -> None:
            nonlocal judged
            for page in pages:
                found = await self._sweep_page(page, checkpoint, moment, rulebook_of)
                if found is not None:
                    judged += len(found.ids)
                    asking.extend(_texts(found.ids[found.asks]))

        async with asyncio.TaskGroup() as tasks:
            for _ in range(LANES):
                tasks.create_task(lane())
        return Swept(judged, asking)

    async def forget(self, tenant_id: str, before_ns: int) -> None:
        async with self._database.tenant(tenant_id) as connection:
            await connection.execute(
                "delete from rule_checkpoint where tenant_id = %s and checkpoint_ns < %s",
                (tenant_id, before_ns),
            )

    async def _pages(self, tenant_id: str) -> list[_Page]:
        async with self._database.tenant(tenant_id) as connection:
            cursor = await connection.execute(_BOUNDS, (tenant_id, PAGE))
            bounds = [FIRST, *(row["account_id"] for row in await cursor.fetchall()), LAST]
        ends = pairwise(bounds)
        return [_Page(tenant_id, number, *pair) for number, pair in enumerate(ends)]

    async def _sweep_page(
        self, page: _Page, checkpoint: Checkpoint, moment: Moment, rulebook_of: FindRulebook
    ) -> Judged | None:
        async with self._database.tenant(page.tenant_id) as connection:
            loaded = await _load(connection, page)
        groups, held = await asyncio.to_thread(_read, loaded, page.tenant_id)
        if not groups:
            return None
        made = [
            Group(like, (await rulebook_of(like)).profile, ids, money, seqs)
            for like, ids, money, seqs in groups
        ]
        found = await asyncio.to_thread(checkpoint.judge, made, held)
        values = await asyncio.to_thread(_values, page, moment, found)
        async with self._database.tenant(page.tenant_id) as connection:
            connection.adapters.register_dumper(_Uuids, _UuidsDumper)
            connection.adapters.register_dumper(_Integers, _IntegersDumper)
            await connection.execute(_REPLACE, values)
            await connection.execute(_STORE, values)
        return found


async def _load(connection: Connection, page: _Page) -> list[list[bytes | None]]:
    cursor = connection.cursor(binary=True)
    await cursor.execute(_LOAD, {"tenant": page.tenant_id, "after": page.after, "upto": page.upto})
    result = cursor.pgresult
    if result is None:
        raise psycopg.InterfaceError("expected rows")
    columns = range(result.nfields)
    return [[result.get_value(row, column) for column in columns] for row in range(result.ntuples)]


_Groups = list[tuple[Account, Any, Any, Any]]


def _read(rows: Sequence[Sequence[bytes | None]], tenant_id: str) -> tuple[_Groups, list[Held]]:
    groups: _Groups = []
    held: list[Held] = []
    for about, accounts, *columns in rows:
        text = (about or b"").decode()
        ids = _uuids(columns[0])
        if accounts == b"\x01":
            money = np.stack([_integers(one) for one in columns[1:8]], axis=1)
            groups.append((_like(text, tenant_id), ids, money, _integers(columns[8])))
        else:
            held.append(Held(text, ids, _integers(columns[1]), _integers(columns[2])))
    return groups, held


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
        "first": _texts(found.ids[:1])[0],
        "last": _texts(found.ids[-1:])[0],
        "quotes": orjson.dumps(quotes).decode(),
        "ids": _Uuids(_array(_UUID_OID, found.ids.astype(">u8"), 16)),
        "seqs": _Integers(_array(_INT8_OID, found.seqs, 8)),
        "states": _Integers(_array(_INT8_OID, found.states, 8)),
        "equities": _Integers(_array(_INT8_OID, found.equities, 8)),
        "marks": _Integers(_array(_INT8_OID, found.marks, 8)),
        "below": _Integers(_array(_INT8_OID, found.below, 8)),
        "broken": _Integers(_array(_INT8_OID, found.broken, 8)),
    }


def _integers(array: bytes | None) -> Any:
    """Read a bigint[]: a header of 20 bytes, then 4 bytes of length and 8 of value each."""
    element = np.dtype([("length", ">i4"), ("value", ">i8")])
    return np.frombuffer(array or b"", element, offset=_HEADER)["value"].astype(np.int64)


def _uuids(array: bytes | None) -> Any:
    element = np.dtype([("length", ">i4"), ("value", ">u8", 2)])
    return np.frombuffer(array or b"", element, offset=_HEADER)["value"].astype(np.uint64)


def _array(oid: int, values: Any, width: int) -> bytes:
    """Write a one-dimensional array without nulls, as the server reads it."""
    kind = ("value", ">u8", 2) if width == 16 else ("value", ">i8")
    elements = np.empty(len(values), np.dtype([("length", ">i4"), kind]))
    elements["length"] = width
    elements["value"] = values
    header = np.array([1, 0, oid, len(values), 1], ">i4")
    return header.tobytes() + elements.tobytes()


def _texts(ids: Any) -> list[str]:
    return [
        f"{high >> 32:08x}-{high >> 16 & 0xFFFF:04x}-{high & 0xFFFF:04x}"
        f"-{low >> 48:04x}-{low & 0xFFFF_FFFF_FFFF:012x}"
        for high, low in ids.tolist()
    ]
