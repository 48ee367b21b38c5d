"""The database and its three roles, made once by an administrator; tables come by migration.

quantlab_owner owns the schema and runs migrations, quantlab_app is what the servers log in as and
owns nothing, quantlab_lookup owns the few SECURITY DEFINER functions and cannot log in. None is a
superuser, none bypasses row-level security.
"""

import time
from typing import Final

import psycopg
from psycopg import sql

DATABASE: Final = "quantlab"
OWNER: Final = "quantlab_owner"
APP: Final = "quantlab_app"
LOOKUP: Final = "quantlab_lookup"
ATTEMPT_EVERY_S: Final = 0.05
CONNECT_TIMEOUT_S: Final = 5


class SetupRefusedError(Exception):
    """Say why the database cannot be set up."""


def answers(dsn: str) -> bool:
    """Tell whether the server lets us log in; a refusal takes a moment, so callers may loop."""
    try:
        with psycopg.connect(dsn, connect_timeout=CONNECT_TIMEOUT_S) as connection:
            connection.execute("select 1")
    except psycopg.OperationalError:
        time.sleep(ATTEMPT_EVERY_S)
        return False
    return True


def prepare(
    administrator_dsn: str, *, owner_password: str, app_password: str, database: str = DATABASE
) -> None:
    """Make the roles and the database, or bring existing ones to the wanted shape."""
    with psycopg.connect(administrator_dsn, autocommit=True) as connection:
        _make_roles(connection, owner_password, app_password)
        _make_database(connection, database)
    with psycopg.connect(administrator_dsn, dbname=database, autocommit=True) as connection:
        _grant(connection, database)


def copy_database(administrator_dsn: str, template: str, database: str) -> None:
    """Make a database equal to a template nobody is connected to, with the same grants."""
    with psycopg.connect(administrator_dsn, autocommit=True) as connection:
        connection.execute(
            sql.SQL("create database {} template {} strategy file_copy owner {}").format(
                sql.Identifier(database), sql.Identifier(template), sql.Identifier(OWNER)
            )
        )
    with psycopg.connect(administrator_dsn, dbname=database, autocommit=True) as connection:
        _grant(connection, database)


def drop_database(administrator_dsn: str, database: str) -> None:
    """Drop a database, ending the sessions it still has."""
    with psycopg.connect(administrator_dsn, autocommit=True) as connection:
        connection.execute(
            sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(database))
        )


def _make_roles(
    connection: psycopg.Connection[tuple[object, ...]], owner_password: str, app_password: str
) -> None:
    for name in (OWNER, APP, LOOKUP):
        known = connection.execute("select 1 from pg_roles where rolname = %s", (name,)).fetchone()
        if known is None:
            connection.execute(sql.SQL("create role {} nologin").format(sql.Identifier(name)))
    for name, password in ((OWNER, owner_password), (APP, app_password)):
        # Hashed here: the password itself never reaches the server or its log.
        verifier = connection.pgconn.encrypt_password(
            password.encode(), name.encode(), b"scram-sha-256"
        ).decode()
        connection.execute(
            sql.SQL("alter role {} login password {}").format(
                sql.Identifier(name), sql.Literal(verifier)
            )
        )
    too_strong = connection.execute(
        "select rolname from pg_roles where rolname = any(%s) and (rolsuper or rolbypassrls)",
        ([OWNER, APP, LOOKUP],),
    ).fetchall()
    if too_strong:
        raise SetupRefusedError(
            f"role {too_strong[0][0]} is a superuser or bypasses row-level security: "
            "expected neither; alter it and try again"
        )
    connection.execute(
        sql.SQL("grant {} to {}").format(sql.Identifier(LOOKUP), sql.Identifier(OWNER))
    )


def _make_database(connection: psycopg.Connection[tuple[object, ...]], database: str) -> None:
    known = connection.execute(
        "select 1 from pg_database where datname = %s", (database,)
    ).fetchone()
    if known is not None:
        return
    administrator = connection.execute(
        "select rolsuper from pg_roles where rolname = current_user"
    ).fetchone()
    if administrator is not None and not administrator[0]:
        # Managed servers: only a member of the owning role may give a database to it.
        connection.execute(sql.SQL("grant {} to current_user").format(sql.Identifier(OWNER)))
    connection.execute(
        sql.SQL("create database {} owner {}").format(
            sql.Identifier(database), sql.Identifier(OWNER)
        )
    )


def _grant(connection: psycopg.Connection[tuple[object, ...]], database: str) -> None:
    name = sql.Identifier(database)
    app, lookup = sql.Identifier(APP), sql.Identifier(LOOKUP)
    for statement in (
        sql.SQL("revoke all on database {} from public").format(name),
        sql.SQL("grant connect on database {} to {}").format(name, app),
        sql.SQL("revoke create on schema public from public"),
        sql.SQL("grant usage on schema public to {}").format(app),
        # A function can only be given to a role that may create in its schema.
        sql.SQL("grant usage, create on schema public to {}").format(lookup),
    ):
        connection.execute(statement)
