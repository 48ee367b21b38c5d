"""The platform on a local cloud as one group: stores, MiniStack, the deployed stacks, workers."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from quantlab_manifest import Manifest
from quantlab_server import demo_file as demos
from quantlab_server import plan
from quantlab_server.addresses import port_is_free
from quantlab_server.aws_local.cloud import (
    READY_FILE,
    Cloud,
    choose_cloud,
    cloud_variables,
    ministack,
)
from quantlab_server.aws_local.deploy import Cdk, Deployment
from quantlab_server.children import Program
from quantlab_server.logs import Output
from quantlab_server.private_files import read_json_object, write_private_json
from quantlab_server.refusal import Refusal
from quantlab_server.supervision import Supervision

CLOUD_WAIT_S: Final = 60.0
DEPLOY_WAIT_S: Final = 600.0
PROGRAM_WAIT_S: Final = 120.0
HEALTH_WAIT_S: Final = 90.0


@dataclass(frozen=True, slots=True)
class AwsOptions:
    """What `make aws-local` may choose."""

    state: Path
    port: int
    feed: str


@dataclass(frozen=True, slots=True)
class AwsReady:
    """What is known when the stacks answer."""

    url: str
    state: Path
    feed: str
    demo: Mapping[str, Any]
    processes: Mapping[str, int]


class AwsSupervisor:
    """Run one group; everything of it ends with this process."""

    def __init__(
        self,
        options: AwsOptions,
        output: Output,
        workers: tuple[Manifest, ...],
        *,
        tell: Callable[[str], None],
        announce: Callable[[AwsReady], None],
    ) -> None:
        self._options = options
        self._workers = workers
        self._tell = tell
        self._announce = announce
        self._group = Supervision(options.state, output)
        self._configs = Path(os.environ.get("QUANTLAB_CONFIGS", demos.CONFIGS)).absolute()
        self._began = time.monotonic()

    def run(self) -> None:
        """Start everything, announce it, and keep it running until asked to stop."""
        self._group.run(self._live)

    def _live(self) -> None:
        state = self._options.state
        cloud = self._cloud()
        variables = cloud_variables(cloud, os.environ)
        cdk = Cdk(state, self._configs, cloud, variables)
        self._step(f"PostgreSQL, Valkey and {'MiniStack' if cloud.ours else cloud.endpoint}")
        self._group.start_stores()
        self._start_cloud(cloud)
        deployment, variables = self._deploy(cdk, variables)
        self._step("demo users, accounts and bots")
        self._run("contents", variables)
        self._step(f"workers: {', '.join(worker.name for worker in self._workers)}")
        self._group.start_roles(tuple(_worker(worker, variables) for worker in self._workers))
        path = f"{deployment.url.removeprefix(cloud.endpoint)}/health"
        self._group.wait_until(lambda: _healthy(cloud.get(path)), HEALTH_WAIT_S, "ministack")
        demo = read_json_object(state / demos.FILE)
        demo = demos.addressed(demo, state, deployment.url, deployment.ws_url)
        self._step("ready")
        ready = AwsReady(demo["url"], state, self._options.feed, demo, self._group.pids())
        write_private_json(state / READY_FILE, {**asdict(ready), "state": str(state), "demo": None})
        self._announce(ready)
        while True:
            self._group.look_after()

    def _step(self, text: str) -> None:
        line = f"{time.monotonic() - self._began:6.1f} s  {text}"
        self._group.say(line)
        self._tell(line)

    def _cloud(self) -> Cloud:
        port = self._options.port
        cloud = choose_cloud(port, os.environ)
        if cloud.ours and not port_is_free(port):
            raise Refusal(
                f"port {port} on 127.0.0.1 is taken; choose another: make aws-local "
                f"AWS_PORT={port + 1}"
            )
        if not cloud.ours and not cloud.answers():
            raise Refusal(f"AWS_ENDPOINT_URL={cloud.endpoint}: no local cloud answers there.")
        return cloud

    def _start_cloud(self, cloud: Cloud) -> None:
        if cloud.ours:
            self._group.start_platform(ministack(cloud, self._options.state, os.environ))
            self._group.wait_until(cloud.answers, CLOUD_WAIT_S, "ministack")

    def _deploy(self, cdk: Cdk, cloud: Mapping[str, str]) -> tuple[Deployment, dict[str, str]]:
        """Deploy everything; return what was made, and the variables of programs beside it."""
        self._step("cdk bootstrap, cdk synth")
        self._group.complete(cdk.bootstrap(), cdk.synth(), wait_s=DEPLOY_WAIT_S)
        self._step("cdk deploy: the spine")
        self._group.complete(cdk.deploy_spine(), wait_s=DEPLOY_WAIT_S)
        deployment = cdk.deployment()
        variables = {
            **deployment.variables,
            **cloud,
            "QUANTLAB_CONFIGS": str(self._configs),
            "QUANTLAB_FEED": self._options.feed,
        }
        self._run("secrets", variables)
        self._step("cdk deploy: the tenants and the alarms")
        self._group.complete(cdk.deploy_tenants(), wait_s=DEPLOY_WAIT_S)
        return deployment, variables

    def _run(self, name: str, variables: Mapping[str, str]) -> None:
        module = f"quantlab_server.aws_local.{name}"
        program = _program(
            name, ("-m", module, str(self._options.state)), variables, f"deploy/{name}"
        )
        self._group.complete(program, wait_s=PROGRAM_WAIT_S)


def _healthy(answer: bytes | None) -> bool:
    """Tell whether the health that was read says that a feed runs, too."""
    return answer is not None and json.loads(answer)["feedClockAgeMs"] is not None


def _worker(worker: Manifest, variables: Mapping[str, str]) -> Program:
    return _program(
        f"worker:{worker.name}",
        ("-m", "quantlab_server", "role", "worker", worker.name),
        variables,
        f"worker/{worker.name}",
    )


def _program(
    name: str, arguments: tuple[str, ...], variables: Mapping[str, str], function: str
) -> Program:
    return Program(
        name=name,
        argv=(sys.executable, *arguments),
        environment={**variables, "QUANTLAB_FUNCTION": function},
        stop_signal=signal.SIGTERM,
        stop_wait_s=plan.ROLE_STOP_WAIT_S,
    )
