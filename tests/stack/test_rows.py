"""Rows of a composite type arrive in PostgreSQL as what they were."""

import struct
from typing import Any

import psycopg
import pytest
from tests.support.stack import FreshDatabase

from quantlab_adapters.postgres.rows import row_types

pytestmark = pytest.mark.stack
ONE, TWO = "00000000-0000-0000-0000-000000000000", "8f14e45f-ceea-467f-a9b8-7c2d3e4f5a6b"
TYPES = (
    ("n", "bigint", [0, -1, None, 2**63 - 1, -(2**63)]),
    ("small", "smallint", [1, -1, None, 32767, -32768]),
    ("flag", "boolean", [True, None, False, True, False]),
    ("told", "text", ["", 'a"\\{},()', None, "NULL", "é\u4e2d\U0001f600"]),
    ("raw", "bytea", [b"", b"\x00\xff\\", None, b"x", b"\\x"]),
    ("id", "uuid", [ONE, None, TWO, ONE, TWO]),
    ("doc", "json", [{"a": [1, 'x"\\\x00', None]}, [], "é", None, 2**53]),
)
ROWS: list[tuple[Any, ...]] = list(zip(*(values for _, _, values in TYPES), strict=True))


@pytest.fixture
async def connection(fresh_database: FreshDatabase) -> Any:
    columns = ", ".join(f"{name} {kind}" for name, kind, _ in TYPES)
    with psycopg.connect(fresh_database.owner_dsn, autocommit=True) as owner:
        owner.execute("drop type if exists quantlab.every_row")
        owner.execute(f"create type quantlab.every_row as ({columns})".encode())
    options = "-c search_path=quantlab"
    async with await psycopg.AsyncConnection.connect(
        fresh_database.app_dsn, options=options
    ) as made:
        yield made


@pytest.mark.parametrize("count", [0, 1, 5])
async def test_rows_survive(connection: Any, count: int) -> None:
    types = await row_types(connection)
    rows = types["every_row"].rows(ROWS[:count])
    cursor = await connection.execute(
        "select n, small, flag, told, raw, id::text, doc from unnest(%s::every_row[])", (rows,)
    )
    assert await cursor.fetchall() == ROWS[:count]


async def test_a_json_null_is_a_value_and_a_missing_one_is_none_of_it(connection: Any) -> None:
    types = await row_types(connection)
    rows = types["every_row"].rows([(None,) * len(TYPES)])
    cursor = await connection.execute(
        "select doc::text, n is null and told is null and id is null from unnest(%s::every_row[])",
        (rows,),
    )
    assert await cursor.fetchall() == [("null", True)]


async def test_what_does_not_fit_is_refused(connection: Any) -> None:
    type_ = (await row_types(connection))["every_row"]
    with pytest.raises(struct.error):
        type_.rows([(2**63, *ROWS[0][1:])])
    with pytest.raises(ValueError, match="zip"):
        type_.rows([ROWS[0][:-1]])
    with pytest.raises(ValueError, match="zip"):
        type_.rows([ROWS[0], ROWS[0][:-1]])


async def test_the_types_are_read_once(connection: Any) -> None:
    assert await row_types(connection) is await row_types(connection)


async def test_a_type_of_another_version_hinders_nobody(
    fresh_database: FreshDatabase, connection: Any
) -> None:
    with psycopg.connect(fresh_database.owner_dsn, autocommit=True) as owner:
        owner.execute("drop type if exists quantlab.later_row")
        owner.execute("create type quantlab.later_row as (n bigint, at timestamptz)")
    types = await row_types(connection)
    assert "every_row" in types
    assert "later_row" not in types
