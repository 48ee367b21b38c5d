"""`quantlab montecarlo`: what the trades of a finished run could have come to."""

import json as json_text
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from quantlab.backtest.results.montecarlo import (
    Distribution,
    MonteCarlo,
    bootstrap_trades,
    shuffle_trades,
)
from quantlab.backtest.results.run import NoResult
from quantlab.kernel.decimals import format_minor, parse_minor
from quantlab_server.backtests import options
from quantlab_server.backtests.reading import read_object
from quantlab_server.backtests.writing import check_places, write_results
from quantlab_server.refusal import Refusal

app = typer.Typer(no_args_is_help=True, help="Simulate the trades of finished runs.")


@app.callback()
def group() -> None:
    """Simulate the trades of finished runs."""


@app.command()
def run(
    result: Annotated[
        Path, typer.Argument(help="What quantlab backtest run --details --json has written.")
    ],
    paths: Annotated[int, typer.Option(help="Simulated runs.", min=1)] = 10_000,
    seed: options.Seed = 1,
    ruin: Annotated[
        str | None, typer.Option(help="The balance at or below which an account is ruined.")
    ] = None,
    json: options.Json = None,
) -> None:
    """Shuffle the closed trades of a run, and draw as many anew with replacement."""
    check_places(json=json)
    document = read_object(result)
    initial, digits, profits = _trades(document, result)
    ruin_minor = None if ruin is None else parse_minor(ruin, digits)
    if ruin is not None and ruin_minor is None:
        raise Refusal(f"--ruin: expected an amount of at most {digits} decimals, was {ruin!r}")
    try:
        found = {
            "shuffled": shuffle_trades(profits, initial, paths, seed, ruin_minor),
            "bootstrapped": bootstrap_trades(profits, initial, paths, seed, ruin_minor),
        }
    except NoResult as error:
        raise Refusal(f"{result}: {error}") from error
    written = {
        "format": 1,
        "strategy": document.get("strategy"),
        "traceHash": document.get("traceHash"),
        "trades": len(profits),
        "initialBalance": format_minor(initial, digits),
        "paths": paths,
        "seed": seed,
        "ruin": None if ruin_minor is None else format_minor(ruin_minor, digits),
        **{name: _written(one, digits) for name, one in found.items()},
    }
    if json is not None:
        write_results(json, json_text.dumps(written, indent=1) + "\n")
    _show(written)


def _trades(document: dict[str, Any], file: Path) -> tuple[int, int, list[int]]:
    """Return the initial balance, the currency's digits, and the profits of closed trades."""
    rows = document.get("tradeList")
    account = document.get("account")
    if not isinstance(rows, list) or not isinstance(account, dict):
        raise Refusal(
            f"{file}: expected the results of quantlab backtest run --details --json, was an object"
            f" with {', '.join(document) or 'nothing'}"
        )
    try:
        text = account["initialBalance"]
        digits = max(0, -int(Decimal(text).as_tuple().exponent))
        amounts = [text, *(row["profit"] for row in rows if row["exitTime"] is not None)]
        initial, *profits = (parse_minor(amount, digits) for amount in amounts)
    except (KeyError, TypeError, ArithmeticError, ValueError) as error:
        raise Refusal(f"{file}: expected trades with profit and exitTime, {error!r}") from error
    known = [one for one in profits if one is not None]
    if initial is None or len(known) < len(profits):
        raise Refusal(f"{file}: expected amounts of {digits} decimals in tradeList")
    return initial, digits, known


def _written(found: MonteCarlo, digits: int) -> dict[str, Any]:
    shares = {"losing": found.losing, "ruined": found.ruined}
    spreads = {"end": found.end, "maxDrawdown": found.max_drawdown}
    return {**{name: _spread(one, digits) for name, one in spreads.items()}, **shares}


def _spread(found: Distribution, digits: int) -> dict[str, str]:
    values = asdict(found)
    shares = {f"p{share}": amount for share, amount in values["percentiles"].items()}
    ordered = {"least": found.least, **shares, "most": found.most}
    return {name: format_minor(amount, digits) for name, amount in ordered.items()}


def _show(written: dict[str, Any]) -> None:
    columns = [
        (kind, what) for kind in ("shuffled", "bootstrapped") for what in ("end", "maxDrawdown")
    ]
    labels = {"end": "balance at the end", "maxDrawdown": "max drawdown"}
    table = Table(
        "", *(f"{kind}: {labels[what]}" for kind, what in columns),
        title=f"{written['trades']:,} trades, {written['paths']:,} paths",
    )  # fmt: skip
    for name in ("least", "p5", "p25", "p50", "p75", "p95", "most"):
        table.add_row(name, *(written[kind][what][name] for kind, what in columns))
    console = Console()
    console.print(table)
    for kind in ("shuffled", "bootstrapped"):
        found = written[kind]
        ruined = "" if found["ruined"] is None else f", {found['ruined']:.1%} ruined"
        console.print(f"{kind}: {found['losing']:.1%} end below their beginning{ruined}")
    console.print(f"seed {written['seed']}; trades are taken as independent of one another")
