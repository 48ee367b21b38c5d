"""What the CDK is asked to do, and what it answers."""

import json
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from quantlab_server import plan
from quantlab_server.aws_local.cloud import ACCOUNT, REGION, STAGE, Cloud
from quantlab_server.children import Program
from quantlab_server.private_files import read_json_object
from quantlab_server.refusal import Refusal

CDK: Final = Path("infra/cdk/node_modules/.bin/cdk")
STOP_WAIT_S: Final = 5.0
# The stacks; the stores' secret is filled between the spine and the tenants.
SPINE: Final = "Spine"
TENANTS: Final = "Tenants"
ALARMS: Final = "Alarms"
OUTPUTS_FILE: Final = "cdk-outputs.json"
DEFAULT_STAGE: Final = "/$default"
OUTPUTS: Final = ("HttpUrl", "SocketUrl", "Environment")
# What the templates are worth, `make synth` and the tests judge: not every start of a local cloud.
QUIET: Final = {
    "CDK_DISABLE_CLI_TELEMETRY": "true",
    "CDK_VALIDATION": "false",
    "NO_COLOR": "1",
    "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "1",
    "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "1",
}


@dataclass(frozen=True, slots=True)
class Deployment:
    """What the spine made, as far as programs outside of it need it."""

    url: str
    ws_url: str
    variables: Mapping[str, str]


class Cdk:
    """The command lines of one state folder's deployment."""

    def __init__(
        self, state: Path, configs: Path, cloud: Cloud, environment: Mapping[str, str]
    ) -> None:
        self._root = plan.root_folder()
        if not (self._root / CDK).exists():
            raise Refusal(f"the CDK is not installed ({CDK} is missing): run make aws-local.")
        self._environment = {**environment, **QUIET, "PATH": _path(self._root, environment)}
        self._state = state
        self._assembly = state / "cdk.out"
        self._outputs = state / OUTPUTS_FILE
        self._context = {
            "stage": STAGE,
            "local_endpoint": cloud.endpoint,
            "configs": str(configs),
        }

    def bootstrap(self) -> Program:
        """Say how the account is made ready; where no app lies, or the CDK would synth that too."""
        program = self._program("bootstrap", "bootstrap", f"aws://{ACCOUNT}/{REGION}")
        return replace(program, folder=self._state)

    def synth(self) -> Program:
        """Say how the stacks are written down; a report of an earlier run would be believed."""
        shutil.rmtree(self._assembly, ignore_errors=True)
        context = (word for pair in self._context.items() for word in ("-c", "=".join(pair)))
        written = ("--quiet", "--no-staging", "--output", str(self._assembly))
        return self._program("synth", "synth", *written, *context)

    def deploy_spine(self) -> Program:
        """Say how functions, gateways and queues are deployed."""
        self._outputs.unlink(missing_ok=True)
        return self._deploy("deploy", SPINE, "--outputs-file", str(self._outputs))

    def deploy_tenants(self) -> Program:
        """Say how the rest is deployed, at once, once the stores' secret is filled."""
        rest = (TENANTS, ALARMS, "--exclusively", "--concurrency", "2")
        return self._deploy("deploy-tenants", *rest)

    def deployment(self) -> Deployment:
        """Read what the last deploy of the spine made."""
        return deployment_of(self._state)

    def _deploy(self, name: str, *arguments: str) -> Program:
        return self._program(
            name,
            *("deploy", "--app", str(self._assembly), "--require-approval", "never"),
            *("--method", "direct", "--progress", "events", *arguments),
        )

    def _program(self, name: str, *arguments: str) -> Program:
        return Program(
            name=f"cdk-{name}",
            argv=(str(self._root / CDK), *arguments),
            environment=self._environment,
            stop_signal=signal.SIGTERM,
            stop_wait_s=STOP_WAIT_S,
            sweeps=True,
            folder=self._root,
        )


def deployment_of(state: Path) -> Deployment:
    """Read what the spine of a state folder's local cloud says of itself."""
    path = state / OUTPUTS_FILE
    found: dict[str, str] = {}
    for stack in read_json_object(path).values():
        found.update(stack)
    missing = [name for name in OUTPUTS if name not in found]
    if missing:
        raise Refusal(f"{path} lacks {', '.join(missing)}: the stacks must name them.")
    url, ws_url, variables = (found[name] for name in OUTPUTS)
    # Without its stage the address works as well, and is no variable to a shell.
    return Deployment(url.removesuffix(DEFAULT_STAGE), ws_url, json.loads(variables))


def _path(root: Path, environment: Mapping[str, str]) -> str:
    """Put the Python and the uv of this installation before all others."""
    ours = (str(root / ".venv" / "bin"), str(root / ".venv" / "uv" / "bin"))
    return ":".join((*ours, environment.get("PATH", "/usr/bin:/bin")))
