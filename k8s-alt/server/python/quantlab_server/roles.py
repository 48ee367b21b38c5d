"""What a child process of the group does: host the functions of its role until asked to stop."""

import asyncio
import contextlib
import gc
import importlib
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

import structlog
import uvloop

from quantlab_app.ports.container import Ports
from quantlab_app.ports.errors import Fault
from quantlab_app.use_cases.waiting import end_all
from quantlab_edge import observe
from quantlab_edge.composition import REQUEST_PATIENCE_S
from quantlab_edge.settings import Settings
from quantlab_manifest import Manifest, QueueWake, ScheduleWake
from quantlab_server import plan
from quantlab_server.queue_runner import QueueRunner
from quantlab_server.refusal import Refusal
from quantlab_server.role_logs import configure_logs

UNHURRIED: Final = 10
GARBAGE_THRESHOLD: Final = 20_000
HOSTING: Final = frozenset({"metrics_board", "wakes"})
Body = Callable[[Ports, asyncio.Event], Awaitable[None]]
Make = Callable[[], Awaitable[Ports]]

_log = structlog.get_logger("quantlab.role")


def run_server(settings: Settings) -> None:
    """Serve the HTTP and socket functions."""
    from quantlab_server import app

    functions = plan.manifests()

    async def body(ports: Ports, stop: asyncio.Event) -> None:
        server = app.server(app.create_app(ports, functions), settings)
        serving = asyncio.create_task(server.serve())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        stopping.cancel()
        await serving

    hosted = _of_kinds(functions, plan.SERVED)
    _run(settings, plan.SERVER, hosted, body, REQUEST_PATIENCE_S)


def run_queue(settings: Settings, name: str) -> None:
    """Drain the queue of one function."""
    manifest = plan.one(plan.manifests(), "queue", name)
    handle, waiting = handler(manifest, "handle"), handler(manifest, "waiting")
    wake = manifest.wake
    if not isinstance(wake, QueueWake):
        raise Refusal(f"the manifest of {name} names no queue.")
    queue = wake.queue

    async def body(ports: Ports, stop: asyncio.Event) -> None:
        async def drain(tenant_ids: Sequence[str]) -> int:
            handled: int = await counted(manifest, handle(ports, tenant_ids))
            return handled

        async def find() -> Sequence[str]:
            found: Sequence[str] = await waiting(ports)
            return found

        runner = QueueRunner(queue, drain, find, manifest.concurrency, _full_turn(manifest))
        runner.tenants_a_turn = _constant(manifest, "TENANTS_A_TURN", runner.tenants_a_turn)
        sweep_every_s = _constant(manifest, "SWEEP_EVERY_S", None)
        if sweep_every_s is not None:
            runner.sweep_every_s, runner.woken = sweep_every_s, False
            runner.busy_sweep_every_s = _constant(manifest, "BUSY_SWEEP_EVERY_S", None)
            _yield_the_core()
        await runner.run(ports.wakes, stop)

    _run(settings, f"queue:{name}", (manifest,), body)


def _yield_the_core() -> None:
    """Let others run first: nobody waits for this role.

    Linux weighs whole sessions against each other where it groups them, and a role leads its own.
    """
    os.nice(UNHURRIED)
    if os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):  # not Linux, or without groups
            Path("/proc/self/autogroup").write_text(str(UNHURRIED), encoding="ascii")


def run_scheduler(settings: Settings) -> None:
    """Run every schedule function."""
    from quantlab_server.schedule_runner import Job, run_schedules

    scheduled = _of_kinds(plan.manifests(), ("schedule",))
    found = [
        (function, function.wake.every_ms, handler(function, "handle"))
        for function in scheduled
        if isinstance(function.wake, ScheduleWake)
    ]

    async def body(ports: Ports, stop: asyncio.Event) -> None:
        _yield_the_core()
        jobs = tuple(
            Job(function.name, every_ms, _bound(function, handle, ports))
            for function, every_ms, handle in found
        )
        await run_schedules(jobs, stop)

    _run(settings, plan.SCHEDULER, scheduled, body)


def run_worker(settings: Settings, name: str) -> None:
    """Run one worker function."""
    manifest = plan.one(plan.manifests(), "worker", name)
    if _constant(manifest, "UNHURRIED", default=False):
        _yield_the_core()
    _run(settings, f"worker:{name}", (manifest,), _working(manifest))


def run_worker_on_aws(name: str) -> None:
    """Run one worker function with the ports that its manifest names, and the board of numbers."""
    from quantlab_edge import compose_aws
    from quantlab_edge.settings_aws import read_aws_settings

    manifest = plan.one(plan.manifests(), "worker", name)
    role = f"worker:{name}"
    try:
        settings = read_aws_settings()
    except Fault as fault:
        raise Refusal(f"the settings are incomplete: {fault}") from fault
    configure_logs(settings)

    def make() -> Awaitable[Ports]:
        return compose_aws.build(settings, {*manifest.ports, *HOSTING})

    _live_through(role, make, _working(manifest))


def _working(manifest: Manifest) -> Body:
    work = handler(manifest, "run")

    async def body(ports: Ports, stop: asyncio.Event) -> None:
        await work(ports, stop)
        if not stop.is_set():
            _log.warning("the worker returned before it was asked to stop", worker=manifest.name)

    return body


def handler(manifest: Manifest, name: str) -> Callable[..., Awaitable[Any]]:
    """Import a function's handler and pick the name its kind promises."""
    found = getattr(importlib.import_module(manifest.module), name, None)
    if not asyncio.iscoroutinefunction(found):
        raise Refusal(f"{manifest.folder / 'handler.py'}: expected `async def {name}`.")
    return found


def _full_turn(manifest: Manifest) -> int:
    """Read how many rows a queue function settles in one turn at most."""
    found = getattr(importlib.import_module(manifest.module), "FULL_TURN", None)
    if not isinstance(found, int) or found < 1:
        raise Refusal(f"{manifest.folder / 'handler.py'}: expected `FULL_TURN`, a number of rows.")
    return found


def _constant(manifest: Manifest, name: str, default: Any) -> Any:
    """Read what a function may say of itself.

    UNHURRIED says of a worker that others may have the cores first. SWEEP_EVERY_S is how often a
    queue function looks for itself, where nothing wakes it, BUSY_SWEEP_EVERY_S how long it waits
    after it found something. TENANTS_A_TURN is how many tenants may share a turn.
    """
    return getattr(importlib.import_module(manifest.module), name, default)


async def counted(manifest: Manifest, run: Awaitable[Any]) -> Any:
    """Await one run of a function and count how it ended."""
    result = "bug"
    try:
        value = await run
        result = "done"
    except Fault:
        result = "fault"
        raise
    finally:
        observe.function_runs.labels(manifest.kind, manifest.name, result).inc()
    return value


def _bound(
    manifest: Manifest, handle: Callable[..., Awaitable[Any]], ports: Ports
) -> Callable[[], Awaitable[int]]:
    async def run() -> int:
        handled: int = await counted(manifest, handle(ports))
        return handled

    return run


def _of_kinds(functions: Sequence[Manifest], kinds: Sequence[str]) -> Sequence[Manifest]:
    return [one for one in functions if one.kind in kinds]


def _run(
    settings: Settings,
    role: str,
    hosted: Sequence[Manifest],
    body: Body,
    patience_s: float | None = None,
) -> None:
    """Live with the ports that the functions of this role name, and those that hosting takes."""
    from quantlab_edge.compose import build

    configure_logs(settings)
    names = {name for manifest in hosted for name in manifest.ports} | HOSTING
    _live_through(role, lambda: build(settings, names, patience_s), body)


def _live_through(role: str, make: Make, body: Body) -> None:
    try:
        uvloop.run(_live(role, make, body))
    except Fault as fault:
        raise Refusal(f"{role} cannot work: {type(fault).__name__}: {fault}") from fault


def _settle_garbage() -> None:
    """Set what a start leaves behind aside, and look for cycles rarely: a full look costs 30 ms."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD, 20, 50)


async def _live(role: str, make: Make, body: Body) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end() -> None:
        stop.set()
        signal.alarm(plan.ROLE_STOP_WAIT_S)  # where nobody is left to kill what does not end

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    ports = await make()
    _settle_garbage()
    board = None
    if role != plan.SERVER:  # the server shows its own numbers itself
        instance = f"{socket.gethostname()}:{os.getpid()}"
        board = asyncio.create_task(
            observe.board_loop(ports.metrics_board, role, instance, stop), name="board"
        )
    try:
        _log.info("started", role=role)
        await body(ports, stop)
    finally:
        if board is not None:
            await end_all((board,))
        await ports.close()
    _log.info("stopped", role=role)
