"""`quantlab sweep`: a strategy with many inputs over the same quotes."""

import time
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from quantlab.backtest.account import NotRun
from quantlab_server.backtests import options
from quantlab_server.backtests.axes import Axis, axes_of, drawn, grid, size
from quantlab_server.backtests.evaluating import (
    Evaluate,
    Row,
    Setup,
    evaluators,
    metric_named,
    processes,
)
from quantlab_server.backtests.given import CONFIGS, Bench, fixed_of, say
from quantlab_server.backtests.progress import bar
from quantlab_server.backtests.sweeping import (
    Kept,
    document_of,
    kept_in,
    manifest_of,
    ranked,
    run_all,
)
from quantlab_server.backtests.writing import check_places, write_results
from quantlab_server.cli import sweep_shards
from quantlab_server.cli.sweep_table import show
from quantlab_server.refusal import Refusal

app = typer.Typer(no_args_is_help=True, help="Run strategies with many inputs.")
sweep_shards.add_to(app)


@app.callback()
def group() -> None:
    """Run strategies with many inputs."""


@app.command()
def run(
    strategy: options.Strategy,
    axis: options.Axes,
    ticks: options.Ticks = None,
    bars: options.Bars = None,
    profile: options.Rules = None,
    set_: options.Settings = None,
    random: Annotated[int, typer.Option(help="Draw so many combinations.", min=0)] = 0,
    optuna: Annotated[int, typer.Option(help="Search with so many trials (TPE).", min=0)] = 0,
    seed: options.Seed = 1,
    metric: options.MetricKey = "sharpe",
    jobs: options.Jobs = 0,
    out: Annotated[Path | None, typer.Option(help="The folder of results, to resume.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write all results, the best first.")] = None,
    configs: options.Configs = CONFIGS,
    news: options.News = None,
    *,
    lowest: options.Lowest = False,
    trace: Annotated[bool, typer.Option(help="Add the trace hash of each run.")] = False,
) -> None:
    """Run a strategy with every combination of its inputs on axes, or with drawn ones."""
    if random and optuna:
        raise Refusal("expected --random or --optuna, was both")
    metric_named(metric)
    check_places(json=json)
    setup = Setup(
        strategy,
        tuple(ticks or ()),
        tuple(bars or ()),
        profile,
        configs,
        metric,
        traced=trace,
        news=news,
    )
    bench = setup.bench()
    fixed = fixed_of(bench.program, set_)
    axes = axes_of(bench.program, axis, fixed)
    said = {"profile": profile, "fixed": fixed, "metric": metric, "traced": trace}
    kept = Kept() if out is None else kept_in(out, manifest_of(bench, said))
    before = len(kept.rows)
    started = time.perf_counter()
    sweep = _Sweep(axes, fixed, kept, len(bench.records.words))
    rows = sweep.rows(setup, bench, (random, optuna, seed, jobs), lowest=lowest)
    seconds = time.perf_counter() - started
    if json is not None:
        write_results(json, document_of(rows, metric, seed, lowest=lowest))
    show(ranked(rows, lowest=lowest), metric, out)
    _say_speed([*kept.rows.values()][before:], len(rows), seconds)


class _Sweep(NamedTuple):
    """What all ways of choosing combinations share."""

    axes: tuple[Axis, ...]
    fixed: dict[str, Any]
    kept: Kept
    quotes: int

    def rows(
        self, setup: Setup, bench: Bench, asked: tuple[int, int, int, int], *, lowest: bool
    ) -> list[Row]:
        """Run what was asked for (random, optuna, seed, jobs); return the rows in its order."""
        random, optuna, _, jobs = asked
        count = processes(jobs, (random or optuna or size(self.axes)) * self.quotes)
        try:
            with evaluators(setup, bench, count) as evaluate, bar("runs") as progress:
                return self._rows(evaluate, progress, asked, lowest=lowest)
        except NotRun as error:
            raise Refusal(str(error)) from error

    def _rows(
        self, evaluate: Evaluate, progress: Any, asked: tuple[int, int, int, int], *, lowest: bool
    ) -> list[Row]:
        random, optuna, seed, _ = asked
        if optuna:
            from quantlab_server.backtests.searching import search

            return search(
                self.axes, optuna, seed, lowest=lowest, fixed=self.fixed, kept=self.kept,
                evaluate=evaluate, quotes=self.quotes, progress=progress,
            )  # fmt: skip
        wanted = drawn(self.axes, random, seed) if random else list(grid(self.axes))
        return run_all(wanted, self.fixed, self.kept, evaluate, self.quotes, progress)


def _say_speed(made: list[Row], wanted: int, seconds: float) -> None:
    ticks = sum(row["ticks"] for row in made)
    say(
        f"{len(made):,} runs of {wanted:,} were made, {ticks:,} ticks in {seconds:.2f} s"
        f" ({ticks / seconds / 1e6:.1f} M ticks/s); the others were known"
    )
