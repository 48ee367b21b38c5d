"""`quantlab walkforward`: inputs chosen on days before, run on the days after."""

import json as json_text
import re
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from quantlab.backtest.account import NotRun
from quantlab_server.backtests import options
from quantlab_server.backtests.attempts import day_places
from quantlab_server.backtests.axes import axes_of, grid
from quantlab_server.backtests.evaluating import Setup, evaluators, metric_named, processes
from quantlab_server.backtests.given import CONFIGS, fixed_of
from quantlab_server.backtests.progress import bar
from quantlab_server.backtests.walking import Walked, document_of, walk, windows_of
from quantlab_server.backtests.writing import check_places, write_results
from quantlab_server.refusal import Refusal

app = typer.Typer(no_args_is_help=True, help="Choose inputs on days before, run the days after.")


@app.callback()
def group() -> None:
    """Choose inputs on days before, run the days after."""


@app.command()
def run(
    strategy: options.Strategy,
    axis: options.Axes,
    train: Annotated[str, typer.Option(help="Trading days to choose on, as in 20d.")],
    test: Annotated[str, typer.Option(help="Trading days to run after, as in 5d.")],
    ticks: options.Ticks = None,
    bars: options.Bars = None,
    profile: options.Rules = None,
    set_: options.Settings = None,
    metric: options.MetricKey = "sharpe",
    jobs: options.Jobs = 0,
    json: options.Json = None,
    configs: options.Configs = CONFIGS,
    news: options.News = None,
    *,
    lowest: options.Lowest = False,
    anchored: Annotated[
        bool, typer.Option(help="Choose on all days before, not on the last ones.")
    ] = False,
) -> None:
    """Choose the best inputs of each window of days, and run them on the next days."""
    metric_named(metric)
    check_places(json=json)
    train_days, test_days = _days(train, "--train"), _days(test, "--test")
    setup = Setup(
        strategy, tuple(ticks or ()), tuple(bars or ()), profile, configs, metric, news=news
    )
    bench = setup.bench()
    fixed = fixed_of(bench.program, set_)
    combinations = list(grid(axes_of(bench.program, axis, fixed)))
    quotes = bench.records.words
    places = day_places(bench.account, quotes)
    windows = windows_of(places, len(quotes), train_days, test_days, anchored=anchored)
    ticks_run = sum(one.middle - one.begin for one in windows) * len(combinations)
    try:
        with (
            evaluators(setup, bench, processes(jobs, ticks_run)) as evaluate,
            bar("runs") as progress,
        ):
            walked = walk(
                bench, windows, combinations, fixed, metric, evaluate, progress, lowest=lowest
            )
    except NotRun as error:
        raise Refusal(str(error)) from error
    said = {"format": 1, "strategy": bench.program.name, "profile": profile, "fixed": fixed}
    said |= {"metric": metric, "lowest": lowest, "combinations": len(combinations)}
    written = {**said, **document_of(bench, walked)}
    if json is not None:
        write_results(json, json_text.dumps(written, indent=1) + "\n")
    _show(written, walked)


def _days(text: str, option: str) -> int:
    found = re.fullmatch(r"([1-9][0-9]{0,4})d", text)
    if found is None:
        raise Refusal(f"{option}: expected trading days, as in 20d, was {text!r}")
    return int(found[1])


def _show(written: dict[str, Any], walked: list[Walked]) -> None:
    metric = written["metric"]
    table = Table(
        "days after", "inputs", f"{metric} before", f"{metric} after", "profit before",
        "profit after",
    )  # fmt: skip
    for row in written["windows"]:
        inputs = row["inputs"]
        chosen = "none: undefined" if inputs is None else _pairs(inputs)
        sides = (row["inSample"], row["outOfSample"])
        values = ("" if side is None else str(side["value"]) for side in sides)
        profits = ("" if side is None else side["netProfit"] for side in sides)
        table.add_row(f"{row['testFrom'][:10]} - {row['to'][5:10]}", chosen, *values, *profits)
    console = Console()
    console.print(table)
    found = written["outOfSample"]
    if found is not None:
        keys = dict.fromkeys(("netProfit", "maxDrawdown", "sharpe", metric))
        shown = ", ".join(f"{key} {found[key]}" for key in keys if key in found)
        console.print(f"all days after, stitched: {shown}")
        console.print(f"profit a day after / before: {written['efficiency']}")
    untraded = sum(one.best is None for one in walked)
    if untraded:
        console.print(f"{untraded} windows were not traded: the metric was undefined before")


def _pairs(inputs: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in inputs.items())
