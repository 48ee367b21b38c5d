"""What one Lambda process keeps from call to call: an event loop, and ports that live in it.

A call that was cut off in the middle leaves both in an unknown state; the next begins afresh.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol, TypeVar

import structlog

from quantlab_app.ports.container import Ports
from quantlab_edge import compose_aws
from quantlab_edge.lambdas_observe import Call
from quantlab_edge.settings_aws import AwsSettings

CLEARING_S: Final = 2.0
Result = TypeVar("Result")

_log = structlog.get_logger("quantlab.sandbox")


class Function(Protocol):
    """A function as its kind's events wake it."""

    def __call__(self, event: Any, context: Any, call: Call) -> Any: ...


class Sandbox:
    """One event loop for all calls, and the function's ports, made when first asked for."""

    def __init__(self, settings: AwsSettings, names: Collection[str]) -> None:
        self._settings = settings
        self._names = names
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ports: Ports | None = None
        self._in_call = False

    @contextmanager
    def call(self) -> Iterator[None]:
        """Hold the loop for one call."""
        if self._in_call:
            _log.warning("cut_off", detail="the call before this one did not end")
            self.close()
        self.hold_loop()
        self._in_call = True
        try:
            yield
        except Exception:
            self._in_call = False
            raise
        self._in_call = False

    def ports(self) -> Ports:
        """Return the function's ports."""
        if self._ports is None:
            self._ports = self._finish(compose_aws.build(self._settings, self._names))
        return self._ports

    def run(self, work: Callable[[Ports], Awaitable[Result]]) -> Result:
        """Do one thing with the ports, to its end."""
        return self._finish(work(self.ports()))

    def close(self) -> None:
        """End what still runs, and forget loop and ports; the next call makes new ones."""
        loop, ports = self._loop, self._ports
        self._loop, self._ports, self._in_call = None, None, False
        if loop is None or loop.is_running() or loop.is_closed():
            return
        loop.run_until_complete(_clear(loop, ports))
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    def hold_loop(self) -> None:
        """Make our loop the thread's own, which is the one that Mangum takes; else it makes one."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)

    def _finish(self, work: Awaitable[Result]) -> Result:
        if self._loop is None:
            raise RuntimeError("a sandbox works inside a call only")

        async def finish() -> Result:
            return await work

        return self._loop.run_until_complete(finish())


async def _clear(loop: asyncio.AbstractEventLoop, ports: Ports | None) -> None:
    if ports is not None:
        try:
            async with asyncio.timeout(CLEARING_S):
                await ports.close()
        except Exception as error:  # noqa: BLE001 - what cannot be closed ends with the process
            _log.warning("not_closed", cause=repr(error))
    left = asyncio.all_tasks(loop) - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=CLEARING_S)
