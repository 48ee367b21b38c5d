"""A strategy in a child process behind both walls, with the interface of the interpreter."""

import dataclasses
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from types import TracebackType
from typing import Any, Final, Self

from quantlab.qls import ir, limits
from quantlab.qls.interpreter import Effects, Host, is_for
from quantlab.qls.native import abi
from quantlab.qls.native.buffers import Records
from quantlab.qls.native.machine import QUICK
from quantlab.qls.semantics import Trap
from quantlab_server.refusal import Refusal
from quantlab_server.sandbox import frames
from quantlab_server.sandbox.walls import Limits

START_WAIT_S: Final = 60.0
EVENT_WAIT_S: Final = 5.0
"""A hundred times what the dearest event takes; longer, and the child is killed."""
_ENVIRONMENT: Final = {"OPENBLAS_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"}
_ENDS: Final = {
    signal.SIGXCPU: "it reached its limit of CPU time",
    signal.SIGSYS: "it asked the system for what the sandbox forbids",
    signal.SIGSEGV: "it reached its limit of memory or its code is broken",
    signal.SIGABRT: "it reached its limit of memory",
    signal.SIGKILL: "it was killed",
}


class SandboxedStrategy:
    """One running strategy. Use it as a context: at its end the child is gone.

    inputs sets inputs by name, texts among them. handlers are the program's, without their
    instructions.

    Raises Refusal where the source does not compile, an input does not fit, a wall is missing that
    may_lack does not name, or the child ends.
    """

    def __init__(
        self,
        source: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        fuel_per_event: int = limits.COST_PER_EVENT_MAX,
        tier: str = QUICK,
        bounds: Limits | None = None,
        may_lack: Collection[str] = (),
    ) -> None:
        self.trapped = ""
        self.fuel_used = 0
        self._child = _start()
        request = {
            "source": source, "inputs": dict(inputs or {}), "fuel": fuel_per_event,
            "tier": tier, "may_lack": sorted(may_lack),
            "limits": dataclasses.asdict(bounds or Limits()),
        }  # fmt: skip
        try:
            self._send(json.dumps(request).encode(), START_WAIT_S)
            self._take(json.loads(self._receive(START_WAIT_S)))
        except BaseException:
            self.close()
            raise

    def _take(self, described: dict[str, Any]) -> None:
        if "refused" in described:
            raise Refusal(str(described["refused"]))
        self.walls = tuple(described["walls"])
        self.name, self.zone = str(described["name"]), str(described["zone"])
        self.symbols = tuple(described["symbols"])
        self.streams = tuple(ir.Stream(*one) for one in described["streams"])
        self.reads = tuple(ir.Read(*one) for one in described["reads"])
        self.handlers = tuple(_without_body(*one) for one in described["handlers"])
        self._sites = tuple(abi.OutputSite(*one) for one in described["sites"])
        self._records = Records(self._sites, described["strings"])
        self._words = memoryview(bytearray(8 * len(self.reads)))
        self._out = memoryview(bytearray(8 * abi.OUT_WORDS))

    @property
    def orders_placed(self) -> int:
        """Return the number of the last order."""
        return int(self._out.cast("q")[abi.PLACED])

    def run(self, kind: str, host: Host, *, symbol: int = 0, stream: int = -1) -> Effects:
        """Run the handlers of a start, stop, tick, bar or fill; timers run by `run_handlers`.

        Raises Trap when a handler traps, and at each call after that.
        """
        return self.run_handlers(
            [
                index
                for index, one in enumerate(self.handlers)
                if one.kind == kind and is_for(one, symbol, stream)
            ],
            host,
        )

    def run_handlers(self, handlers: Collection[int], host: Host) -> Effects:
        """Run handlers, by their index, as one event."""
        if self.trapped:
            raise Trap(self.trapped)
        effects = Effects()
        if not handlers:
            return effects
        ints, floats = self._words.cast("q"), self._words.cast("d")
        for number in {read for index in handlers for _, read in self.handlers[index].reads}:
            value = host.read(self.reads[number])
            if self.reads[number].type == "f":
                floats[number] = value
            else:
                ints[number] = int(value)
        self._send(frames.pack_event(tuple(handlers), self._words), EVENT_WAIT_S)
        try:
            answer = frames.unpack_result(self._receive(EVENT_WAIT_S), self._sites, self._out)
        except frames.Broken as broken:
            self.close()
            raise Refusal(f"the sandboxed strategy broke its protocol: {broken}.") from broken
        self.trapped, self.fuel_used = answer
        if self.trapped:
            raise Trap(self.trapped)
        self._records.take(self._out, effects)
        return effects

    def close(self) -> None:
        """End the child."""
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                pipe.close()
        if self._child.poll() is None:
            self._child.kill()
        self._child.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()

    def _send(self, payload: bytes, wait_s: float) -> None:
        assert self._child.stdin is not None  # noqa: S101 - a pipe was asked for
        pipe, deadline = self._child.stdin, time.monotonic() + wait_s

        def write(data: memoryview) -> int:
            self._wait(pipe.fileno(), select.POLLOUT, deadline)
            return os.write(pipe.fileno(), data)

        try:
            frames.send(write, payload)
        except (BrokenPipeError, ValueError) as error:
            raise self._ended() from error

    def _receive(self, wait_s: float) -> bytes:
        assert self._child.stdout is not None  # noqa: S101 - a pipe was asked for
        pipe, deadline = self._child.stdout, time.monotonic() + wait_s

        def read(count: int) -> bytes:
            self._wait(pipe.fileno(), select.POLLIN, deadline)
            return os.read(pipe.fileno(), count)

        try:
            payload = frames.receive(read)
        except frames.Broken as broken:
            raise self._ended() from broken
        if payload is None:
            raise self._ended()
        return payload

    def _wait(self, descriptor: int, event: int, deadline: float) -> None:
        """Wait until a pipe is ready or its other end gone; end the child at the deadline."""
        poll = select.poll()
        poll.register(descriptor, event)
        left_ms = max(0.0, deadline - time.monotonic()) * 1000
        if not poll.poll(left_ms):
            self._child.kill()
            raise Refusal("the strategy gave no answer in time and was stopped.")

    def _ended(self) -> Refusal:
        code = self._child.wait(timeout=10)
        why = _ENDS.get(signal.Signals(-code), f"signal {-code}") if code < 0 else f"code {code}"
        return Refusal(f"the strategy was stopped: {why}.")


def _without_body(
    kind: str, symbol: int, stream: int, period_ns: int, daily_ns: int, reads: list[list[int]]
) -> ir.Handler:
    return ir.Handler(
        kind=kind, symbol=symbol, stream=stream, period_ns=period_ns, daily_ns=daily_ns, types="",
        consts=(), reads=tuple((register, number) for register, number in reads), slots="",
        body=(), entry_cost=0, cost=0, line=0,
    )  # fmt: skip


def _start() -> "subprocess.Popen[bytes]":
    child = subprocess.Popen(
        [sys.executable, "-I", "-m", "quantlab_server.sandbox.child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        env=_ENVIRONMENT,
        cwd="/",
        start_new_session=True,
    )
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            os.set_blocking(pipe.fileno(), False)
    return child
