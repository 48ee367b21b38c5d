"""The best runs of a sweep as a table."""

from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from quantlab_server.backtests.evaluating import Row
from quantlab_server.backtests.sweeping import RESULTS

SHOWN: Final = 10


def show(best: list[Row], metric: str, out: Path | None) -> None:
    """Show the first rows, each with its inputs on axes, and where all are."""
    names = list(best[0]["inputs"])
    table = Table(*names, metric, "net profit", "max drawdown", "fills", "ended by")
    for row in best[:SHOWN]:
        inputs = (str(row["inputs"][name]) for name in names)
        value = "undefined" if row["value"] is None else str(row["value"])
        table.add_row(
            *inputs, value, row["netProfit"], row["maxDrawdown"], f"{row['fills']:,}", row["end"]
        )
    console = Console()
    console.print(table)
    if len(best) > SHOWN:
        console.print(f"the best {SHOWN} of {len(best):,}")
    if out is not None:
        console.print(f"all results: {out / RESULTS}")
