"""`quantlab aws-local up` as the process that stays: the supervisor, and all that it loads."""

from dataclasses import asdict

from quantlab_server import plan
from quantlab_server.aws_local.supervisor import AwsOptions, AwsReady, AwsSupervisor
from quantlab_server.cli.printing import refuse
from quantlab_server.detach import Report
from quantlab_server.logs import Output
from quantlab_server.private_files import private_folder
from quantlab_server.refusal import Refusal


def supervise(options: AwsOptions, report: Report) -> None:
    """Run the group until it is asked to stop, and report what becomes of it."""

    def announce(ready: AwsReady) -> None:
        report.ready({**asdict(ready), "state": str(ready.state)})

    try:
        private_folder(options.state)
        output = Output(options.state / "logs")
        workers = tuple(
            function
            for function in plan.manifests()
            if function.kind == "worker" and function.runs_on("aws")
        )
        AwsSupervisor(options, output, workers, tell=report.progress, announce=announce).run()
    except Refusal as refusal:
        report.refusal(str(refusal))
        refuse(str(refusal))
