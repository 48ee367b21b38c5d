"""From a function's name to what Lambda calls."""

import importlib
import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from quantlab_app.ports.errors import Misconfigured
from quantlab_edge.lambdas_observe import Calls
from quantlab_edge.lambdas_sandbox import Function, Sandbox
from quantlab_edge.settings_aws import AwsSettings

Handler = Callable[[Any, Any], Any]

# Neither needs a right of its own: correlation ids and the credentials' ends ask for them.
ALWAYS: Final = frozenset({"clock", "ids"})
_TRUE: Final = frozenset({"1", "true", "yes", "on"})


class Entry:
    """One function as the handler that Lambda calls."""

    def __init__(self, settings: AwsSettings) -> None:
        kind, _, name = settings.function.partition("/")
        manifest = _manifest(f"functions.{kind}.{name}")
        if _is_typed(kind, manifest["wake"]):
            importlib.import_module("quantlab_edge.late_models")
        module = importlib.import_module(f"functions.{kind}.{name}.handler")
        self._sandbox = Sandbox(settings, ALWAYS | set(manifest["ports"]))
        self._calls = Calls(settings)
        self._function = _wrapped(kind, module, manifest["wake"], self._sandbox)
        self._run: Handler = _traced(self._one) if _asks_for_traces() else self._one

    def __call__(self, event: Any, context: Any) -> Any:
        return self._run(event, context)

    def close(self) -> None:
        """Give back what was kept for the next call."""
        self._sandbox.close()

    def _one(self, event: Any, context: Any) -> Any:
        with self._calls.one(context) as call, self._sandbox.call():
            return self._function(event, context, call)


def _wrapped(kind: str, module: ModuleType, wake: dict[str, Any], sandbox: Sandbox) -> Function:
    match kind:
        case "http":
            from quantlab_edge.lambdas_http import HttpFunction

            router = getattr(module, wake["router"])
            return HttpFunction(router, sandbox, raw=wake.get("raw", False))
        case "socket":
            from quantlab_edge.lambdas_socket import SocketFunction

            return SocketFunction(module.handle, wake["route"], sandbox)
        case "queue":
            from quantlab_edge.lambdas_queue import QueueFunction

            return QueueFunction(module.handle, module.waiting, module.FULL_TURN, sandbox)
        case "schedule":
            from quantlab_edge.lambdas_schedule import ScheduleFunction

            return ScheduleFunction(module.handle, sandbox)
        case "gateway":
            from quantlab_edge.lambdas_gateway import GatewayFunction

            return GatewayFunction(module.handle, sandbox)
        case "deploy":
            from quantlab_edge.lambdas_deploy import DeployFunction

            return DeployFunction(module.handle, sandbox)
    raise Misconfigured(f"QUANTLAB_FUNCTION: no Lambda runs functions of the kind {kind}")


def _is_typed(kind: str, wake: dict[str, Any]) -> bool:
    """Say whether FastAPI reads the function's requests, or their credentials."""
    return kind == "gateway" or (kind == "http" and not wake.get("raw", False))


def _manifest(package: str) -> dict[str, Any]:
    folder = Path(next(iter(importlib.import_module(package).__path__)))
    file = folder / "function.toml"
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise Misconfigured(f"expected a manifest at {file}: {error}") from error


def _asks_for_traces() -> bool:
    return os.environ.get("POWERTOOLS_TRACE_ENABLED", "").lower() in _TRUE


def _traced(handler: Handler) -> Handler:
    from aws_lambda_powertools import Tracer

    traced: Handler = Tracer(service="quantlab").capture_lambda_handler(
        handler, capture_response=False
    )
    return traced
