"""`quantlab db`: set up a database server of your own, and migrate."""

import os
from pathlib import Path
from typing import Annotated

import typer

from quantlab_db.migrate import MigrationError, current, migrate, newest
from quantlab_db.setup import DATABASE, SetupRefusedError, answers, prepare
from quantlab_server.cli.printing import Json, print_facts, refuse
from quantlab_server.refusal import Refusal
from quantlab_server.stores import owner_dsn_of

app = typer.Typer(no_args_is_help=True, help="Set up and migrate the database.")
State = Annotated[Path, typer.Option(help="State folder of an embedded, running database.")]
OwnerUrl = Annotated[
    str | None,
    typer.Option(
        envvar="QUANTLAB_OWNER_DATABASE_URL",
        help="postgresql:// address under the login quantlab_owner; instead of --state.",
    ),
]


@app.command()
def init(
    administrator_url: Annotated[
        str,
        typer.Option(
            envvar="QUANTLAB_ADMINISTRATOR_DATABASE_URL",
            help="postgresql:// address under a login that may create roles and databases.",
        ),
    ],
    database: str = DATABASE,
    *,
    json: Json = False,
) -> None:
    """Make the roles and the database on a PostgreSQL server of yours (15 to 18).

    The passwords of quantlab_owner and quantlab_app are read from QUANTLAB_OWNER_PASSWORD and
    QUANTLAB_APP_PASSWORD. Running it again changes the passwords and nothing else.
    """
    passwords = [os.environ.get(f"QUANTLAB_{who}_PASSWORD", "") for who in ("OWNER", "APP")]
    if not all(passwords):
        refuse("QUANTLAB_OWNER_PASSWORD and QUANTLAB_APP_PASSWORD: expected both, got none or one.")
    if not answers(administrator_url):
        refuse("the database server does not let us log in at --administrator-url.")
    try:
        prepare(
            administrator_url,
            owner_password=passwords[0],
            app_password=passwords[1],
            database=database,
        )
    except SetupRefusedError as error:
        refuse(str(error))
    print_facts({"database": database, "prepared": True}, as_json=json)


@app.command("migrate")
def migrate_command(
    state: State = Path(".state"), owner_url: OwnerUrl = None, *, json: Json = False
) -> None:
    """Bring the database to the newest revision."""
    dsn = _owner_dsn(state, owner_url)
    try:
        applied = migrate(dsn)
    except MigrationError as error:
        refuse(str(error))
    print_facts({"applied": applied, "revision": current(dsn)}, as_json=json)


@app.command()
def status(
    state: State = Path(".state"), owner_url: OwnerUrl = None, *, json: Json = False
) -> None:
    """Show the revision of the database and the newest one this program knows."""
    dsn = _owner_dsn(state, owner_url)
    print_facts({"revision": current(dsn), "newest": newest()}, as_json=json)


def _owner_dsn(state: Path, owner_url: str | None) -> str:
    try:
        dsn = owner_url or owner_dsn_of(state)
    except Refusal as refusal:
        refuse(str(refusal))
    if not answers(dsn):
        refuse("the database does not let us log in; is it running? (make up)")
    return dsn
