"""`quantlab aws-local`: the functions deployed to a local cloud, as one group in the background."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from quantlab_server import demo_file as demos
from quantlab_server.aws_local.cloud import READY_FILE
from quantlab_server.cli.printing import Json, print_json
from quantlab_server.cli.stages import Stage, StateOption, state_of
from quantlab_server.cli.up import Feed, checked_feed
from quantlab_server.detach import Report, start_detached
from quantlab_server.group import stop_group, supervisor_of
from quantlab_server.private_files import read_json_object
from quantlab_server.refusal import Refusal

app = typer.Typer(no_args_is_help=True, help="Run the deployed functions on a local cloud.")


@app.command()
def up(
    port: Annotated[int, typer.Option(envvar="AWS_PORT", min=1, max=65535)] = 4566,
    state: StateOption = None,
    feed: Feed = "synthetic",
    *,
    json: Json = False,
) -> None:
    """Start stores and cloud, deploy, fill, start the workers; return once all of it answers."""
    folder, feed = state_of(Stage.AWS_LOCAL, state).absolute(), checked_feed(feed)
    report = Report.asked_for()
    if report.wanted:
        from quantlab_server.aws_local.supervisor import AwsOptions
        from quantlab_server.cli.aws_foreground import supervise

        supervise(AwsOptions(folder, port, feed), report)
        return
    supervisor = supervisor_of(folder)
    if supervisor is not None:
        _show(_running(folder, supervisor), as_json=json)
        return
    flags = ("--port", str(port), "--state", str(folder), "--feed", feed)
    told = sys.stderr if json else sys.stdout

    def tell(text: str) -> None:
        told.write(f"{text}\n")
        told.flush()

    _show(start_detached(("aws-local", "up", *flags), folder, tell), as_json=json)


@app.command()
def down(state: StateOption = None, *, json: Json = False) -> None:
    """End the group that runs on a state folder; its database stays, the cloud's contents go."""
    folder = state_of(Stage.AWS_LOCAL, state)
    stopped = stop_group(folder.absolute())
    if json:
        print_json({"state": str(folder.absolute()), "stopped": stopped})
    else:
        sys.stdout.write(f"{'stopped' if stopped else 'nothing runs'} on {folder}\n")


def _running(state: Path, supervisor: int) -> dict[str, Any]:
    """Return what a group that already runs announced when it was ready."""
    path = state / READY_FILE
    ready = read_json_object(path) if path.exists() else {}
    if ready.get("processes", {}).get("supervisor") != supervisor:
        raise Refusal(
            f"process {supervisor} holds {state} and has not become ready; wait for it, or end it: "
            f"make aws-local-down AWS_STATE={state}"
        )
    sys.stderr.write(f"already running on {state} (process {supervisor})\n")
    return {**ready, "demo": read_json_object(state / demos.FILE)}


def _show(ready: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(ready)
        return
    state = Path(ready["state"])
    usual = state == state_of(Stage.AWS_LOCAL, None).absolute()
    options = ("--stage", str(Stage.AWS_LOCAL), *(() if usual else ("--state", str(state))))
    down = "make aws-local-down" if usual else f"make aws-local-down AWS_STATE={state}"
    block = demos.block(ready["demo"], *options)
    sys.stdout.write(f"{block}\nlogs: {state / 'logs'}\nend it: {down}\n")
