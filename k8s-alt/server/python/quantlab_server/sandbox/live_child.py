"""The child of a live run: takes events, answers with what the strategy gave, until its input ends.

Run as `python -I -m quantlab_server.sandbox.live_child` with pipes as standard input and output.
It says frames: what the program is, or why it is not run; then an answer to each frame of events.
A frame is a byte and what it is about: events as words of `live.events` (0, or 1 where the state's
hash is wanted), 2 for a snapshot of the state, 3 with a snapshot that is to be taken up. An answer
is the code of a trap, the number of the last order, when time has something to do again, 64 bytes
of hash (spaces where none was wanted), then the entries of `live.tray`, or the snapshot.
"""

import json
import os
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from quantlab.backtest.account import NotRun
from quantlab.live.events import Malformed
from quantlab.live.running import LiveRun
from quantlab.live.terms import read_terms
from quantlab.qls import limits
from quantlab.qls.compiler import compile_source
from quantlab.qls.diagnostics import show
from quantlab.qls.ir import Program
from quantlab.qls.native import abi
from quantlab_edge import backtest as machine
from quantlab_server.refusal import Refusal
from quantlab_server.sandbox import frames
from quantlab_server.sandbox.apart import engine_apart
from quantlab_server.sandbox.walls import Limits, close_first, close_rest

_IN, _OUT = 0, 1
ANSWER: Final = struct.Struct("<qqq64s")
(SNAPSHOT, RESTORE) = (2, 3)
TRAP_CODES: Final = {reason: code for code, reason in enumerate(abi.TRAPS)}


def _read(count: int) -> bytes:
    return os.read(_IN, count)


def _write(data: memoryview) -> int:
    return os.write(_OUT, data)


def _say(value: Mapping[str, Any]) -> None:
    frames.send(_write, json.dumps(value).encode())


def _program(source: str, inputs: dict[str, Any]) -> Program:
    """Compile a source; texts are taken out of the inputs. Raises Refusal."""
    program = _compiled(source, {})
    names = [one.name for one in program.inputs if one.kind == "string" and one.name in inputs]
    texts = {name: str(inputs.pop(name)) for name in names}
    return _compiled(source, texts) if texts else program


def _compiled(source: str, texts: Mapping[str, str]) -> Program:
    result = compile_source(source, texts)
    if result.program is None:
        shown = "\n".join(show(source, one) for one in result.diagnostics)
        raise Refusal(f"the strategy has errors:\n{shown}")
    return result.program


def _begun(request: Mapping[str, Any], engine: machine.EngineFiles) -> LiveRun:
    inputs = dict(request["inputs"])
    program = _program(request["source"], inputs)
    try:
        run = LiveRun(
            program, read_terms(request["terms"]), engine, request["beganNs"], inputs,
            fuel_per_event=min(request["fuel"], limits.COST_PER_EVENT_MAX),
        )  # fmt: skip
    except NotRun as refused:
        raise Refusal(str(refused)) from refused
    except ValueError as error:
        raise Refusal(f"an input does not fit: {error}") from error
    run.restore(run.snapshot())
    run.digest()  # whatever is imported on first use is so now, before the walls close
    return run


def _described(run: LiveRun, walls: tuple[str, ...]) -> dict[str, Any]:
    program = run.program
    return {
        "walls": walls,
        "symbols": program.symbols,
        "strings": program.strings,
        "sites": abi.output_sites(program),
        "kinds": sorted({one.kind for one in program.handlers}),
    }


def _answer(run: LiveRun, payload: bytes) -> None:
    given = b""
    if payload[0] == SNAPSHOT:
        given = zlib.compress(run.snapshot(), 1)
    elif payload[0] == RESTORE:
        run.restore(_decompressed(payload[1:], run.snapshot_bytes))
    else:
        words = memoryview(payload)[1:].cast("q")
        run.intake[: len(words)] = words
        given = run.emptied() if run.take(len(words)) else b""
    hash_ = run.digest().encode() if payload[0] else b" " * 64
    head = ANSWER.pack(TRAP_CODES[run.trapped], run.orders_placed, run.next_due_ns, hash_)
    frames.send(_write, head + given)


def _decompressed(image: bytes, size: int) -> bytes:
    """Return what was compressed, one byte more than a size at most; b"" for what is damaged."""
    try:
        return zlib.decompressobj().decompress(image, size + 1)
    except zlib.error:
        return b""


def main() -> None:
    """Serve one parent."""
    payload = frames.receive(_read)
    if payload is None:
        return
    request = json.loads(payload)
    bounds = Limits(**request["limits"])
    try:
        engine = engine_apart(Path(request["native"]))
        close_first(bounds)
        run = _begun(request, engine)
        walls = close_rest(bounds, request["mayLack"])
    except (Refusal, ModuleNotFoundError) as refusal:
        _say({"refused": str(refusal)})
        return
    except MemoryError:
        _say({"refused": f"the strategy takes more than {bounds.memory_bytes} bytes of memory."})
        return
    _say(_described(run, walls))
    try:
        while (payload := frames.receive(_read)) is not None:
            _answer(run, payload)
    except (Malformed, MemoryError):
        os._exit(3)
    # The interpreter's own end makes system calls that are behind the wall.
    os._exit(0)


if __name__ == "__main__":
    main()
