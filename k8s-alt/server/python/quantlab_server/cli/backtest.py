"""`quantlab backtest`: run a strategy over files of quotes or bars."""

import json as json_text
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from quantlab.backtest.account import NotRun
from quantlab.backtest.results.finished import heading_of, of_finished
from quantlab.backtest.results.metrics.figures import Figures, figures
from quantlab.backtest.results.summary import Heading, document
from quantlab.backtest.results.summary import details as long_lists
from quantlab.backtest.running import Finished, Run
from quantlab.kernel.instants import format_rfc3339
from quantlab.qls.ir import Program
from quantlab_edge import backtest as machine
from quantlab_server.backtests import options
from quantlab_server.backtests.accounts import Configured, account_for
from quantlab_server.backtests.given import (
    CONFIGS,
    bench_of,
    fixed_of,
    inputs_of,
    native_folder,
    program_of,
    say,
    sources_of,
)
from quantlab_server.refusal import Refusal

app = typer.Typer(no_args_is_help=True, help="Run strategies over recorded quotes.")


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
        sources = sources_of(ticks, bars)
        program = program_of(strategy)
        configured = account_for(configs, profile, sources, seed)
        finished, quotes, timings = _finished(program, configured, sources, set_ or [])
    except (NotRun, ModuleNotFoundError, machine.UnreadableQuotes) as error:
        raise Refusal(str(error)) from error
    results = figures(of_finished(finished, quotes))
    heading = heading_of(finished, profile or "", _given(set_ or []), strategy.stem)
    _write(results, heading, timings, json, report, details=details)


@app.command()
def lookahead(
    strategy: options.Strategy,
    ticks: options.Ticks = None,
    bars: options.Bars = None,
    profile: options.Rules = None,
    set_: options.Settings = None,
    cuts: Annotated[int, typer.Option(help="How many cuts to try.", min=1)] = 10,
    seed: options.Seed = 1,
    configs: options.Configs = CONFIGS,
) -> None:
    """Change the quotes behind each cut: nothing before it may change, not by a bit."""
    from quantlab_server.backtests.lookahead import first_difference
    from quantlab_server.backtests.progress import bar

    bench = bench_of(strategy, ticks, bars, profile, configs)
    inputs, made = fixed_of(bench.program, set_), bench.runner()
    try:
        with bar("cuts") as progress:
            tried, found = first_difference(
                lambda quotes: made(quotes, inputs), bench.records.words, cuts, seed, progress
            )
    except NotRun as error:
        raise Refusal(str(error)) from error
    if tried == 0:
        raise Refusal("expected a run of two quotes or more: there is no place to cut")
    if found is not None:
        raise Refusal(
            f"the future is known: other quotes from {format_rfc3339(found.cut_ns)} on (quote"
            f" {found.cut + 1}) have changed, before it, {found.what}"
        )
    typer.echo(
        f"{bench.program.name or strategy.stem}: at {tried} cuts no order, fill, output or state"
        f" depends on later quotes (seed {seed})"
    )


def _finished(
    program: Program, configured: Configured, sources: dict[str, machine.Source], given: list[str]
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
            inputs_of(program, given),
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
