"""The child that runs one backtest for others behind the walls of the sandbox.

Run as `python -I -m quantlab_server.backtests.child` with pipes as standard input and output. What
it reads of files it reads first; then it compiles, closes the rest of its walls, and runs. It says
frames: JSON objects, and after one with `parts` as many frames of bytes, one a file.
"""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NoReturn

import numpy.ma  # noqa: F401 - numpy imports it on its first use, which is behind the walls

from quantlab.backtest.account import BacktestAccount, NotRun
from quantlab.backtest.results.finished import heading_of, of_finished
from quantlab.backtest.results.metrics.figures import figures
from quantlab.backtest.results.report.page import html_page
from quantlab.backtest.results.summary import details, document
from quantlab.backtest.running import Finished, Run
from quantlab.qls.compiler import compile_source
from quantlab.qls.ir import Program
from quantlab.tenancy.config import config_of_resolved
from quantlab_edge import backtest as machine
from quantlab_edge.tenant_files import read_configs
from quantlab_server.backtests.accounts import account_for, account_of
from quantlab_server.refusal import Refusal
from quantlab_server.sandbox import frames
from quantlab_server.sandbox.apart import engine_apart
from quantlab_server.sandbox.walls import Limits, close_first, close_rest

_IN, _OUT = 0, 1
FIRST_QUOTES: Final = 1 << 12
SAY_EVERY_S: Final = 0.2
PART_BYTES: Final = 8 * 1024 * 1024


def _read(count: int) -> bytes:
    return os.read(_IN, count)


def _write(data: memoryview) -> int:
    return os.write(_OUT, data)


def _say(value: Mapping[str, Any]) -> None:
    frames.send(_write, json.dumps(value).encode())


def _say_files(facts: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
    """Say how many parts each file has, then the parts."""
    parts = {
        name: [data[at : at + PART_BYTES] for at in range(0, len(data), PART_BYTES)]
        for name, data in files.items()
    }
    _say({**facts, "parts": {name: len(found) for name, found in parts.items()}})
    for found in parts.values():
        for part in found:
            frames.send(_write, part)


def _account(request: Mapping[str, Any]) -> BacktestAccount:
    folder, symbols = Path(request["configs"]), request["quotes"]
    if request["config"] is None:
        return account_for(folder, None, symbols, request["seed"]).account
    config = config_of_resolved(request["config"])
    catalog = read_configs(folder).catalog
    made = account_of(catalog, config, request["accountType"], symbols)
    return replace(made.account, seed=request["seed"])


def _program(source: str, inputs: dict[str, Any]) -> Program:
    """Compile a source that was compiled before it was taken; texts are taken out of the inputs."""
    program = compile_source(source).program
    if program is not None:
        names = [one.name for one in program.inputs if one.kind == "string" and one.name in inputs]
        texts = {name: str(inputs.pop(name)) for name in names}
        program = compile_source(source, texts).program if texts else program
    if program is None:
        raise NotRun(
            "expected a source without errors: the language has changed since it was saved"
        )
    return program


def _made(request: Mapping[str, Any], limits: Limits) -> Run:
    account = _account(request)
    engine = engine_apart(Path(request["native"]))
    quotes = machine.joined({name: Path(file) for name, file in request["quotes"].items()})
    inputs = dict(request["inputs"])
    close_first(limits)
    program = _program(request["source"], inputs)
    try:
        return Run(program, account, quotes, engine, inputs, keeps_outputs=True)
    except NotRun:
        raise
    except ValueError as error:
        raise NotRun(f"inputs: {error}") from error


def _take(run: Run) -> None:
    """Run to the end, and say now and then how far it is."""
    total, step, end = len(run.quotes), FIRST_QUOTES, 0
    while end < total and not run.is_over:
        end = min(end + step, total)
        started = time.perf_counter()
        run.take(end)
        _say({"taken": run.taken})
        slow = time.perf_counter() - started > SAY_EVERY_S
        step = max(step // 2, 1) if slow else step * 2


def _serve(request: Mapping[str, Any]) -> None:
    limits = Limits(**request["limits"])
    started = time.perf_counter()
    run = _made(request, limits)
    close_rest(limits, request["mayLack"])
    compiled = time.perf_counter()
    _say({"taken": 0, "total": len(run.quotes)})
    _take(run)
    finished = run.finish()
    ended = time.perf_counter()
    timings = {"compile": round(compiled - started, 6), "run": round(ended - compiled, 6)}
    _say_results(request, finished, run.quotes, timings)
    # What is mapped is not let go: that would be a system call behind the wall, as is the
    # interpreter's own end.
    os._exit(0)


def _say_results(
    request: Mapping[str, Any], finished: Finished, quotes: Any, timings: Mapping[str, float]
) -> None:
    results = figures(of_finished(finished, quotes))
    given = [(name, _text(value)) for name, value in request["inputs"].items()]
    heading = heading_of(finished, request["profile"], given, request["name"])
    whole = {**document(results, heading), "timings": timings}
    files = {
        "result": json.dumps(whole).encode(),
        "details": json.dumps({**whole, **details(results)}).encode(),
        "report": html_page(results, heading).encode(),
    }
    _say_files({"taken": finished.taken}, files)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def main() -> None:
    """Serve one parent."""
    payload = frames.receive(_read)
    if payload is None:
        return
    try:
        _serve(json.loads(payload))
    except (NotRun, Refusal, ModuleNotFoundError) as refused:
        _fail("not_run", str(refused))
    except MemoryError:
        _fail("memory_limit", "the run takes more memory than it may")
    except Exception as error:  # noqa: BLE001 - the edge of the process: it says so and ends
        _fail("internal", f"{type(error).__name__}: {error}")


def _fail(slug: str, detail: str) -> NoReturn:
    _say({"failed": slug, "detail": detail})
    os._exit(0)


if __name__ == "__main__":
    main()
