"""`quantlab up` in the foreground: the supervisor, and all that it loads."""

import sys
from collections.abc import Callable
from dataclasses import asdict

from quantlab_server import demo as demos
from quantlab_server import plan
from quantlab_server.cli.printing import print_json, refuse
from quantlab_server.cli.up import print_block
from quantlab_server.demo_file import addressed
from quantlab_server.detach import Report
from quantlab_server.logs import Console, Output
from quantlab_server.private_files import private_folder
from quantlab_server.refusal import Refusal
from quantlab_server.supervisor import Options, Ready, Supervisor


def supervise(options: Options, *, as_json: bool) -> None:
    """Run the group until it is asked to stop."""
    report = Report.asked_for()
    try:
        private_folder(options.state)
        # With --json the one document alone goes to standard output.
        lines = sys.stderr if as_json else sys.stdout
        console = None if report.wanted else Console(lines)
        output = Output(options.state / "logs", console)
        announce = _announcer(report, as_json=as_json)
        supervisor = Supervisor(options, output, seed=demos.seed, announce=announce)
        supervisor.run(plan.roles_of(plan.manifests()))
    except Refusal as refusal:
        report.refusal(str(refusal))
        refuse(str(refusal))


def _announcer(report: Report, *, as_json: bool) -> Callable[[Ready], None]:
    def announce(ready: Ready) -> None:
        document = addressed(dict(ready.demo), ready.state, ready.url)
        facts = {**asdict(ready), "demo": document, "state": str(ready.state)}
        if report.wanted:
            report.ready(facts)
        elif as_json:
            print_json(facts)
        else:
            print_block(facts)

    return announce
