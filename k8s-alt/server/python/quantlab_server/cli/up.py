"""`quantlab up`: the whole platform as one supervised group."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from quantlab_server.cli.printing import Json, print_json, refuse
from quantlab_server.cli.stages import STATES, Stage
from quantlab_server.demo_file import block, config_folder
from quantlab_server.detach import start_detached
from quantlab_server.refusal import Refusal

FEEDS: Final = ("synthetic", "replay:")
Feed = Annotated[
    str,
    typer.Option(
        envvar="FEED",
        help="synthetic, replay:FILE[:symbol=S][:speed=N][:loop=1], or both with a comma",
    ),
]


def up(
    port: Annotated[int, typer.Option(envvar="PORT", min=1, max=65535)] = 8080,
    state: Annotated[
        Path, typer.Option(envvar="STATE", help="Folder of everything that is kept.")
    ] = Path(".state"),
    feed: Feed = "synthetic",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    *,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return as soon as the group is healthy.")
    ] = False,
    json: Json = False,
) -> None:
    """Start stores, migrations, demo tenants and all roles; Ctrl-C ends them."""
    folder, feed = state.absolute(), checked_feed(feed)
    if detach:
        flags = ("--host", host, "--port", str(port), "--state", str(folder), "--feed", feed)
        _detached(flags, folder, as_json=json)
        return
    from quantlab_server.cli.foreground import supervise
    from quantlab_server.supervisor import Options

    supervise(Options(folder, host, port, feed), as_json=json)


def checked_feed(feed: str) -> str:
    """Refuse a feed nobody knows, before anything starts."""
    if not feed.startswith(FEEDS):
        refuse(f"FEED: expected synthetic or replay:FILE, got {feed!r}.")
    if feed != "synthetic":
        from quantlab_app.ports.errors import Misconfigured
        from quantlab_edge.compose import check_feed

        try:
            check_feed(feed, config_folder())
        except Misconfigured as error:
            refuse(f"{str(error).replace('feed:', 'FEED:', 1)}.")
    return feed


def print_block(facts: dict[str, Any]) -> None:
    """Print what a person wants to know of a group that is ready."""
    state = Path(facts["state"])
    options = (
        () if state == STATES[Stage.LOCAL].absolute() else ("--state", shlex.quote(str(state)))
    )
    sys.stdout.write(f"{block(facts['demo'], *options)}\nlogs: {state / 'logs'}\n")
    sys.stdout.flush()


def _detached(flags: tuple[str, ...], state: Path, *, as_json: bool) -> None:
    """Start the supervisor in a session of its own and wait for what it reports."""
    try:
        facts = start_detached(("up", *flags), state, lambda _: None)
    except Refusal as refusal:
        refuse(str(refusal))
    if as_json:
        print_json(facts)
    else:
        print_block(facts)
