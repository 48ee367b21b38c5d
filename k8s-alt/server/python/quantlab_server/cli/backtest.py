"""`quantlab backtest`: run a strategy over files of quotes or bars."""

import json as json_text
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from quantlab.backtest.account import NotRun
from quantlab.backtest.results.finished import heading_of, of_finished
from quantlab.backtest.results.metrics.figures import Figures, figures
from quantlab.backtest.results.summary import Heading, document
from quantlab.backtest.results.summary import details as long_lists
from quantlab.backtest.running import Finished, Run
from quantlab.qls.compiler import compile_source
from quantlab.qls.diagnostics import show
from quantlab.qls.ir import Input, Program
from quantlab.qls.limits import SOURCE_BYTES_MAX
from quantlab_edge import backtest as machine
from quantlab_server.backtests.accounts import Configured, account_for
from quantlab_server.refusal import Refusal

app = typer.Typer(no_args_is_help=True, help="Run strategies over recorded quotes.")
CONFIGS: Final = Path("agent/configs")
FOLDER: Final = "QUANTLAB_NATIVE_FOLDER"
_TRUTHS: Final = {"true": True, "false": False}


@app.callback()
def group() -> None:
    """Run strategies over recorded quotes."""


@app.command()
def run(
    strategy: Annotated[Path, typer.Argument(help="The file of a strategy (.qls).")],
    ticks: Annotated[
        list[str] | None,
        typer.Option(help="SYMBOL=FILE: csv.gz or Parquet quotes, or a folder of .npy columns."),
    ] = None,
    bars: Annotated[
        list[str] | None, typer.Option(help="SYMBOL=FILE: bars, walked through in four quotes.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="TENANT/TYPE: the account type whose rules hold.")
    ] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="input=value")] = None,
    seed: Annotated[int, typer.Option(help="What slippage by chance is drawn from.")] = 0,
    json: Annotated[Path | None, typer.Option(help="Write the results as JSON.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write a page with charts.")] = None,
    configs: Annotated[Path, typer.Option(help="The configuration folder.")] = CONFIGS,
    *,
    details: Annotated[
        bool, typer.Option(help="Put all trades, fills, orders and days into JSON.")
    ] = False,
) -> None:
    """Run a strategy from the first quote to the last, or to the rule it breaks."""
    try:
        sources = {
            **_sources(ticks or [], "--ticks", is_bars=False),
            **_sources(bars or [], "--bars", is_bars=True),
        }
        if not sources:
            raise Refusal("expected --ticks SYMBOL=FILE or --bars SYMBOL=FILE at least once")
        program = _program(strategy)
        configured = account_for(configs, profile, sources, seed)
        finished, quotes, timings = _finished(program, configured, sources, set_ or [])
    except (NotRun, ModuleNotFoundError, machine.UnreadableQuotes) as error:
        raise Refusal(str(error)) from error
    results = figures(of_finished(finished, quotes))
    heading = heading_of(finished, profile or "", _given(set_ or []), strategy.stem)
    _write(results, heading, timings, json, report, details=details)


def _sources(given: list[str], option: str, *, is_bars: bool) -> dict[str, machine.Source]:
    found = {}
    for text in given:
        symbol, _, file = text.partition("=")
        if not symbol or not file:
            raise Refusal(f"{option}: expected SYMBOL=FILE, was {text!r}")
        found[symbol] = machine.Source(Path(file), is_bars)
    return found


def _program(file: Path) -> Program:
    try:
        source = file.read_bytes()[: SOURCE_BYTES_MAX + 1].decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(f"{file} cannot be read: {error}") from error
    compiled = compile_source(source)
    if compiled.program is None:
        shown = "\n\n".join(show(source, one, str(file)) for one in compiled.diagnostics)
        raise Refusal(shown)
    return compiled.program


def _finished(
    program: Program, configured: Configured, sources: dict[str, machine.Source], given: list[str]
) -> tuple[Finished, Any, dict[str, float]]:
    folder = Path(os.environ.get(FOLDER) or Path.home() / ".cache" / "quantlab" / "native")
    started = time.perf_counter()
    engine = machine.engine(folder, _say)
    built = time.perf_counter()
    records = machine.quotes(sources, configured.instruments, folder / "quotes")
    if records.refused:
        _say(f"{records.refused} quotes were left out: no gate would have believed them")
    loaded = time.perf_counter()
    try:
        made = Run(
            program,
            configured.account,
            records.words,
            engine,
            _inputs(program, given),
            machine.KeptCode(folder),
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


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _inputs(program: Program, given: list[str]) -> dict[str, Any]:
    known = {one.name: one for one in program.inputs}
    values = {}
    for text in given:
        name, _, value = text.partition("=")
        if name not in known:
            raise Refusal(f"--set: expected one of {', '.join(known) or 'no input'}, was {name!r}")
        values[name] = _value(known[name], value)
    return values


def _value(known: Input, text: str) -> Any:
    kinds: dict[str, Any] = {"int": int, "float": float, "bool": _TRUTHS.__getitem__}
    try:
        return kinds.get(known.kind, str)(text)
    except (ValueError, KeyError) as error:
        raise Refusal(f"--set: {known.name}: expected {known.kind}, was {text!r}") from error


def _given(settings: list[str]) -> list[tuple[str, str]]:
    return [(name, value) for name, _, value in (text.partition("=") for text in settings)]


def _write(
    results: Figures,
    heading: Heading,
    timings: dict[str, float],
    json: Path | None,
    report: Path | None,
    *,
    details: bool,
) -> None:
    written = document(results, heading)
    written["timings"] = {name: round(seconds, 6) for name, seconds in timings.items()}
    if json is not None:
        whole = {**written, **long_lists(results)} if details else written
        json.write_text(json_text.dumps(whole, indent=1) + "\n", encoding="utf-8")
    if report is not None:
        from quantlab.backtest.results.report.page import html_page

        report.write_text(html_page(results, heading), encoding="utf-8")
    _print(written)


def _print(document: dict[str, Any]) -> None:
    counts = ", ".join(
        f"{document[name]:,} {name}" for name in ("ticks", "orders", "fills", "trades")
    )
    seconds = ", ".join(
        f"{name} {value * 1e3:.1f} ms" for name, value in document["timings"].items()
    )
    account, metrics = document["account"], document["metrics"]
    typer.echo(f"{document['strategy']}: {counts}; ended by {document['end']}")
    typer.echo(
        f"equity {account['equity']} {account['currency']}, net profit {metrics['netProfit']},"
        f" max drawdown {metrics['maxDrawdown']}, profit factor {metrics['profitFactor']}"
    )
    typer.echo(f"trace {document['traceHash']}")
    typer.echo(seconds)
