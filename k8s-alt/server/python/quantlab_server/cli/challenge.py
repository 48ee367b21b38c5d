"""`quantlab challenge`: a strategy's chances under the rules of an account type."""

import json as json_text
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from quantlab.backtest.account import NotRun
from quantlab.backtest.results.run import NoResult
from quantlab_server.backtests import options
from quantlab_server.backtests.accounts import phases_for
from quantlab_server.backtests.challenge import challenge_of
from quantlab_server.backtests.given import CONFIGS, bench_of, fixed_of
from quantlab_server.backtests.progress import bar
from quantlab_server.backtests.writing import check_places, write_results
from quantlab_server.refusal import Refusal

app = typer.Typer(no_args_is_help=True, help="Try strategies under an account type's rules.")
PERCENT: Final = 100


@app.callback()
def group() -> None:
    """Try strategies under an account type's rules."""


@app.command()
def run(
    strategy: options.Strategy,
    profile: Annotated[str, typer.Option(help="TENANT/TYPE: the account type to attempt.")],
    ticks: options.Ticks = None,
    bars: options.Bars = None,
    set_: options.Settings = None,
    only: Annotated[bool, typer.Option("--only", help="Leave out the phases that follow.")] = False,
    paths: Annotated[int, typer.Option(help="Paths of drawn days; 0 for none.", min=0)] = 10_000,
    block_days: Annotated[int, typer.Option(help="Days drawn in one piece.", min=1)] = 5,
    max_days: Annotated[int, typer.Option(help="Days of a path in a phase.", min=1)] = 250,
    seed: options.Seed = 1,
    json: options.Json = None,
    configs: options.Configs = CONFIGS,
    news: options.News = None,
) -> None:
    """Attempt an account type and its later phases from every day on, and on drawn days."""
    check_places(json=json)
    bench = bench_of(strategy, ticks, bars, profile, configs, news)
    inputs = fixed_of(bench.program, set_)
    phases = phases_for(configs, profile, bench.configured.instruments, news)
    try:
        with bar("attempts") as progress:
            found = challenge_of(
                bench, phases[:1] if only else phases, inputs, paths=paths, block_days=block_days,
                max_days=max_days, seed=seed, progress=progress,
            )  # fmt: skip
    except (NotRun, NoResult) as error:
        raise Refusal(str(error)) from error
    written = {"profile": profile, "inputs": inputs, **found}
    if json is not None:
        write_results(json, json_text.dumps(written, indent=1) + "\n")
    _show(written)


def _show(found: dict[str, Any]) -> None:
    console = Console()
    console.print(_figures(found, f"{found['strategy']}: {found['profile']}", found["currency"]))
    for phase in found["phases"]:
        _show_phase(console, phase, found["currency"], alone=len(found["phases"]) == 1)
    for one in _left_out(found):
        console.print(f"not simulated: {one}")
    if found["paths"] is None:
        console.print("no paths were drawn: none asked for, or none of the goals is known to them")
    console.print(found["attempts"]["note"])


def _show_phase(console: Console, phase: dict[str, Any], currency: str, *, alone: bool) -> None:
    if phase["attempts"] is None:
        console.print(f"{phase['type']}: no attempt got there")
        return
    if not alone:
        console.print(_figures(phase, phase["type"], currency))
    causes = phase["attempts"]["causes"]
    if causes:
        table = Table("broken rule", "attempts", title=f"{phase['type']}: causes of failure")
        for cause, count in causes.items():
            table.add_row(cause, str(count))
        console.print(table)
    engine = [one["ruleId"] for one in phase["rules"] if one["judgedBy"] == "engine"]
    goals = [one["ruleId"] for one in phase["rules"] if one["judgedBy"] == "goals"]
    console.print(f"enforced on each quote: {', '.join(engine) or 'nothing'}")
    console.print(f"asked for, to pass: {', '.join(goals) or 'a first payout'}")


def _left_out(found: dict[str, Any]) -> list[str]:
    own = [
        f"paths of {phase['type']}: {one}"
        for phase in found["phases"]
        for one in ([] if phase["paths"] is None else phase["paths"]["leftOut"])
    ]
    return found["leftOut"] + own or ["nothing of the profile"]


def _figures(found: dict[str, Any], title: str, currency: str) -> Table:
    days, drawn = found["attempts"], found["paths"]
    table = Table("", "start days", title=title)
    columns = [days]
    if drawn is not None:
        seed = f", seed {drawn['seed']}" if "seed" in drawn else ""
        table.add_column(f"drawn paths{seed}")
        columns.append(drawn)
    table.add_row("attempts", *(f"{one['count']:,}" for one in columns))
    table.add_row("pass rate", *(_percent(one["passRate"]) for one in columns))
    table.add_row(
        "95 % interval", *(" to ".join(_percent(end) for end in one["interval"]) for one in columns)
    )
    table.add_row("ended by", *(_outcomes(one["outcomes"]) for one in columns))
    table.add_row("days to pass: quartiles", *(_quartiles(one["daysToPass"]) for one in columns))
    paid = days["payout"]
    if paid is not None:
        own = [] if drawn is None else [drawn["payoutExpectation"] or "not known"]
        table.add_row(f"first payout expected, {currency}", paid["expectation"], *own)
    return table


def _percent(share: float) -> str:
    return f"{PERCENT * share:.1f} %"


def _outcomes(outcomes: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in outcomes.items() if count) or "none"


def _quartiles(spread: dict[str, int] | None) -> str:
    return "none passed" if spread is None else f"{spread['p25']}, {spread['p50']}, {spread['p75']}"
