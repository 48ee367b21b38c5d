"""The whole platform as one group: stores, demo tenants and roles, in the foreground."""

import http.client
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from quantlab_server import plan
from quantlab_server.addresses import port_is_free
from quantlab_server.children import Program
from quantlab_server.logs import Output
from quantlab_server.refusal import Refusal
from quantlab_server.stores import StoreUrls
from quantlab_server.supervision import Supervision

HEALTH_WAIT_S: Final = 90.0
HEALTH_ANSWER_S: Final = 5.0
Seed = Callable[[StoreUrls, Path], dict[str, Any]]
Command = Callable[[plan.Role], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Options:
    """What `make up` may choose."""

    state: Path
    host: str
    port: int
    feed: str

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Ready:
    """What is known when the group has become healthy."""

    url: str
    state: Path
    feed: str
    demo: Mapping[str, Any]
    processes: Mapping[str, int]


def role_command(role: plan.Role) -> tuple[str, ...]:
    """Say how a role of this installation is started."""
    return (sys.executable, "-m", "quantlab_server", "role", *role.arguments)


class Supervisor:
    """Run one group in the foreground."""

    def __init__(
        self,
        options: Options,
        output: Output,
        *,
        seed: Seed,
        announce: Callable[[Ready], None],
        command: Command = role_command,
    ) -> None:
        self._options = options
        self._seed = seed
        self._announce = announce
        self._command = command
        self._group = Supervision(options.state, output)

    def run(self, roles: tuple[plan.Role, ...]) -> None:
        """Start everything, announce it, and keep it running until asked to stop."""
        self._group.run(lambda: self._live(roles))

    def _live(self, roles: tuple[plan.Role, ...]) -> None:
        options = self._options
        if not port_is_free(options.port, options.host):
            raise Refusal(
                f"port {options.port} on {options.host} is taken; choose another: "
                f"make up PORT={options.port + 1}"
            )
        urls = self._group.start_stores()
        demo = self._seed(urls, options.state)
        environment = _environment(options, urls)
        self._group.start_roles(tuple(self._program(role, environment) for role in roles))
        self._group.wait_until(lambda: _healthy(options), HEALTH_WAIT_S, plan.SERVER)
        self._announce(Ready(options.url, options.state, options.feed, demo, self._group.pids()))
        while True:
            self._group.look_after()

    def _program(self, role: plan.Role, environment: Mapping[str, str]) -> Program:
        return Program(
            name=role.name,
            argv=self._command(role),
            environment=environment,
            stop_signal=signal.SIGTERM,
            stop_wait_s=plan.ROLE_STOP_WAIT_S,
            hasty=role.name == plan.SERVER,
        )


def _environment(options: Options, urls: StoreUrls) -> dict[str, str]:
    return {
        "QUANTLAB_PUBLIC_URL": options.url,
        "QUANTLAB_CONFIGS": str(Path("agent/configs").absolute()),
        **os.environ,
        "QUANTLAB_DATABASE_URL": urls.app_dsn,
        "QUANTLAB_REDIS_URL": urls.redis_url,
        "QUANTLAB_STATE": str(options.state.absolute()),
        "QUANTLAB_HOST": options.host,
        "QUANTLAB_PORT": str(options.port),
        "QUANTLAB_FEED": options.feed,
        "PYTHONUNBUFFERED": "1",
    }


def _healthy(options: Options) -> bool:
    host = "127.0.0.1" if options.host == "0.0.0.0" else options.host
    connection = http.client.HTTPConnection(host, options.port, timeout=HEALTH_ANSWER_S)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
