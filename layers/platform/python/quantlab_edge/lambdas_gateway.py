"""Functions that the gateway asks who somebody is."""

from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from starlette.requests import Request

from quantlab_app.ports.container import Ports
from quantlab_edge.gateway import Context, refused_context
from quantlab_edge.lambdas_observe import Call
from quantlab_edge.lambdas_sandbox import Sandbox
from quantlab_edge.problems import problem_of

_log = structlog.get_logger("quantlab.gateway")


class GatewayFunction:
    """Answers the gateway. It lets every request through: the function behind says what is wrong.

    So a failure here refuses only those who need to be somebody, in our own words.
    """

    def __init__(
        self, handle: Callable[[Ports, Request], Awaitable[Context]], sandbox: Sandbox
    ) -> None:
        self._handle = handle
        self._sandbox = sandbox

    def __call__(self, event: Any, context: Any, call: Call) -> dict[str, Any]:  # noqa: ARG002
        request = _request(event, str(call.fields["correlation_id"]))
        try:
            told = self._sandbox.run(lambda ports: self._handle(ports, request))
        except Exception as error:  # noqa: BLE001 - the last resort, as the edge has it
            problem = problem_of(error)
            _log.error("not judged", problem=problem.slug, exc_info=error)
            call.fail(problem=problem.slug)
            told = refused_context(problem)
        return {"isAuthorized": True, "context": dict(told)}


def _request(event: Any, correlation_id: str) -> Request:
    headers = event.get("headers") or {}
    return Request(
        {
            "type": "http",
            "headers": [
                (name.lower().encode(), str(value).encode()) for name, value in headers.items()
            ],
            "state": {"correlation_id": correlation_id},
        }
    )
