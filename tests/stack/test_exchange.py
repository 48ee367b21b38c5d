"""Statements in one packet: what each answers, and what is left when one of them fails."""

from collections.abc import AsyncIterator

import psycopg
import pytest
from tests.support.stack import FreshDatabase

from quantlab_adapters.postgres.columns import texts
from quantlab_adapters.postgres.database import Connection, Database
from quantlab_adapters.postgres.exchange import BEGIN, COMMIT, ROLLBACK, exchange, set_tenant

pytestmark = pytest.mark.stack
LARGE = "x" * 4_000_000


@pytest.fixture
async def connection(fresh_database: FreshDatabase) -> AsyncIterator[Connection]:
    async with await Database(fresh_database.app_dsn).connect() as made:
        yield made


async def test_each_statement_has_its_rows(connection: Connection) -> None:
    answers = await exchange(
        connection,
        BEGIN,
        set_tenant("alpha"),
        ("select current_tenant(), $1::int8 + 1, $2::bytea", (41, b"\x00\xff")),
        ("select unnest($1::text[])", (texts(["one", "two"]),)),
        COMMIT,
    )
    assert answers[2:] == [[("alpha", 42, b"\x00\xff")], [("one",), ("two",)], []]


async def test_a_statement_is_prepared_once(connection: Connection) -> None:
    for number in (1, 2, 3):
        assert await exchange(connection, ("select $1::int8", (number,))) == [[(number,)]]
    prepared = "select count(*) from pg_prepared_statements where statement = 'select $1::int8'"
    assert await exchange(connection, (prepared, ())) == [[(1,)]]


async def test_what_a_statement_died_of_is_raised_and_the_connection_goes_on(
    connection: Connection,
) -> None:
    divided = ("select 1 / $1::int8", (0,))
    for _ in range(2):  # it was not prepared for good by the attempt that failed
        with pytest.raises(psycopg.errors.DivisionByZero):
            await exchange(connection, BEGIN, divided, ("select pg_sleep(60)", ()), COMMIT)
        await exchange(connection, ROLLBACK)
    assert await exchange(connection, ("select 1 / $1::int8", (1,))) == [[(1,)]]


async def test_a_text_nobody_understands_is_refused_by_its_name(connection: Connection) -> None:
    with pytest.raises(psycopg.errors.UndefinedTable, match="nothing_of_this_name"):
        await exchange(connection, ("select 1", ()), ("select * from nothing_of_this_name", ()))
    assert await exchange(connection, ("select 1", ())) == [[(1,)]]


async def test_more_than_a_socket_holds_goes_both_ways(connection: Connection) -> None:
    echo = ("select $1::text", (LARGE,))
    answers = await exchange(connection, echo, echo, echo)
    assert [len(rows[0][0]) for rows in answers] == [len(LARGE)] * 3


async def test_why_the_server_went_away_is_said(connection: Connection) -> None:
    ended = ("select pg_terminate_backend(pg_backend_pid())", ())
    with pytest.raises(psycopg.errors.AdminShutdown):
        await exchange(connection, ended)
    assert connection.closed
