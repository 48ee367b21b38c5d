"""The child: compiles one strategy, closes its walls, then answers events until its input ends.

Run as `python -I -m quantlab_server.sandbox.child` with pipes as standard input and output. It
never says more than frames; what goes wrong before the walls are closed is a frame too.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

from quantlab.qls.compiler import compile_source
from quantlab.qls.diagnostics import show
from quantlab.qls.ir import Program
from quantlab.qls.native import abi
from quantlab.qls.native.strategy import NativeProgram, NativeStrategy
from quantlab.qls.semantics import Trap
from quantlab_server.refusal import Refusal
from quantlab_server.sandbox import frames
from quantlab_server.sandbox.walls import Limits, close_first, close_rest

_IN, _OUT = 0, 1


def _read(count: int) -> bytes:
    return os.read(_IN, count)


def _write(data: memoryview) -> int:
    return os.write(_OUT, data)


def _say(value: dict[str, Any]) -> None:
    frames.send(_write, json.dumps(value).encode())


def _begun(request: dict[str, Any]) -> NativeStrategy:
    """Compile what was asked for. Raises Refusal with what the author must know."""
    source, inputs = request["source"], request["inputs"]
    program = _compiled(source, {})
    texts = {known.name for known in program.inputs if known.kind == "string"} & set(inputs)
    if texts:
        program = _compiled(source, {name: str(inputs.pop(name)) for name in texts})
    try:
        native = NativeProgram(program, tier=request["tier"])
        return NativeStrategy(native, inputs, fuel_per_event=request["fuel"])
    except ValueError as error:
        raise Refusal(f"an input does not fit: {error}") from error


def _compiled(source: str, texts: Mapping[str, str]) -> Program:
    result = compile_source(source, texts)
    if result.program is None:
        shown = "\n".join(show(source, one) for one in result.diagnostics)
        raise Refusal(f"the strategy has errors:\n{shown}")
    return result.program


def _described(program: Program, walls: tuple[str, ...]) -> dict[str, Any]:
    return {
        "walls": walls,
        "name": program.name,
        "zone": program.zone,
        "symbols": program.symbols,
        "streams": program.streams,
        "reads": program.reads,
        "strings": program.strings,
        "sites": abi.output_sites(program),
        "handlers": [
            (one.kind, one.symbol, one.stream, one.period_ns, one.daily_ns, one.reads)
            for one in program.handlers
        ],
    }


def _answer(strategy: NativeStrategy, payload: bytes) -> None:
    handlers, reads = frames.unpack_event(payload)
    buffers = strategy.buffers
    buffers.reads[: len(reads)] = reads
    trap = ""
    try:
        strategy.step(handlers)
    except Trap as stopped:
        trap = stopped.reason
    frames.send(_write, frames.pack_result(trap, strategy.fuel_used, buffers.out))


def main() -> None:
    """Serve one parent."""
    payload = frames.receive(_read)
    if payload is None:
        return
    request = json.loads(payload)
    limits = Limits(**request["limits"])
    close_first(limits)
    try:
        strategy = _begun(request)
        walls = close_rest(limits, request["may_lack"])
    except Refusal as refusal:
        _say({"refused": str(refusal)})
        return
    except MemoryError:
        _say({"refused": f"compiling takes more than {limits.memory_bytes} bytes of memory."})
        return
    _say(_described(strategy.program, walls))
    while (payload := frames.receive(_read)) is not None:
        _answer(strategy, payload)
    # The interpreter's own end makes system calls that are behind the wall.
    os._exit(0)


if __name__ == "__main__":
    main()
