"""`quantlab demo`: the credentials of the demo tenants."""

import json as jsons
import sys
from pathlib import Path
from typing import Annotated

import typer

from quantlab_server import demo as demos
from quantlab_server.cli.printing import Json, print_json, refuse

State = Annotated[Path, typer.Option(envvar="STATE", help="Folder of everything that is kept.")]


def demo(state: State = Path(".state"), *, json: Json = False) -> None:
    """Print addresses, logins, keys and bots of the demo tenants, for the demo tenants only."""
    path = state / demos.FILE
    try:
        document = jsons.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        refuse(f"expected the demo's credentials in {path}: {error}; run make up first")
    if json:
        print_json(document)
    else:
        sys.stdout.write(demos.block(document) + "\n")
