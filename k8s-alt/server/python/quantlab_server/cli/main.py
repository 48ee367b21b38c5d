"""The `quantlab` command: registers the commands, turns refusals into one sentence."""

import sys
from typing import Any

import typer

from quantlab_server.cli import (
    audit,
    aws_local,
    calendars,
    db,
    demo,
    inbox,
    keys,
    openapi,
    replay,
    role,
    rules,
    signal,
    tenant,
    up,
    watch,
)
from quantlab_server.refusal import Refusal


class _Cli(typer.Typer):
    def __call__(self, *arguments: Any, **options: Any) -> Any:
        try:
            return super().__call__(*arguments, **options)
        except Refusal as refusal:
            sys.stderr.write(f"{refusal}\n")
            sys.exit(1)


app = _Cli(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Run and look after QuantLabEngine.",
)
app.command("up")(up.up)
app.command("down")(up.down)
app.add_typer(aws_local.app, name="aws-local")
app.command("watch")(watch.watch)
app.command("demo")(demo.demo)
app.add_typer(calendars.app, name="calendars")
app.add_typer(db.app, name="db")
app.add_typer(role.app, name="role")
app.add_typer(tenant.tenant_app, name="tenant")
app.command("openapi")(openapi.openapi)
app.add_typer(keys.app, name="keys")
app.add_typer(signal.app, name="signal")
app.add_typer(audit.app, name="audit")
app.add_typer(inbox.app, name="inbox")
app.add_typer(rules.app, name="rules")
app.add_typer(replay.app, name="replay")
