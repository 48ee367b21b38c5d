"""`quantlab demo`: the credentials of the demo tenants."""

import json as jsons
import shlex
import sys

from quantlab_server import demo_file as demos
from quantlab_server.cli.printing import Json, print_json, refuse
from quantlab_server.cli.stages import STARTERS, Stage, StageOption, StateOption, state_of


def demo(
    state: StateOption = None, stage: StageOption = Stage.LOCAL, *, json: Json = False
) -> None:
    """Print addresses, logins, keys and bots of the demo tenants, for the demo tenants only."""
    path = state_of(stage, state) / demos.FILE
    try:
        document = jsons.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        refuse(f"expected the demo's credentials in {path}: {error}; run {STARTERS[stage]} first")
    if json:
        print_json(document)
    else:
        options: tuple[str, ...] = () if stage is Stage.LOCAL else ("--stage", str(stage))
        if state is not None:
            options += ("--state", shlex.quote(str(state)))
        sys.stdout.write(demos.block(document, *options) + "\n")
