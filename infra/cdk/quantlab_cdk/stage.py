"""Where a deployment goes, from the context: Amazon's cloud, or a local one on this machine."""

import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from aws_cdk import Environment, RemovalPolicy
from aws_cdk.aws_lambda import Architecture, Runtime, RuntimeFamily
from constructs import Node

from quantlab_cdk.places import CONFIGS

StageName = Literal["aws", "aws-local"]

# The newest Python of Lambda that every wheel of the lock file exists for, on arm64.
AWS_PYTHON: Final = "3.14"
AWS_PLATFORM: Final = "aarch64-manylinux_2_28"
LOCAL_ENDPOINT: Final = "http://127.0.0.1:4566"
LOCAL_ACCOUNT: Final = "000000000000"
LOCAL_REGION: Final = "us-east-1"
# Where all functions share one machine, those that start together must not be killed while they do.
LOCAL_TIMEOUT_S: Final = 60
MAIL_SENDER: Final = "QuantLab <no-reply@quantlab.example>"


class WrongContextError(Exception):
    """A context value that this app cannot use."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One deployment's place: its Python and platform, and what its cloud is like.

    platform is uv's name of the machines; none means this very machine.
    """

    name: StageName
    python: str
    platform: str | None
    architecture: Architecture
    runtime: Runtime
    mail_sender: str
    public_url: str | None
    local_endpoint: str | None
    configs: Path
    sweep_image: str | None

    @property
    def is_local(self) -> bool:
        return self.local_endpoint is not None

    @property
    def prefix(self) -> str:
        """What names of this deployment begin with."""
        return f"quantlab-{self.name}"

    @property
    def secrets_prefix(self) -> str:
        return f"quantlab/{self.name}"

    @property
    def environment(self) -> Environment | None:
        """The account and region; on AWS those that the command line's credentials lead to."""
        if not self.is_local:
            return None
        return Environment(account=LOCAL_ACCOUNT, region=LOCAL_REGION)

    def timeout_s(self, stated_s: int) -> int:
        """Return how long a function may take whose manifest states so many seconds."""
        return max(stated_s, LOCAL_TIMEOUT_S) if self.is_local else stated_s

    @property
    def removal(self) -> RemovalPolicy:
        """What becomes of kept data when the stack goes."""
        return RemovalPolicy.DESTROY if self.is_local else RemovalPolicy.RETAIN


def stage_of(node: Node) -> Stage:
    """Read the stage from the context."""
    name = _text(node, "stage") or "aws"
    sender = _text(node, "mail_sender") or MAIL_SENDER
    public_url = _text(node, "public_url")
    configs = Path(_text(node, "configs") or CONFIGS)
    sweep_image = _text(node, "sweep_image")
    if name == "aws":
        return Stage(
            name="aws",
            python=AWS_PYTHON,
            platform=AWS_PLATFORM,
            architecture=Architecture.ARM_64,
            runtime=_runtime(AWS_PYTHON),
            mail_sender=sender,
            public_url=public_url,
            local_endpoint=None,
            configs=configs,
            sweep_image=sweep_image,
        )
    if name == "aws-local":
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        arm = platform.machine() in {"aarch64", "arm64"}
        return Stage(
            name="aws-local",
            python=python,
            platform=None,
            architecture=Architecture.ARM_64 if arm else Architecture.X86_64,
            runtime=_runtime(python),
            mail_sender=sender,
            public_url=public_url,
            local_endpoint=(_text(node, "local_endpoint") or LOCAL_ENDPOINT).rstrip("/"),
            configs=configs,
            sweep_image=sweep_image,
        )
    raise WrongContextError(f"-c stage: expected aws or aws-local, got {name!r}")


def _runtime(python: str) -> Runtime:
    return Runtime(f"python{python}", RuntimeFamily.PYTHON)


def _text(node: Node, key: str) -> str | None:
    value: Any = node.try_get_context(key)
    if value is None or isinstance(value, str):
        return value or None
    raise WrongContextError(f"-c {key}: expected text, got {value!r}")
