"""Rows as one array parameter of a composite type, in PostgreSQL's binary form.

An array for each column would cost the server the scan of a function for each column. The types are
those of migration 0026; what their columns are is read from the database once a connection.
"""

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary

import orjson
import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format
from psycopg.rows import tuple_row

from quantlab_adapters.postgres.database import Connection

Cells = Callable[[Iterable[Any]], list[bytes]]

_ARRAY: Final = struct.Struct("!iiIii").pack
_EMPTY: Final = struct.Struct("!iiI").pack
_RECORD: Final = struct.Struct("!ii").pack
# The number of a type, the size of a value, the value.
_HEAD: Final = struct.Struct("!Ii").pack
_INT8: Final = struct.Struct("!Iiq").pack
_INT2: Final = struct.Struct("!Iih").pack
_NULL: Final = -1
_BOOL_OID, _BYTEA_OID, _INT8_OID, _INT2_OID, _TEXT_OID, _JSON_OID, _UUID_OID = (
    psycopg.adapters.types[name].oid
    for name in ("bool", "bytea", "int8", "int2", "text", "json", "uuid")
)
_READ: Final = """
select t.typname, t.oid, array_agg(a.atttypid::bigint order by a.attnum)
from pg_type t join pg_class c on c.oid = t.typrelid
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where t.typnamespace = current_schema()::regnamespace and c.relkind = 'c'
group by t.typname, t.oid
"""


class Rows:
    """An encoded array of rows; the statement's cast says of which type."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


@dataclass(frozen=True, slots=True)
class RowType:
    """A composite type by its number in a database, and how cells of its columns are written."""

    oid: int
    cells: tuple[Cells, ...]

    def rows(self, rows: Sequence[Sequence[Any]]) -> Rows:
        """Encode rows, each with one value a column: plain values, UUIDs as text, JSON as objects.

        Raises:
            struct.error: a number is beyond its type.
            ValueError: a row has more or fewer values than the type has columns.

        """
        if not rows:
            return Rows(_EMPTY(0, 0, self.oid))
        columns = [
            cells(column) for cells, column in zip(self.cells, zip(*rows, strict=True), strict=True)
        ]
        width = len(columns)
        parts = [_ARRAY(1, 0, self.oid, len(rows), 1)]
        for cells in zip(*columns, strict=True):
            record = b"".join(cells)
            parts.append(_RECORD(4 + len(record), width))
            parts.append(record)
        return Rows(b"".join(parts))


RowTypes = Mapping[str, RowType]
_known: WeakKeyDictionary[Connection, RowTypes] = WeakKeyDictionary()


async def row_types(connection: Connection) -> RowTypes:
    """Return the row types of a connection's database by name, read once.

    One with a column that cannot be written here is left out: it is nobody's of this version.
    """
    known = _known.get(connection)
    if known is None:
        cursor = await connection.cursor(row_factory=tuple_row).execute(_READ)
        known = {
            name: RowType(oid, tuple(_CELLS[column] for column in columns))
            for name, oid, columns in await cursor.fetchall()
            if _CELLS.keys() >= {*columns}
        }
        _known[connection] = known
    return known


def _int8s(values: Iterable[int | None]) -> list[bytes]:
    null = _HEAD(_INT8_OID, _NULL)
    return [null if v is None else _INT8(_INT8_OID, 8, v) for v in values]


def _int2s(values: Iterable[int | None]) -> list[bytes]:
    null = _HEAD(_INT2_OID, _NULL)
    return [null if v is None else _INT2(_INT2_OID, 2, v) for v in values]


def _bools(values: Iterable[bool | None]) -> list[bytes]:
    null = _HEAD(_BOOL_OID, _NULL)
    texts = {True: _HEAD(_BOOL_OID, 1) + b"\x01", False: _HEAD(_BOOL_OID, 1) + b"\x00"}
    return [null if v is None else texts[v] for v in values]


def _texts(values: Iterable[str | None]) -> list[bytes]:
    return [_sized(_TEXT_OID, None if v is None else v.encode()) for v in values]


def _uuids(values: Iterable[str | None]) -> list[bytes]:
    null, head = _HEAD(_UUID_OID, _NULL), _HEAD(_UUID_OID, 16)
    return [null if v is None else head + bytes.fromhex(v.replace("-", "")) for v in values]


def _byteas(values: Iterable[bytes | None]) -> list[bytes]:
    return [_sized(_BYTEA_OID, v) for v in values]


def _jsons(values: Iterable[Any]) -> list[bytes]:
    """None is the JSON null, not a missing value."""
    return [_sized(_JSON_OID, orjson.dumps(v)) for v in values]


def _sized(oid: int, value: bytes | None) -> bytes:
    return _HEAD(oid, _NULL) if value is None else _HEAD(oid, len(value)) + value


_CELLS: Final[dict[int, Cells]] = {
    _BOOL_OID: _bools,
    _BYTEA_OID: _byteas,
    _INT8_OID: _int8s,
    _INT2_OID: _int2s,
    _TEXT_OID: _texts,
    _JSON_OID: _jsons,
    _UUID_OID: _uuids,
}


class _RowsDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Rows) -> bytes:
        return obj.data


psycopg.adapters.register_dumper(Rows, _RowsDumper)
