"""Functions that are woken by a timer, asked by the gateway, or called by a deployment."""

from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from starlette.requests import Request

from quantlab_app.ports.container import Ports
from quantlab_edge.deployments import Resource, ResourceRequest, answer
from quantlab_edge.gateway import Context, refused_context
from quantlab_edge.lambdas_observe import Call
from quantlab_edge.lambdas_sandbox import Sandbox
from quantlab_edge.problems import problem_of

_log = structlog.get_logger("quantlab.gateway")


class ScheduleFunction:
    """Runs once for each event of its timer; a fault is raised, and the timer tries again."""

    def __init__(self, handle: Callable[[Ports], Awaitable[int]], sandbox: Sandbox) -> None:
        self._handle = handle
        self._sandbox = sandbox

    def __call__(self, event: Any, context: Any, call: Call) -> dict[str, int]:  # noqa: ARG002
        handled = self._sandbox.run(self._handle)
        call.note("schedule", handled=handled)
        return {"handled": handled}


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


class DeployFunction:
    """Makes, changes or ends a resource of a deployment, and tells the deployment how it went."""

    def __init__(
        self, handle: Callable[[Ports, ResourceRequest], Awaitable[Resource]], sandbox: Sandbox
    ) -> None:
        self._handle = handle
        self._sandbox = sandbox

    def __call__(self, event: Any, context: Any, call: Call) -> dict[str, str]:  # noqa: ARG002
        call.note("deploy", request=event.get("RequestType"), resource=event.get("ResourceType"))
        status = answer(event, self._made)
        if status == "FAILED":
            call.fail(status=status)
        return {"status": status}

    def _made(self, request: ResourceRequest) -> Resource:
        return self._sandbox.run(lambda ports: self._handle(ports, request))


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
