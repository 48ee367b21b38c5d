"""Functions that are woken by a timer."""

from collections.abc import Awaitable, Callable
from typing import Any

from quantlab_app.ports.container import Ports
from quantlab_edge.lambdas_observe import Call
from quantlab_edge.lambdas_sandbox import Sandbox


class ScheduleFunction:
    """Runs once for each event of its timer; a fault is raised, and the timer tries again."""

    def __init__(self, handle: Callable[[Ports], Awaitable[int]], sandbox: Sandbox) -> None:
        self._handle = handle
        self._sandbox = sandbox

    def __call__(self, event: Any, context: Any, call: Call) -> dict[str, int]:  # noqa: ARG002
        handled = self._sandbox.run(self._handle)
        call.note("schedule", handled=handled)
        return {"handled": handled}
