"""Columns of rows as array parameters in PostgreSQL's binary form.

The driver writes a list element by element, escaping text by regular expression; on the order path
that was more work than deciding. A column here is one pass over plain values of one type.
"""

import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Final

import orjson
import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format

_HEADER: Final = struct.Struct("!iiIii").pack
_SIZE: Final = struct.Struct("!i").pack
_INT8: Final = struct.Struct("!iq").pack
_NULL: Final = _SIZE(-1)
_UUID_SIZE: Final = _SIZE(16)
_TRUE, _FALSE = _SIZE(1) + b"\x01", _SIZE(1) + b"\x00"

Encode = Callable[[Iterable[Any]], "Column"]


class Column:
    """An encoded array; each subclass is one type of array."""

    __slots__ = ("data",)
    array_oid: ClassVar[int]
    element_oid: ClassVar[int]

    def __init__(self, elements: list[bytes]) -> None:
        count = len(elements)
        if count:
            head = _HEADER(1, int(_NULL in elements), self.element_oid, count, 1)
            self.data = head + b"".join(elements)
        else:
            self.data = struct.pack("!iiI", 0, 0, self.element_oid)


class Int8Column(Column):
    __slots__ = ()
    array_oid, element_oid = 1016, 20


class BoolColumn(Column):
    __slots__ = ()
    array_oid, element_oid = 1000, 16


class TextColumn(Column):
    __slots__ = ()
    array_oid, element_oid = 1009, 25


class UuidColumn(Column):
    __slots__ = ()
    array_oid, element_oid = 2951, 2950


class JsonColumn(Column):
    __slots__ = ()
    array_oid, element_oid = 199, 114


def int8s(values: Iterable[int | None]) -> Column:
    """Encode a column of bigint."""
    return Int8Column([_NULL if v is None else _INT8(8, v) for v in values])


def bools(values: Iterable[bool | None]) -> Column:
    """Encode a column of boolean."""
    return BoolColumn([_NULL if v is None else _TRUE if v else _FALSE for v in values])


def texts(values: Iterable[str | None]) -> Column:
    """Encode a column of text."""
    return TextColumn([_sized(None if v is None else v.encode()) for v in values])


def uuids(values: Iterable[str | None]) -> Column:
    """Encode a column of uuid, given as text."""
    return UuidColumn(
        [_NULL if v is None else _UUID_SIZE + bytes.fromhex(v.replace("-", "")) for v in values]
    )


def jsons(values: Iterable[Any]) -> Column:
    """Encode a column of json from plain values; None is the JSON null, not a missing value."""
    return JsonColumn([_sized(orjson.dumps(v)) for v in values])


def columns(shape: Sequence[Encode], rows: Sequence[Sequence[Any]]) -> list[Column]:
    """Turn rows into one parameter a column; no rows make empty arrays."""
    if not rows:
        return [encode(()) for encode in shape]
    return [encode(column) for encode, column in zip(shape, zip(*rows, strict=True), strict=True)]


def numbered(statement: str) -> str:
    """Write $1, $2, ... for each %s: the driver takes a long statement apart on every use."""
    first, *rest = statement.split("%s")
    return first + "".join(f"${number}{part}" for number, part in enumerate(rest, 1))


def _sized(value: bytes | None) -> bytes:
    return _NULL if value is None else _SIZE(len(value)) + value


class _ColumnDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Column) -> bytes:
        return obj.data


def _register(kind: type[Column]) -> None:
    dumper = type(f"{kind.__name__}Dumper", (_ColumnDumper,), {"oid": kind.array_oid})
    psycopg.adapters.register_dumper(kind, dumper)


for _kind in (
    Int8Column, BoolColumn, TextColumn, UuidColumn, JsonColumn,
):  # fmt: skip
    _register(_kind)
