"""Several statements in one packet, all answered in another: the order path's way to the database.

The driver's pipeline looks at the socket before each statement and sends it by itself, which wakes
the server for each; with what its cursors do around it, that was a third of the executor's work.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final
from weakref import WeakKeyDictionary

import psycopg
from psycopg import adapt
from psycopg.abc import PQGen, Transformer
from psycopg.errors import error_from_result
from psycopg.generators import fetch_many, send
from psycopg.pq import ExecStatus, Format
from psycopg.pq.abc import PGconn, PGresult

from quantlab_adapters.postgres.columns import Column
from quantlab_adapters.postgres.database import Connection
from quantlab_adapters.postgres.rows import Rows

Parameter = str | int | bytes | Column | Rows
# A text with $1, $2, ... and what stands for them.
Statement = tuple[str, Sequence[Parameter]]
Row = tuple[Any, ...]

BEGIN: Final[Statement] = ("begin", ())
COMMIT: Final[Statement] = ("commit", ())
ROLLBACK: Final[Statement] = ("rollback", ())


def set_tenant(tenant_id: str) -> Statement:
    """Let the transaction see and write this tenant's rows only."""
    return "select set_config('app.tenant', $1, true)", (tenant_id,)


@dataclass(frozen=True, slots=True)
class _Known:
    """What a connection knows: how values are read, and the names of prepared statements."""

    transformer: Transformer
    names: dict[str, bytes] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=count)


_known: WeakKeyDictionary[Connection, _Known] = WeakKeyDictionary()


async def exchange(connection: Connection, *statements: Statement) -> list[list[Row]]:
    """Carry statements out in order and return the rows of each; where one fails, none behind it.

    A statement is prepared on its first use, so the connection is none of the pool's: the driver
    drops what is prepared when it rolls back. Nobody else may use it meanwhile.

    Raises:
        psycopg.Error: why the first that failed did.

    """
    known = _known.get(connection)
    if known is None:
        known = _known[connection] = _Known(adapt.Transformer(connection))
    results = await connection.wait(_carry_out(connection.pgconn, known, statements))
    return [_rows(known.transformer, result) for result in results]


def _carry_out(
    pgconn: PGconn, known: _Known, statements: Sequence[Statement]
) -> PQGen[list[PGresult]]:
    pgconn.enter_pipeline_mode()
    texts = {text for text, _ in statements} - known.names.keys()
    fresh = {text: b"quantlab_%d" % next(known.numbers) for text in texts}
    for text, name in fresh.items():
        pgconn.send_prepare(name, text.encode())
    for text, parameters in statements:
        name = known.names.get(text) or fresh[text]
        formats = [
            Format.TEXT if isinstance(one, str | int) else Format.BINARY for one in parameters
        ]
        pgconn.send_query_prepared(name, [_written(one) for one in parameters], formats)
    pgconn.pipeline_sync()
    results: list[PGresult] = []
    try:
        yield from send(pgconn)
        while (answer := (yield from fetch_many(pgconn)))[0].status != ExecStatus.PIPELINE_SYNC:
            results += answer
    except psycopg.OperationalError:
        _raise_failure(results)  # the server may have said why it goes away
        raise
    pgconn.exit_pipeline_mode()
    _raise_failure(results)
    known.names.update(fresh)
    return results[len(fresh) :]


def _written(value: Parameter) -> bytes:
    if isinstance(value, Column | Rows):
        return value.data
    return value if isinstance(value, bytes) else str(value).encode()


def _raise_failure(results: Sequence[PGresult]) -> None:
    for result in results:
        if result.status == ExecStatus.FATAL_ERROR:
            raise error_from_result(result)


def _rows(transformer: Transformer, result: PGresult) -> list[Row]:
    transformer.set_pgresult(result)
    return transformer.load_rows(0, result.ntuples, tuple)
