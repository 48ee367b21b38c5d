"""The local cloud: MiniStack as a child of the group, or an endpoint that somebody else runs."""

import http.client
import os
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from quantlab_server import plan
from quantlab_server.addresses import LOOPBACK
from quantlab_server.children import Program
from quantlab_server.private_files import private_folder
from quantlab_server.refusal import Refusal

ACCOUNT: Final = "000000000000"
REGION: Final = "us-east-1"
STAGE: Final = "aws-local"
ENDPOINT: Final = "AWS_ENDPOINT_URL"
ENVIRONMENT: Final = Path(".venv/aws-local")
MINISTACK: Final = Path("infra/aws_local/run_ministack.py")
READY_FILE: Final = "cloud-ready.json"
HEALTH_PATH: Final = "/_localstack/health"  # MiniStack and LocalStack both answer it
ANSWER_WAIT_S: Final = 5.0
STOP_WAIT_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Cloud:
    """Where the local cloud listens, and whether it is ours to start and to end."""

    endpoint: str
    ours: bool

    def answers(self) -> bool:
        """Tell whether something healthy listens there."""
        return self.get(HEALTH_PATH) is not None

    def get(self, path: str) -> bytes | None:
        """Return what a path answers when all is well there."""
        url = urlsplit(self.endpoint)
        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        connection = kind(url.hostname or LOOPBACK, url.port, timeout=ANSWER_WAIT_S)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.read() if answer.status == http.HTTPStatus.OK else None
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()


def choose_cloud(port: int, environment: Mapping[str, str]) -> Cloud:
    """Take the endpoint the environment names, or a MiniStack of our own on the port."""
    named = environment.get(ENDPOINT, "").rstrip("/")
    if not named:
        return Cloud(f"http://{LOOPBACK}:{port}", ours=True)
    url = urlsplit(named)
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise Refusal(f"{ENDPOINT}: expected http://HOST:PORT of a local cloud, got {named!r}.")
    if url.hostname.endswith("amazonaws.com"):
        raise Refusal(f"{ENDPOINT} names AWS itself ({url.hostname}); unset it for a local cloud.")
    return Cloud(named, ours=False)


def cloud_variables(cloud: Cloud, environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment that reaches this cloud and no other, whoever is logged in to AWS."""
    kept = {name: value for name, value in environment.items() if not name.startswith("AWS_")}
    return {
        **kept,
        ENDPOINT: cloud.endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "PYTHONUNBUFFERED": "1",
    }


def ministack(cloud: Cloud, state: Path, environment: Mapping[str, str]) -> Program:
    """Say how MiniStack is started: on this machine's loopback, its files inside the state folder.

    Lambdas inherit its environment, so it carries nothing of ours that the stack should give them.
    """
    python = plan.root_folder() / ENVIRONMENT / "bin" / "python"
    if not python.exists():
        raise Refusal(f"MiniStack is not installed in {ENVIRONMENT}: run make aws-local.")
    folder = state / "ministack"
    shutil.rmtree(folder, ignore_errors=True)  # of a MiniStack that was killed
    private_folder(folder)
    kept = {name: value for name, value in environment.items() if not _foreign(name)}
    return Program(
        name="ministack",
        argv=(str(python), "-P", str(plan.root_folder() / MINISTACK)),
        environment={
            **cloud_variables(cloud, kept),
            "GATEWAY_PORT": str(urlsplit(cloud.endpoint).port),
            "BIND_HOST": LOOPBACK,
            "LAMBDA_EXECUTOR": "local",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "LOG_LEVEL": environment.get("LOG_LEVEL", "INFO"),
            "TMPDIR": str(folder),
            "STATE_DIR": str(folder),
            "S3_DATA_DIR": str(folder),
        },
        stop_signal=signal.SIGTERM,
        stop_wait_s=STOP_WAIT_S,
        sweeps=True,
        scratch=folder,
    )


def _foreign(name: str) -> bool:
    return name.startswith(
        ("QUANTLAB_", "PYTHON", "PERSIST", "S3_PERSIST", "LOCALSTACK_", "VIRTUAL_")
    )
