"""`quantlab backtest`: run a strategy over files of quotes or bars."""

from pathlib import Path
from typing import Annotated

import typer

from quantlab.backtest.account import NotRun
from quantlab.kernel.instants import format_rfc3339
from quantlab_edge import backtest as machine
from quantlab_server.backtests import options
from quantlab_server.backtests.given import CONFIGS, bench_of, fixed_of, native_folder, say
from quantlab_server.backtests.single import Asked, carry_out
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
    news: options.News = None,
) -> None:
    """Run a strategy from the first quote to the last, or to the rule it breaks."""
    carry_out(
        Asked(strategy, ticks, bars, profile, set_, seed, json, report, configs, details, news)
    )


@app.command("engine")
def build_engine() -> None:
    """Compile the engine for this CPU, where that has not been done: in an image, before tests."""
    folder = native_folder()
    try:
        machine.engine(folder, say)
    except ModuleNotFoundError as error:
        raise Refusal(str(error)) from error
    typer.echo(f"the engine is compiled in {folder}")


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
    news: options.News = None,
) -> None:
    """Change the quotes behind each cut: nothing before it may change, not by a bit."""
    from quantlab_server.backtests.lookahead import first_difference
    from quantlab_server.backtests.progress import bar

    bench = bench_of(strategy, ticks, bars, profile, configs, news)
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
