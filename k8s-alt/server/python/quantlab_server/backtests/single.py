"""One run of a strategy, from what a command line says to its results; it needs no typer."""

import json as json_text
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantlab.backtest.account import NotRun
from quantlab.backtest.results.finished import heading_of, of_finished
from quantlab.backtest.results.metrics.figures import Figures, figures
from quantlab.backtest.results.summary import Heading, document
from quantlab.backtest.results.summary import details as long_lists
from quantlab.backtest.running import Finished, Run
from quantlab.qls.ir import Program
from quantlab_edge import backtest as machine
from quantlab_server.backtests.accounts import Configured, account_for
from quantlab_server.backtests.given import (
    CONFIGS,
    inputs_of,
    native_folder,
    program_of,
    say,
    sources_of,
)
from quantlab_server.backtests.writing import check_places, write_results
from quantlab_server.refusal import Refusal


@dataclass(frozen=True, slots=True)
class Asked:
    """What a command line asks for: see the options of `quantlab backtest run`."""

    strategy: Path
    ticks: Sequence[str] | None = None
    bars: Sequence[str] | None = None
    profile: str | None = None
    set_: Sequence[str] | None = None
    seed: int = 0
    json: Path | None = None
    report: Path | None = None
    configs: Path = CONFIGS
    details: bool = False
    news: Path | None = None


def carry_out(asked: Asked) -> None:
    """Run a strategy, write its results, and print what became of it; Refusal where it cannot."""
    given = asked.set_ or []
    check_places(json=asked.json, report=asked.report)
    try:
        sources = sources_of(asked.ticks, asked.bars)
        program = program_of(asked.strategy)
        if asked.bars and any(read.field == "volume" for read in program.reads):
            say("volume counts the quotes of a bar: the volumes of a file of bars are not read")
        configured = account_for(asked.configs, asked.profile, sources, asked.seed, asked.news)
        finished, quotes, timings = _finished(program, configured, sources, asked)
    except (NotRun, ModuleNotFoundError, machine.UnreadableQuotes) as error:
        raise Refusal(str(error)) from error
    results = figures(of_finished(finished, quotes))
    heading = heading_of(finished, asked.profile or "", _given(given), asked.strategy.stem)
    _write(results, heading, timings, asked)


def _finished(
    program: Program,
    configured: Configured,
    sources: dict[str, machine.Source],
    asked: Asked,
) -> tuple[Finished, Any, dict[str, float]]:
    folder = native_folder()
    started = time.perf_counter()
    engine = machine.engine(folder, say)
    built = time.perf_counter()
    records = machine.quotes(sources, configured.instruments, folder / "quotes")
    if records.refused:
        say(f"{records.refused} quotes were left out: no gate would have believed them")
    loaded = time.perf_counter()
    try:
        made = Run(
            program,
            configured.account,
            records.words,
            engine,
            inputs_of(program, asked.set_),
            machine.KeptCode(folder),
            keeps_outputs=asked.details or asked.report is not None,
        )
    except NotRun:
        raise
    except ValueError as error:
        raise Refusal(f"--set: {error}") from error
    compiled = time.perf_counter()
    finished = made.finish()
    ended = time.perf_counter()
    timings = {
        "load": loaded - built,
        "compile": built - started + compiled - loaded,
        "run": ended - compiled,
    }
    return finished, records.words, timings


def _given(settings: Sequence[str]) -> list[tuple[str, str]]:
    return [(name, value) for name, _, value in (text.partition("=") for text in settings)]


def _write(results: Figures, heading: Heading, timings: dict[str, float], asked: Asked) -> None:
    written = document(results, heading)
    written["timings"] = {name: round(seconds, 6) for name, seconds in timings.items()}
    if asked.json is not None:
        whole = {**written, **long_lists(results)} if asked.details else written
        write_results(asked.json, json_text.dumps(whole, indent=1) + "\n")
    if asked.report is not None:
        from quantlab.backtest.results.report.page import html_page

        write_results(asked.report, html_page(results, heading))
    _print(written)


def _print(document: dict[str, Any]) -> None:
    counts = ", ".join(
        f"{document[name]:,} {name}" for name in ("ticks", "orders", "fills", "trades")
    )
    seconds = ", ".join(
        f"{name} {value * 1e3:.1f} ms" for name, value in document["timings"].items()
    )
    account, metrics = document["account"], document["metrics"]
    trap = document["trap"]
    factor = "none" if metrics["profitFactor"] is None else metrics["profitFactor"]
    end = document["end"] if trap is None else f"{document['end']} {trap}"
    made = (
        f"equity {account['equity']} {account['currency']}, net profit {metrics['netProfit']},"
        f" max drawdown {metrics['maxDrawdown']}, profit factor {factor}"
    )
    lines = (
        f"{document['strategy']}: {counts}; ended by {end}",
        f"{document['from']} to {document['to']}",
        made,
        f"trace {document['traceHash']}",
        seconds,
    )
    sys.stdout.write("".join(f"{line}\n" for line in lines))
