"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

Strategy = Annotated[Path, typer.Argument(help="The file of a strategy (.qls).")]
Ticks = Annotated[
    list[str] | None,
    typer.Option(help="SYMBOL=FILE: csv.gz or Parquet quotes, or a folder of .npy columns."),
]
Bars = Annotated[
    list[str] | None, typer.Option(help="SYMBOL=FILE: bars, walked through in four quotes.")
]
Rules = Annotated[str | None, typer.Option(help="TENANT/TYPE: the account type whose rules hold.")]
News = Annotated[
    Path | None, typer.Option(help="A JSON file of releases, as `quantlab tenant news` takes.")
]
Settings = Annotated[list[str] | None, typer.Option("--set", help="input=value")]
Axes = Annotated[
    list[str], typer.Option(help="input=5..20:5, input=30,50,70, or input for all its values.")
]
MetricKey = Annotated[str, typer.Option(help="What is best: a key of docs/backtest-metrics.md.")]
Lowest = Annotated[bool, typer.Option(help="The least value of the metric is best.")]
Jobs = Annotated[int, typer.Option(help="Processes; 0 for one a core where it pays.", min=0)]
Seed = Annotated[int, typer.Option(help="The seed of what is drawn.", min=0)]
Json = Annotated[Path | None, typer.Option(help="Write the results as JSON.")]
Configs = Annotated[Path, typer.Option(help="The configuration folder.")]
