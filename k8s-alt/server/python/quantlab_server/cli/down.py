"""`quantlab down`: the end of a group; it loads nothing of what it ends."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from quantlab_server.cli.printing import Json, print_json, refuse
from quantlab_server.group import stop_group
from quantlab_server.refusal import Refusal


def down(
    state: Annotated[
        Path, typer.Option(envvar="STATE", help="Folder of everything that is kept.")
    ] = Path(".state"),
    *,
    json: Json = False,
) -> None:
    """End the group that runs on a state folder and wait until it has ended."""
    try:
        stopped = stop_group(state.absolute())
    except Refusal as refusal:
        refuse(str(refusal))
    if json:
        print_json({"state": str(state.absolute()), "stopped": stopped})
    else:
        sys.stdout.write(f"{'stopped' if stopped else 'nothing runs'} on {state}\n")
