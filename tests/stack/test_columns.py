"""Columns in binary form arrive in PostgreSQL as what they were."""

import struct
from typing import Any
from uuid import UUID

import psycopg
import pytest
from tests.support.stack import Stack

from quantlab_adapters.postgres import columns as c

pytestmark = pytest.mark.stack
ONE, TWO = "00000000-0000-0000-0000-000000000000", "8f14e45f-ceea-467f-a9b8-7c2d3e4f5a6b"


@pytest.mark.parametrize(
    ("encode", "kind", "values"),
    [
        (c.int8s, "bigint", [0, -1, None, 2**63 - 1, -(2**63)]),
        (c.bools, "boolean", [True, None, False]),
        (c.texts, "text", ["", 'a"\\{},', None, "NULL", "é\u4e2d\U0001f600"]),
        (c.jsons, "json", [{"a": [1, 'x"\\', None]}, [], "é", None, 2**53]),
    ],
)
def test_values_survive(stack: Stack, encode: c.Encode, kind: str, values: list[Any]) -> None:
    with psycopg.connect(stack.app_dsn) as connection:
        for column in (values, values[:1], []):
            rows = connection.execute(
                f"select x from unnest(%s::{kind}[]) with ordinality u(x, n) order by n",  # noqa: S608 - a constant
                (encode(column),),
            ).fetchall()
            assert [row[0] for row in rows] == column


def test_uuids_survive(stack: Stack) -> None:
    with psycopg.connect(stack.app_dsn) as connection:
        rows = connection.execute(
            "select x from unnest(%s::uuid[]) with ordinality u(x, n) order by n",
            (c.uuids([ONE, None, TWO]),),
        ).fetchall()
    assert [row[0] for row in rows] == [UUID(ONE), None, UUID(TWO)]


def test_rows_become_columns(stack: Stack) -> None:
    shape = (c.texts, c.int8s)
    with psycopg.connect(stack.app_dsn) as connection:
        for rows in ([("a", 1), ("b", None)], []):
            found = connection.execute(
                "select * from unnest(%s::text[], %s::bigint[])", c.columns(shape, rows)
            ).fetchall()
            assert found == rows


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
def test_a_value_beyond_its_type_is_refused(value: int) -> None:
    with pytest.raises(struct.error):
        c.int8s([value])


def test_placeholders_are_numbered() -> None:
    assert c.numbered("select %s, %s::text[]") == "select $1, $2::text[]"
    assert c.numbered("select 1") == "select 1"
