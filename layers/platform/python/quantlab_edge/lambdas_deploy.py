"""Functions that a deployment calls, for each resource of theirs."""

from collections.abc import Awaitable, Callable
from typing import Any

from quantlab_app.ports.container import Ports
from quantlab_edge.deployments import Resource, ResourceRequest, answer
from quantlab_edge.lambdas_observe import Call
from quantlab_edge.lambdas_sandbox import Sandbox


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
