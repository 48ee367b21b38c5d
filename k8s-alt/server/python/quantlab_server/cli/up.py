"""`quantlab up` and `quantlab down`: the whole platform as one supervised group."""

import shlex
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from quantlab_app.ports.errors import Misconfigured
from quantlab_edge.compose import check_feed
from quantlab_server import demo as demos
from quantlab_server import plan
from quantlab_server.cli.printing import Json, print_json, refuse
from quantlab_server.cli.stages import STATES, Stage
from quantlab_server.detach import Report, start_detached
from quantlab_server.group import stop_group
from quantlab_server.logs import Console, Output
from quantlab_server.private_files import private_folder
from quantlab_server.refusal import Refusal
from quantlab_server.supervisor import Options, Ready, Supervisor

FEEDS: Final = ("synthetic", "replay:")
State = Annotated[Path, typer.Option(envvar="STATE", help="Folder of everything that is kept.")]
Feed = Annotated[
    str,
    typer.Option(
        envvar="FEED",
        help="synthetic, replay:FILE[:symbol=S][:speed=N][:loop=1], or both with a comma",
    ),
]


def up(
    port: Annotated[int, typer.Option(envvar="PORT", min=1, max=65535)] = 8080,
    state: State = Path(".state"),
    feed: Feed = "synthetic",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    *,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return as soon as the group is healthy.")
    ] = False,
    json: Json = False,
) -> None:
    """Start stores, migrations, demo tenants and all roles; Ctrl-C ends them."""
    options = Options(state.absolute(), host, port, checked_feed(feed))
    if detach:
        _detached(options, as_json=json)
        return
    report = Report.asked_for()
    try:
        private_folder(options.state)
        # With --json the one document alone goes to standard output.
        lines = sys.stderr if json else sys.stdout
        console = None if report.wanted else Console(lines)
        output = Output(options.state / "logs", console)
        announce = _announcer(report, as_json=json)
        supervisor = Supervisor(options, output, seed=demos.seed, announce=announce)
        supervisor.run(plan.roles_of(plan.manifests()))
    except Refusal as refusal:
        report.refusal(str(refusal))
        refuse(str(refusal))


def down(state: State = Path(".state"), *, json: Json = False) -> None:
    """End the group that runs on a state folder and wait until it has ended."""
    try:
        stopped = stop_group(state.absolute())
    except Refusal as refusal:
        refuse(str(refusal))
    if json:
        print_json({"state": str(state.absolute()), "stopped": stopped})
    else:
        sys.stdout.write(f"{'stopped' if stopped else 'nothing runs'} on {state}\n")


def checked_feed(feed: str) -> str:
    """Refuse a feed nobody knows, before anything starts."""
    if not feed.startswith(FEEDS):
        refuse(f"FEED: expected synthetic or replay:FILE, got {feed!r}.")
    try:
        check_feed(feed, demos.config_folder())
    except Misconfigured as error:
        refuse(f"{str(error).replace('feed:', 'FEED:', 1)}.")
    return feed


def _print_block(facts: dict[str, Any]) -> None:
    state = Path(facts["state"])
    options = (
        () if state == STATES[Stage.LOCAL].absolute() else ("--state", shlex.quote(str(state)))
    )
    sys.stdout.write(f"{demos.block(facts['demo'], *options)}\nlogs: {state / 'logs'}\n")
    sys.stdout.flush()


def _announcer(report: Report, *, as_json: bool) -> Callable[[Ready], None]:
    def announce(ready: Ready) -> None:
        document = demos.addressed(dict(ready.demo), ready.state, ready.url)
        facts = {**asdict(ready), "demo": document, "state": str(ready.state)}
        if report.wanted:
            report.ready(facts)
        elif as_json:
            print_json(facts)
        else:
            _print_block(facts)

    return announce


def _detached(options: Options, *, as_json: bool) -> None:
    """Start the supervisor in a session of its own and wait for what it reports."""
    arguments = {"port": options.port, "state": options.state, "feed": options.feed}
    flags = [word for key, value in arguments.items() for word in (f"--{key}", str(value))]
    try:
        facts = start_detached(
            ("up", "--host", options.host, *flags), options.state, lambda _: None
        )
    except Refusal as refusal:
        refuse(str(refusal))
    if as_json:
        print_json(facts)
    else:
        _print_block(facts)
