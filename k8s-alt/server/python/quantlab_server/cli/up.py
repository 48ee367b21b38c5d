"""`quantlab up` and `quantlab down`: the whole platform as one supervised group."""

import json as jsons
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from quantlab_server import demo as demos
from quantlab_server import plan
from quantlab_server.cli.printing import Json, print_facts, print_json, refuse
from quantlab_server.group import stop_group
from quantlab_server.logs import Console, Output
from quantlab_server.private_files import private_folder
from quantlab_server.refusal import Refusal
from quantlab_server.supervisor import Options, Ready, Supervisor

REPORT_FD: Final = "QUANTLAB_REPORT_FD"
FEEDS: Final = ("synthetic", "replay:")
State = Annotated[Path, typer.Option(envvar="STATE", help="Folder of everything that is kept.")]


def up(
    port: Annotated[int, typer.Option(envvar="PORT", min=1, max=65535)] = 8080,
    state: State = Path(".state"),
    feed: Annotated[
        str,
        typer.Option(
            envvar="FEED",
            help="synthetic, replay:FILE[:symbol=S][:speed=N][:loop=1], or both with a comma",
        ),
    ] = "synthetic",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    *,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return as soon as the group is healthy.")
    ] = False,
    json: Json = False,
) -> None:
    """Start stores, migrations, demo tenants and all roles; Ctrl-C ends them."""
    if not feed.startswith(FEEDS):
        refuse(f"FEED: expected synthetic or replay:FILE, got {feed!r}.")
    options = Options(state.absolute(), host, port, feed)
    if detach:
        _detached(options, as_json=json)
        return
    report_fd = os.environ.pop(REPORT_FD, None)
    report = None if report_fd is None else int(report_fd)
    try:
        private_folder(options.state)
        # With --json the one document alone goes to standard output.
        lines = sys.stderr if json else sys.stdout
        console = Console(lines) if report is None else None
        output = Output(options.state / "logs", console)
        announce = _announcer(report, as_json=json)
        supervisor = Supervisor(options, output, seed=demos.seed, announce=announce)
        supervisor.run(plan.roles_of(plan.manifests()))
    except Refusal as refusal:
        _report(report, {"refusal": str(refusal)})
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


def _block(ready: Ready, document: dict[str, Any]) -> str:
    return f"{demos.block(document)}\nlogs: {ready.state / 'logs'}\n"


def _announcer(report: int | None, *, as_json: bool) -> Callable[[Ready], None]:
    def announce(ready: Ready) -> None:
        document = demos.addressed(dict(ready.demo), ready.state, ready.url)
        facts = {**asdict(ready), "demo": document, "state": str(ready.state)}
        if report is not None:
            _report(report, {"ready": facts, "block": _block(ready, document)})
        elif as_json:
            print_json(facts)
        else:
            sys.stdout.write(_block(ready, document))
            sys.stdout.flush()

    return announce


def _report(descriptor: int | None, value: dict[str, Any]) -> None:
    if descriptor is not None:
        with os.fdopen(descriptor, "w", encoding="utf-8") as pipe:
            pipe.write(jsons.dumps(value, default=str))


def _detached(options: Options, *, as_json: bool) -> None:
    """Start the supervisor in a session of its own and wait for what it reports."""
    try:
        logs = private_folder(private_folder(options.state) / "logs")
    except Refusal as refusal:
        refuse(str(refusal))
    read, write = os.pipe()
    arguments = {"port": options.port, "state": options.state, "feed": options.feed}
    flags = [word for key, value in arguments.items() for word in (f"--{key}", str(value))]
    with (logs / "detached.log").open("ab") as log:
        subprocess.Popen(  # noqa: S603
            (sys.executable, "-m", "quantlab_server", "up", "--host", options.host, *flags),
            env={**os.environ, REPORT_FD: str(write)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(write,),
            start_new_session=True,
        )
    os.close(write)
    with os.fdopen(read, encoding="utf-8") as pipe:
        text = pipe.read()
    if not text:
        refuse(f"the group ended before it was ready; see {logs / 'detached.log'}.")
    report: dict[str, Any] = jsons.loads(text)
    if "refusal" in report:
        refuse(str(report["refusal"]))
    if as_json:
        print_facts(report["ready"], as_json=True)
    else:
        sys.stdout.write(str(report["block"]))
